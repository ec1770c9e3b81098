"""Simulated supervisors: the shipped writer of the ring object, with a store that loses replies.

Owns when a change is asked for and what the network does to reads and writes of the object; the
discipline itself (PROTOCOL R1) is ``becket.core.plans.writer``. Two run at once, neither knows of
the other.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from becket.core.plans.wishes import Abandon, Begin, Wish
from becket.core.plans.wishes import Certificate as Certified
from becket.core.plans.writer import (
    Announce,
    CasConfirmed,
    CasConflict,
    CasLost,
    CompareAndSwap,
    Event,
    ObjectRead,
    ReadFailed,
    ReadObject,
    Refresh,
    TopologyWriter,
    Want,
    WriterState,
)
from becket.core.replication.effects import Certificate
from becket.core.ring.config import Config
from becket.core.ring.members import Member, MemberState, in_order
from becket.core.ring.ring import Ring
from tests.simulation.world import MS

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster


class Supervisor:
    """One supervisor process."""

    def __init__(self, cluster: Cluster, name: str, rng: random.Random) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.name = name
        self._rng = rng
        self.wishes: dict[int, tuple[str, ...]] = {}
        """For each partition that is to move, its members to be."""
        self.abandons: set[int] = set()
        self._writer = TopologyWriter()
        self._certified: list[Wish] = []
        self.interval_us = 60 * MS
        self.lose_replies = 0.0
        self.patience_us = 0
        """How long a certificate may lie here: joint configs last as long."""

    def start(self) -> None:
        """Begin to look after the object."""
        self.world.at(self._rng.randint(0, self.interval_us), self._look)

    def certify(self, certificate: Certificate) -> None:
        """A joint coordinator says that its copy is complete."""
        wish = Certified(
            certificate.partition, certificate.gen, tuple(certificate.epoch), certificate.disk
        )
        self.world.at(self._rng.randint(0, self.patience_us), self._certified.append, wish)

    def _delay(self) -> int:
        return self._rng.choice((1, 2, 5, 40, 40, 300)) * MS

    # What is wanted

    def _look(self) -> None:
        self.world.at(self.interval_us + self._rng.randint(0, 20 * MS), self._look)
        known = self._writer.announced
        wants, self._certified = self._certified, []
        if known is not None:
            for partition, config in enumerate(known.configs):
                wants += self._wanted(partition, config)
            if self._rng.random() < 0.1:
                self._announce(known.configs)
        if wants:
            self._handle(Want(tuple(wants)))
        elif self._writer.state is WriterState.IDLE:
            self._handle(Refresh())

    def _wanted(self, partition: int, config: Config) -> list[Wish]:
        if config.is_joint:
            if partition not in self.abandons:
                return []
            self.abandons.discard(partition)
            return [Abandon(partition, config.gen)]
        wish = self.wishes.get(partition)
        if wish is None:
            return []
        if set(wish) == set(config.old):
            del self.wishes[partition]
            return []
        return [Begin(partition, config.gen, wish)]

    # The writer's effects

    def _handle(self, event: Event) -> None:
        for effect in self._writer.handle(event):
            if isinstance(effect, ReadObject):
                self.world.at(self._delay() + (50 * MS if effect.again else 0), self._read)
            elif isinstance(effect, CompareAndSwap):
                self._send_write(effect)
            elif isinstance(effect, Announce):
                self.world.at(self._delay(), self._announce, effect.ring.configs)

    def _read(self) -> None:
        if self._rng.random() < self.lose_replies:
            self._handle(ReadFailed())
            return
        topology = self.cluster.topology
        self._handle(ObjectRead(self._ring(), str(topology.version)))

    def _ring(self) -> Ring:
        """The object as a ring: its configs, and every disk that serves or is named."""
        topology = self.cluster.topology
        serving = {process.disk.disk for process in self.cluster.processes}
        named = {disk for config in topology.configs for disk in config.members}
        members = in_order(
            Member(disk, disk, state=MemberState.ACTIVE if disk in serving else MemberState.GONE)
            for disk in serving | named
        )
        return Ring(topology.version, "simulated", 1, members, topology.configs)

    def _send_write(self, write: CompareAndSwap) -> None:
        """The write arrives, perhaps long after its reply was given up."""
        lost = self._rng.random() < self.lose_replies
        delay = self._delay()
        if lost and self._rng.random() < 0.5:
            delay += self._rng.randint(0, 500 * MS)
            self.world.at(100 * MS, self._handle, CasLost())
            self.world.at(delay, self._write_unanswered, write)
        elif lost:
            self.world.at(delay, self._write_unanswered, write)
            self.world.at(delay + 20 * MS, self._handle, CasLost())
        else:
            self.world.at(delay, self._write_and_answer, write)

    def _write(self, write: CompareAndSwap) -> bool:
        expected = int(write.expected or "0")
        done = self.cluster.topology.compare_and_swap(expected, write.ring.configs)
        if done:
            self.cluster.audit_topology()
        return done

    def _write_unanswered(self, write: CompareAndSwap) -> None:
        self._write(write)

    def _write_and_answer(self, write: CompareAndSwap) -> None:
        self._handle(CasConfirmed() if self._write(write) else CasConflict())

    def _announce(self, configs: tuple[Config, ...]) -> None:
        """Show members what is confirmed; some hear it late or not at all."""
        for process in self.cluster.processes:
            way = (self.name, process.name)
            self.world.carry(way, process.offer, list(enumerate(configs)))
