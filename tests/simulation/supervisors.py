"""Simulated supervisors: they change the ring's object by compare-and-swap, and lose replies.

Owns when a change is asked for and what the network does to reads and writes of the object. Two
run at once, neither knows of the other.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from becket.core.replication.effects import Certificate
from becket.core.ring.config import Config
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
        self.abandons: set[int] = set()
        self._certificates: dict[int, Certificate] = {}
        self._busy = False
        self.interval_us = 60 * MS
        self.lose_replies = 0.0
        self.patience_us = 0
        """How long a certificate may lie here: joint configs last as long."""

    def start(self) -> None:
        """Begin to look after the object."""
        self.world.at(self._rng.randint(0, self.interval_us), self._look)

    def certify(self, certificate: Certificate) -> None:
        """A joint coordinator says that its copy is complete."""
        self.world.at(self._rng.randint(0, self.patience_us), self._keep, certificate)

    def _keep(self, certificate: Certificate) -> None:
        self._certificates[certificate.partition] = certificate

    def _look(self) -> None:
        self.world.at(self.interval_us + self._rng.randint(0, 20 * MS), self._look)
        if not self._busy:
            self._busy = True
            self.world.at(self._delay(), self._read)

    def _delay(self) -> int:
        return self._rng.choice((1, 2, 5, 40, 40, 300)) * MS

    def _read(self) -> None:
        """R1: every transition is computed from the object that was just read."""
        topology = self.cluster.topology
        configs = list(topology.configs)
        for partition, config in enumerate(configs):
            configs[partition] = self._decide(partition, config)
        if tuple(configs) != topology.configs:
            self.world.at(self._delay(), self._write, topology.version, tuple(configs))
        else:
            if self._rng.random() < 0.15:
                self._announce(topology.configs)
            self._busy = False

    def _decide(self, partition: int, config: Config) -> Config:
        certificate = self._certificates.get(partition)
        if config.is_joint and certificate is not None:
            del self._certificates[partition]
            if certificate.gen == config.gen:
                self.wishes.pop(partition, None)
                return config.finish()
        if config.is_joint and partition in self.abandons:
            self.abandons.discard(partition)
            self.wishes.pop(partition, None)
            return config.abandon()
        wish = self.wishes.get(partition)
        if not config.is_joint and wish is not None:
            if set(wish) == set(config.old):
                del self.wishes[partition]
            else:
                return config.begin(wish)
        return config

    def _write(self, expected: int, configs: tuple[Config, ...]) -> None:
        done = self.cluster.topology.compare_and_swap(expected, configs)
        lost = self._rng.random() < self.lose_replies
        self._busy = False
        if done:
            self.cluster.audit_topology()
        if done and not lost:
            self.world.at(self._delay(), self._announce, configs)

    def _announce(self, configs: tuple[Config, ...]) -> None:
        """Show members what is confirmed; some hear it late or not at all."""
        for process in self.cluster.processes:
            way = (self.name, process.name)
            self.world.carry(way, process.offer, list(enumerate(configs)))
