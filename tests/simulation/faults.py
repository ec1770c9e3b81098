"""What goes wrong in a run: drawn once, then let loose.

Owns the kinds of faults and how often each is drawn. Every fault ends by itself or by ``heal``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from becket.core.replication.messages import Accept
from tests.simulation.world import CALM, MS, Weather

if TYPE_CHECKING:
    from becket.core.replication.messages import Message
    from becket.core.ring.config import Config
    from tests.simulation.cluster import Cluster
    from tests.simulation.processes import Process
    from tests.simulation.supervisors import Supervisor


@dataclass(frozen=True)
class Trim:
    """What to leave out of a run, to find the shortest story that still fails."""

    without_faults: frozenset[int] = frozenset()
    calls: int = 1000
    """Calls that each client makes at most."""
    calm: bool = False
    """Whether the network behaves."""


NOTHING = Trim()


class Faults:
    """The faults of one run."""

    def __init__(self, cluster: Cluster, supervisors: list[Supervisor], trim: Trim) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.supervisors = supervisors
        self.trim = trim
        self._rng = self.world.stream("faults")
        self._corrupted = ""
        self._lost: set[str] = set()
        self.healed = False
        self.count = 0
        self.placed = 0
        self._split_rate = 0.0
        self._churn = 0.0
        self._before: dict[int, tuple[str, ...]] = {}

    def unleash(self, begin_us: int, end_us: int) -> None:
        """Draw the faults of this run and place them in time."""
        rng = self._rng
        weather = Weather.drawn(rng)
        self.world.weather = CALM if self.trim.calm else weather
        self.cluster.slow_sync = rng.choice((0.0, 0.02, 0.2))
        kinds: list[tuple[Callable[[], None], float]] = [
            (self._crash, rng.choice((0, 1, 3))),
            (self._crash_all, rng.choice((0, 0, 0.5))),
            (self._pause, rng.choice((0, 1, 2))),
            (self._cut, rng.choice((0, 1, 3))),
            (self._stop_planned, rng.choice((0, 0.5, 2))),
            (self._wipe, rng.choice((0, 0, 0.7))),
            (self._corrupt, rng.choice((0, 0, 1))),
            (self._suspect, rng.choice((0, 1, 3))),
            (self._forget_leases, rng.choice((0, 0, 1))),
            (self._unrest, rng.choice((0, 0, 1))),
        ]
        weights = [weight for _, weight in kinds]
        self.count = rng.choice((0, 1, 2, 4, 6, 9)) if sum(weights) else 0
        for _ in range(self.count):
            fault = rng.choices([kind for kind, _ in kinds], weights)[0]
            self._place(rng.randint(begin_us, end_us), fault)
        for _ in range(rng.choice((0, 1, 2, 2, 3, 4))):
            self._place(rng.randint(begin_us, end_us), self._change_ring)
        self._split_rate = rng.choice((0.0, 0.3, 0.8))
        self._churn = rng.choice((0.0, 0.5, 0.9))
        self._place(0, self._watch_sends)
        self._place(0, self._watch_ring)

    def _place(self, at_us: int, fault: Callable[[], None]) -> None:
        """Each fault draws from a stream of its own, so that leaving one out changes no other."""
        number, self.placed = self.placed, self.placed + 1
        if number not in self.trim.without_faults:
            self.world.at(at_us, self._run, fault, number)

    def _run(self, fault: Callable[[], None], number: int) -> None:
        if not self.healed:
            self._rng = self.world.stream(f"fault {number}")
            fault()

    def _victim(self) -> Process:
        """Often the coordinator of something: that is where faults hurt."""
        rng = self._rng
        if rng.random() < 0.6:
            reigning = [
                process
                for process in self.cluster.processes
                if process.member is not None
                and any(seat.coordinator for seat in process.member.seats.values())
            ]
            if reigning:
                return rng.choice(reigning)
        return rng.choice(self.cluster.processes)

    # Processes

    def _crash(self) -> None:
        victim = self._victim()
        victim.crash()
        self.world.at(self._rng.choice((1, 50, 300, 900)) * MS, self._restart, victim)

    def _restart(self, process: Process) -> None:
        if process.member is None:
            process.start()
            process.offer(list(enumerate(self.cluster.topology.configs)))

    def _crash_all(self) -> None:
        for process in self.cluster.processes:
            process.crash()
            self.world.at(self._rng.randint(1, 400) * MS, self._restart, process)

    def _pause(self) -> None:
        self._victim().pause(self._rng.choice((50, 200, 500, 900)) * MS)

    def _stop_planned(self) -> None:
        victim = self._victim()
        if victim.member is not None:
            self.world.tell(f"{victim.name} is asked to stop")
            leaving = self._rng.random() < 0.5
            victim.hand_over(leaving)
            if leaving:
                self.world.at(200 * MS, victim.crash)
                self.world.at(600 * MS, self._restart, victim)

    def _wipe(self) -> None:
        """One disk a run: more would be more than a minority of somebody's replicas."""
        if self._lost:
            return
        victim = self._rng.choice(self.cluster.processes)
        if any(
            victim.disk.disk in config.member_set and min(len(config.old), len(config.target)) < 3
            for config in self.cluster.topology.configs
        ):
            return
        if self._corrupted:
            return
        self._lost.add(victim.wipe().disk)
        self.world.at(self._rng.choice((1, 50, 600)) * MS, self._restart, victim)
        reigning = self._victim()
        if reigning is not victim and self._rng.random() < 0.7:
            self.world.at(5 * MS, self._isolate, reigning, self._rng)
            self.world.at(10 * MS, self._suspect_all, reigning)

    def _corrupt(self) -> None:
        """Damage cells on one disk only: elsewhere they are whole, so two copies are enough."""
        processes = self.cluster.processes
        name = self._corrupted or self._rng.choice(processes).name
        process = next(p for p in processes if p.name == name)
        if self._lost or any(
            process.disk.disk in config.member_set and min(len(config.old), len(config.target)) < 2
            for config in self.cluster.topology.configs
        ):
            return
        if any(len(wish) < 2 for s in self.supervisors for wish in s.wishes.values()):
            return
        self._corrupted = name
        if process.disk.corrupt(self._rng):
            self.world.tell(f"a cell of {name} is damaged")

    # Failure detection

    def _suspect(self) -> None:
        """A coordinator that is well is said to be gone: leases must hold all the same."""
        rng = self._rng
        victim = self._victim()
        if rng.random() < 0.6:
            self._isolate(victim, rng)
        self.world.tell(f"{victim.name} is said to be gone")
        for process in self.cluster.processes:
            if process is not victim and process.member is not None and rng.random() < 0.85:
                process.suspect(victim.identity)

    def _unrest(self) -> None:
        """One coordinator after the other is said to be gone, in quick succession."""
        rng, at_us = self._rng, 1
        for _ in range(rng.randint(2, 4)):
            self.world.at(at_us, self._run, self._suspect, rng.randint(0, 2**40))
            at_us += rng.choice((20, 60, 150, 400)) * MS

    def _forget_leases(self) -> None:
        """All but one process start anew at once, and take that one for dead."""
        rng = self._rng
        victim = self._victim()
        for process in self.cluster.processes:
            if process is not victim:
                process.crash()
                self._restart(process)
        self.world.at(rng.choice((1, 20, 100)) * MS, self._suspect_all, victim)

    def _suspect_all(self, victim: Process) -> None:
        for process in self.cluster.processes:
            if process is not victim and process.member is not None:
                process.suspect(victim.identity)

    # Network

    def _cut(self) -> None:
        rng = self._rng
        names = [process.name for process in self.cluster.processes]
        draw = rng.random()
        if draw < 0.4:
            config = rng.choice(self.cluster.topology.configs)
            side = self._names(set(config.old) - set(config.target)) or {rng.choice(names)}
        elif draw < 0.7:
            side = {self._victim().name}
        else:
            side = set(rng.sample(names, rng.randint(1, len(names) - 1)))
        one_way = rng.random() < 0.3
        cuts = {(a, b) for a in side for b in names if b not in side}
        if not one_way:
            cuts |= {(b, a) for a, b in cuts}
        if rng.random() < 0.3:
            cuts |= {(a, "supervisor") for a in side} | {("supervisor", a) for a in side}
        self.world.cuts |= cuts
        self.world.tell(f"cut {sorted(side)}{' one way' if one_way else ''} from other members")
        self.world.at(rng.choice((100, 400, 800, 1500)) * MS, self._mend, cuts)

    def _watch_ring(self) -> None:
        rng = self.world.stream("splits")
        self.cluster.topology.on_change = lambda before, after: self._split(rng, before, after)
        self.cluster.on_certificate = lambda process, partition: self._on_certificate(
            rng, process, partition
        )

    def _on_certificate(self, rng: random.Random, process: Process, partition: int) -> None:
        """A complete copy, not yet final: take the coordinator away just now."""
        if self.healed or rng.random() >= self._split_rate / 2:
            return
        if rng.random() < 0.4:
            self._isolate(process, rng)
            self._suspect_all(process)
            return
        config = self.cluster.topology.configs[partition]
        old, coming = self._names(set(config.old)), self._names(set(config.target))
        side = old | {process.name}
        if rng.random() < 0.5:
            side.discard(rng.choice(sorted(old - {process.name} or old)))
        cuts = {(a, b) for a in side for b in coming - side}
        cuts |= {(b, a) for a, b in cuts}
        self.world.cuts |= cuts
        self.world.tell(f"cut {sorted(side)} from {sorted(coming - side)} at a certificate")
        self.world.at(rng.choice((300, 800, 1500)) * MS, self._mend, cuts)

    def _watch_sends(self) -> None:
        """Writes that reach a few members only, whose coordinator is then not heard for a while."""
        rng = self.world.stream("sabotage")
        rate = rng.choice((0.0, 0.02, 0.1))
        left = rng.choice((1, 2, 4))

        def on_send(sender: Process, messages: list[Message]) -> None:
            nonlocal left
            if left <= 0 or self.healed or not any(isinstance(m, Accept) for m in messages):
                return
            if rng.random() < rate:
                left -= 1
                self._isolate(sender, rng)
                if rng.random() < 0.8:
                    self.world.at(rng.choice((1, 20, 100)) * MS, self._suspect_all, sender)

        if rate:
            self.cluster.on_send = on_send

    def _isolate(self, process: Process, rng: random.Random) -> None:
        """From now on only one or two others hear this process; its clients still do."""
        others = [p.name for p in self.cluster.processes if p is not process]
        rng.shuffle(others)
        cut_off = others[rng.randint(0, 1) :]
        cuts = {(process.name, name) for name in cut_off}
        if rng.random() < 0.7:
            cuts |= {(name, process.name) for name in cut_off}
        if rng.random() < 0.5:
            cuts |= {("supervisor", process.name), (process.name, "supervisor")}
        self.world.cuts |= cuts
        self.world.tell(f"cut {process.name} from {sorted(cut_off)}")
        self.world.at(rng.choice((100, 500, 1000, 1500)) * MS, self._mend, cuts)
        if rng.random() < 0.15:
            self.world.at(rng.randint(0, 3 * MS), process.crash)
            self.world.at(rng.choice((50, 300)) * MS, self._restart, process)

    def _split(
        self, rng: random.Random, before: tuple[Config, ...], after: tuple[Config, ...]
    ) -> None:
        """Part those who leave from those who come, just when a change begins or ends."""
        for partition, (was, now) in enumerate(zip(before, after, strict=True)):
            if self.healed or was == now:
                continue
            if not now.is_joint and rng.random() < self._churn:
                number = rng.randint(0, 2**40)
                self.world.at(rng.choice((1, 100, 300)) * MS, self._run, self._change_ring, number)
            if rng.random() >= self._split_rate:
                continue
            joint = now if now.is_joint else was
            if now.is_joint and rng.random() < 0.3:
                self._hide_change(rng, partition, joint)
                continue
            leaving = self._names(set(joint.old) - set(joint.target))
            coming = self._names(set(joint.target) - set(joint.old))
            staying = sorted(self._names(set(joint.old) & set(joint.target)))
            for name in staying:
                if rng.random() < 0.6:
                    (leaving if rng.random() < 0.5 else coming).add(name)
            cuts = {(a, b) for a in leaving for b in coming}
            cuts |= {(b, a) for a, b in cuts}
            if rng.random() < 0.6:
                cuts |= {("supervisor", name) for name in leaving}
            self.world.cuts |= cuts
            self.world.tell(f"cut {sorted(leaving)} from {sorted(coming)}")
            self.world.at(rng.choice((100, 400, 800, 1500)) * MS, self._mend, cuts)

    def _hide_change(self, rng: random.Random, partition: int, joint: Config) -> None:
        """Whoever coordinates hears nothing of the change, neither do the newcomers of it."""
        coming = self._names(set(joint.newcomers))
        for process in self.cluster.reigning(partition):
            cuts = {(process.name, name) for name in coming}
            cuts |= {(name, process.name) for name in coming} | {("supervisor", process.name)}
            self.world.cuts |= cuts
            self.world.tell(f"cut {process.name} from {sorted(coming)} and supervisors")
            self.world.at(rng.choice((400, 800, 1500)) * MS, self._mend, cuts)

    def _names(self, disks: set[str]) -> set[str]:
        return {p.name for p in self.cluster.processes if p.disk.disk in disks}

    def _mend(self, cuts: set[tuple[str, str]]) -> None:
        self.world.cuts -= cuts

    # Ring

    def _change_ring(self) -> None:
        """Replace one, two or all replicas of a partition; sometimes give it up half-way."""
        rng = self._rng
        partition = rng.randrange(self.cluster.shape.partitions)
        config = self.cluster.topology.configs[partition]
        disks = [process.disk.disk for process in self.cluster.processes]
        size = self.cluster.shape.replicas
        if rng.random() < 0.1 and not self._corrupted:
            size = max(1, min(len(disks), size + rng.choice((-1, 1))))
        spare = [disk for disk in disks if disk not in config.old]
        before = self._before.get(partition, ())
        self._before[partition] = config.old
        rng.shuffle(spare)
        keep = [disk for disk in config.old if disk in disks]
        rng.shuffle(keep)
        fresh = spare if rng.random() < 0.5 else spare[: rng.randint(1, max(1, len(spare)))]
        wish = (fresh + keep)[:size] if fresh else keep[:size]
        rng.shuffle(wish)
        if rng.random() < 0.35 and set(before) <= set(disks) and before:
            wish = list(before)
        supervisor = rng.choice(self.supervisors)
        if rng.random() < (0.4 if config.is_joint else 0.1):
            supervisor.abandons.add(partition)
        self.world.tell(f"partition {partition} is to move from {config.old} to {wish}")
        supervisor.wishes[partition] = tuple(wish)

    # Peace

    def heal(self) -> None:
        """End every fault; what was lost is replaced."""
        self.healed = True
        self.world.tell("faults end")
        self.world.weather = CALM
        self.world.cuts.clear()
        self.cluster.slow_sync = 0.0
        for supervisor in self.supervisors:
            supervisor.lose_replies = 0.0
        for process in self.cluster.processes:
            self._restart(process)
            if process.paused_until_us > self.world.now_us:
                process.paused_until_us = self.world.now_us
                process.wake()

    def replace_lost(self) -> None:
        """Wish every partition off the disks that are gone."""
        disks = [process.disk.disk for process in self.cluster.processes]
        for supervisor in self.supervisors:
            for partition, wish in list(supervisor.wishes.items()):
                if not set(wish) <= set(disks):
                    del supervisor.wishes[partition]
        for partition, config in enumerate(self.cluster.topology.configs):
            gone = [disk for disk in config.members if disk not in disks]
            if not gone:
                continue
            supervisor = self.supervisors[0]
            if config.is_joint:
                if any(disk in config.target for disk in gone):
                    supervisor.abandons.add(partition)
                continue
            keep = [disk for disk in config.old if disk in disks]
            spare = [disk for disk in disks if disk not in keep]
            supervisor.wishes[partition] = tuple((keep + spare)[: len(config.old)])
