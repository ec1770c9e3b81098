"""A simulated cluster whose ring a shipped supervisor changes: plans, from the wish to their end.

Owns the supervisor's shell in simulated time: what it sees of the processes, how it reads and
writes the ring object, what it tells them, what of it outlives a crash (the object, and the note of
the plan beside it). Must not decide anything: that is ``becket.core.supervision``. Who watches
(``on_step``) is called just before and just after each step of a change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import NamedTuple

from becket.core.placement.result import Constraints
from becket.core.plans.recovery import first_ring
from becket.core.plans.wishes import Certificate as Certified
from becket.core.plans.writer import (
    Announce,
    CasConfirmed,
    CasConflict,
    CompareAndSwap,
    Event,
    ObjectRead,
    ReadObject,
    Refresh,
    TopologyWriter,
    Want,
)
from becket.core.replication.messages import (
    Accept,
    Compare,
    CopyIn,
    CopyKeys,
    HandOver,
    ListKeys,
    Message,
    Prepare,
    ReadKey,
    Release,
    SetFloor,
    WouldPromise,
)
from becket.core.replication.settings import Settings
from becket.core.replication.versions import Identity
from becket.core.ring.config import Disk
from becket.core.ring.members import Member
from becket.core.ring.ring import Ring
from becket.core.supervision.beginning import NewCluster
from becket.core.supervision.deciding import Supervision, SupervisionSettings
from becket.core.supervision.offering import Offering
from becket.core.supervision.snapshot import Coordinated, Seen, Snapshot, Wished
from tests.simulation.cluster import Cluster, Shape, TopologyObject
from tests.simulation.processes import Process
from tests.simulation.world import MS, World

REPLICAS, PARTITIONS, KEYS = 3, 2, 3
ROUND_US, CALL_US = 40 * MS, 2 * MS
SUSPICION_US = 400 * MS

COPYING = (
    WouldPromise,
    Prepare,
    ListKeys,
    Compare,
    ReadKey,
    CopyIn,
    CopyKeys,
    Accept,
    SetFloor,
)
"""Messages of a partition under change that are steps of it (R11-R13, R17-R19)."""
LEAVING = (Release, HandOver)
"""Messages that are steps of it whenever they are sent while a plan is under way (R3, R24)."""

QUICK = Settings(quarantine_us=1000 * MS, gossip_us=300 * MS, buckets=4)


class Step(NamedTuple):
    """One step of a change: what it is, of which partition (-1: of the members)."""

    kind: str
    partition: int = -1


class When(Enum):
    """Beside a step."""

    BEFORE = "before"
    AFTER = "after"


Watch = Callable[[int, When], None]
"""Told of a step by its number, just before it and just after it."""


def _nobody(_number: int, _when: When) -> None:
    """Nobody watches."""


class RingStore:
    """The ring object and the note beside it; all that outlives a supervisor."""

    def __init__(self, cluster: Cluster, ring: Ring) -> None:
        self._cluster = cluster
        self.ring, self.number = ring, 1
        self.note = ""
        cluster.topology = TopologyObject(ring.configs)

    @property
    def version(self) -> str:
        """The object version."""
        return str(self.number)

    def write(self, swap: CompareAndSwap) -> bool:
        """Compare and swap."""
        if swap.expected != self.version:
            return False
        self.ring, self.number = swap.ring, self.number + 1
        topology = self._cluster.topology
        topology.compare_and_swap(None, swap.ring.configs)
        self._cluster.audit_topology()
        return True


class Planned:
    """Members m0, m1, ...: the first ``wished`` of them make the ring, the others run beside."""

    def __init__(self, members: int, wished: int, settings: Settings = QUICK) -> None:
        self.world = World(1)
        shape = Shape(members, REPLICAS, PARTITIONS, 0, KEYS)
        self.cluster = cluster = Cluster(self.world, shape, settings)
        self.wished = [process.name for process in cluster.processes[:wished]]
        """Names that should be members."""
        table = [Member(self.disk(name), name) for name in self.wished]
        ring = first_ring("simulated", table, PARTITIONS, Constraints(REPLICAS))
        self.store = RingStore(cluster, ring)
        self.on_step: Watch = _nobody
        self.steps: list[Step] = []
        """All steps so far."""
        self.held = {process.name: 0 for process in cluster.processes}
        """The version of the ring that each member keeps on its disk."""
        self.silent_since: dict[Disk, int] = {}
        """Disks that no process serves; for ever, where one was lost."""
        self._certified: dict[tuple[str, int], Certified] = {}
        cluster.filter = self._pass
        cluster.certificates = [self._certify]
        for process in cluster.processes:
            process.start()
            self.give_ring(process.name, self.store.ring)
        self.supervisor = Supervisor(self)
        self.supervisor.start()

    def process(self, name: str) -> Process:
        """A process by its name."""
        return next(p for p in self.cluster.processes if p.name == name)

    def disk(self, name: str) -> Disk:
        """The disk that a process serves now."""
        return self.process(name).disk.disk

    # Members

    def kill(self, name: str, *, away_us: int, wiped: bool = False) -> None:
        """Kill a member; it starts again ``away_us`` later, perhaps on a new disk."""
        process = self.process(name)
        if process.member is None:
            return
        self.silent_since[process.disk.disk] = self.world.now_us
        self.world.at(SUSPICION_US, self._suspect, process.identity)
        if wiped:
            process.wipe()
            self.held[name] = 0
        else:
            process.crash()
        for at in [at for at in self._certified if at[0] == name]:
            del self._certified[at]  # R19: a certificate is volatile.
        self.world.at(away_us, self._restart, process)

    def _restart(self, process: Process) -> None:
        self.silent_since.pop(process.disk.disk, None)
        process.start()
        if self.held[process.name]:
            self.give_ring(process.name, self.store.ring)

    def _suspect(self, identity: Identity) -> None:
        if identity.disk in self.silent_since:
            for other in self.cluster.processes:
                if other.member is not None:
                    other.suspect(identity)

    @property
    def all_run(self) -> bool:
        """Whether no process is away."""
        return all(process.member is not None for process in self.cluster.processes)

    def suspects(self) -> frozenset[Disk]:
        """Whom the others do not hear."""
        until = self.world.now_us - SUSPICION_US
        return frozenset(disk for disk, at in self.silent_since.items() if at <= until)

    def give_ring(self, name: str, ring: Ring) -> None:
        """A member is shown the ring, and keeps it."""
        process = self.process(name)
        if process.member is None or self.held[name] >= ring.version:
            return
        self.held[name] = ring.version
        process.offer(list(enumerate(ring.configs)))

    def _certify(self, certificate: object) -> None:
        partition, gen, epoch, disk = (
            getattr(certificate, field) for field in ("partition", "gen", "epoch", "disk")
        )
        process = self.cluster.process_of(disk)
        if process is None or process.member is None:
            return
        with self.around(Step("certificate", partition)):
            if process.member is not None:
                found = Certified(partition, gen, tuple(epoch), disk)
                self._certified[process.name, partition] = found

    # Steps

    @contextmanager
    def around(self, *steps: Step) -> Iterator[None]:
        """What happens within are these steps."""
        first = len(self.steps)
        self.steps += steps
        numbers = range(first, len(self.steps))
        for number in numbers:
            self.on_step(number, When.BEFORE)
        yield
        for number in numbers:
            self.on_step(number, When.AFTER)

    def _pass(
        self,
        _way: tuple[str, str],
        message: Message,
        deliver: Callable[..., None],
        args: tuple[object, ...],
    ) -> bool:
        """Steps of a change are delivered by hand, so that somebody may be killed around them."""
        partition = getattr(message, "partition", -1)
        if partition < 0 or not self.is_changing:
            return False
        is_step = isinstance(message, LEAVING)
        if isinstance(message, COPYING):
            is_step = self.store.ring.configs[partition].is_joint
        if is_step:
            step = Step(type(message).__name__, partition)
            self.world.at(MS, self._deliver, step, deliver, args)
        return is_step

    def _deliver(self, step: Step, deliver: Callable[..., None], args: tuple[object, ...]) -> None:
        with self.around(step):
            deliver(*args)

    @property
    def is_changing(self) -> bool:
        """Whether the ring is not yet what is wished for."""
        return not self.supervisor.is_done

    # Reports

    def seen(self) -> tuple[Seen, ...]:
        """What the processes that run report now."""
        suspects, now_us = self.suspects(), self.world.now_us
        found = []
        for process in self.cluster.processes:
            if process.member is None:
                continue
            held = self.held[process.name]
            coordinates = tuple(
                Coordinated(partition, reign.gen, reign.epoch)
                for partition, reign in process.member.reigns().items()
            )
            found.append(
                Seen(
                    process.name,
                    process.disk.disk,
                    process.identity.incarnation,
                    "simulated" if held else "",
                    held,
                    at_us=now_us,
                    suspects=suspects - {process.disk.disk},
                    certificates=tuple(
                        c for at, c in self._certified.items() if at[0] == process.name
                    ),
                    coordinates=coordinates,
                )
            )
        return tuple(found)


class Supervisor:
    """The one supervisor; after a crash all that it knows is the object and the note."""

    def __init__(self, planned: Planned) -> None:
        self.planned, self.world, self.store = planned, planned.world, planned.store
        self.life = 0
        self.is_alive = False
        self.quiet_rounds = 0
        self.starts = 0
        self._begin()

    def _begin(self) -> None:
        new = NewCluster("simulated", PARTITIONS, Constraints(REPLICAS))
        self.decider = Supervision(SupervisionSettings(gather_us=0), new)
        self.writer = TopologyWriter()
        self.offering = Offering()
        self.found: Ring | None = None
        self.is_writing = False
        self.decider.planning.take_note(self.store.note)

    def start(self) -> None:
        """Begin: everything in memory is new."""
        self.life += 1
        self.starts += 1
        self.is_alive = True
        self.quiet_rounds = 0
        self._begin()
        self.world.tell("the supervisor starts")
        self._handle(self.life, Refresh())
        self.world.at(ROUND_US, self._round, self.life)

    def kill(self, away_us: int) -> None:
        """Stop at once; a write that is on its way still arrives."""
        if not self.is_alive:
            return
        self.world.tell("the supervisor is killed")
        self.is_alive = False
        self.quiet_rounds = 0
        self.life += 1
        self.world.at(away_us, self.start)

    @property
    def is_done(self) -> bool:
        """Whether nothing has been wished for, and no plan been under way, for some rounds."""
        return self.quiet_rounds >= 5

    def _round(self, life: int) -> None:
        if life != self.life:
            return
        self.world.at(ROUND_US, self._round, life)
        if self.found is None or self.is_writing:
            return
        snapshot = self._snapshot()
        for offer in self.offering.offers(self.found, snapshot):
            self._offer(offer.name, self.found, offer.partitions)
        decision = self.decider.decide(snapshot)
        if self.decider.is_settled:
            self.store.note = self.decider.planning.note
        is_quiet = not decision.wishes and self.decider.planning.current is None
        is_quiet &= self.found == self.store.ring and self.planned.all_run
        self.quiet_rounds = self.quiet_rounds + 1 if is_quiet else 0
        if decision.wishes:
            self.is_writing = True
            self._handle(life, Want(decision.wishes))
        else:
            self._handle(life, Refresh())

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            now_us=self.world.now_us,
            found=self.found,
            wished=tuple(Wished(name) for name in self.planned.wished),
            seen=self.planned.seen(),
            confirmed=self.writer.announced,
        )

    def _offer(self, name: str, ring: Ring, partitions: Sequence[int]) -> None:
        """The replica sets at once, the others of the ring by gossip, a little later (R3)."""
        process = self.planned.process(name)
        configs = [(number, ring.configs[number]) for number in partitions]
        for number, _ in configs:
            self.world.at(CALL_US, self._show, process, ring, number)
        later = self.planned.cluster.settings.gossip_us
        self.world.at(later, self.planned.give_ring, name, ring)

    def _show(self, process: Process, ring: Ring, partition: int) -> None:
        with self.planned.around(Step("shown", partition)):
            if process.member is not None:
                process.offer([(partition, ring.configs[partition])])

    # The writer's effects

    def _handle(self, life: int, event: Event) -> None:
        if life != self.life:
            return
        for effect in self.writer.handle(event):
            if isinstance(effect, ReadObject):
                self.world.at(CALL_US, self._read, life)
            elif isinstance(effect, CompareAndSwap):
                self.world.at(CALL_US, self._write, life, effect)
            elif isinstance(effect, Announce):
                self.found = effect.ring
        self.is_writing = bool(self.writer.pending)

    def _read(self, life: int) -> None:
        if life == self.life:
            self.found = self.store.ring
            self._handle(life, ObjectRead(self.store.ring, self.store.version))

    def _write(self, life: int, swap: CompareAndSwap) -> None:
        with self.planned.around(*_changes(self.store.ring, swap.ring)):
            is_written = self.store.write(swap)
        answer = CasConfirmed() if is_written else CasConflict()
        self.world.at(CALL_US, self._handle, life, answer)


def _changes(before: Ring, after: Ring) -> list[Step]:
    """The steps that one write makes."""
    found = []
    if [m.disk for m in before.members] != [m.disk for m in after.members]:
        found.append(Step("more" if len(after.members) > len(before.members) else "fewer"))
    elif before.members != after.members:
        found.append(Step("members"))
    for partition, (was, now) in enumerate(zip(before.configs, after.configs, strict=True)):
        if was != now:
            kind = "begin" if now.is_joint else "final" if now.old == was.new else "given up"
            found.append(Step(kind, partition))
    return found
