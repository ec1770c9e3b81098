"""Ring changes in which one party is killed around every step.

Owns the kinds of changes, the parties, and the verdict of one run: the change ends, clients' writes
are there, their histories make sense. A run without a kill lists the steps of a change; then each
step is met again, in a run of its own, and somebody is killed just before or just after it.

The balancer is no party here: nothing in the core hears it, so its death changes no event
(`supervision` takes loads from the members' own reports).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from becket.core.errors import BugError
from becket.core.histories.search import Judgement, judge
from becket.core.replication.cells import Kind, Operation, Outcome
from tests.simulation.clients import Client, Running
from tests.simulation.planned import KEYS, PARTITIONS, Planned, Step, When
from tests.simulation.world import MS, SECOND

SETTLE_US, END_US, LOOK_US = 1 * SECOND, 40 * SECOND, 50 * MS
AWAY_US = 700 * MS
"""A killed process is away for longer than suspicion takes, so that somebody stands in for it."""

CALLS, PACE_US = 40, 60 * MS


class Party(Enum):
    """Who is killed."""

    SUPERVISOR = "supervisor"
    SOURCE = "source"
    """The member that coordinates the step's partition, and so copies it."""
    TARGET = "target"
    """The member that is given a copy of it."""
    TARGET_DISK = "target and its disk"
    """The same, and it comes back empty (R20)."""


@dataclass(frozen=True)
class Kill:
    """One kill: at the ``number``-th step of a change, before or after it."""

    number: int
    when: When
    party: Party


@dataclass
class Shown:
    """What one run showed. ``problem`` is empty when all is well."""

    problem: str = ""
    steps: tuple[Step, ...] = ()
    was_killed: bool = False
    acknowledged: int = 0
    took_us: int = 0
    story: tuple[str, ...] = ()


# The changes


def join(planned: Planned) -> None:
    """One member more."""
    planned.wished = [*planned.wished, "m3"]


def leave(planned: Planned) -> None:
    """One member less: it is drained, then forgotten."""
    planned.wished = planned.wished[:-1]


def exchange(planned: Planned) -> None:
    """One member comes, another leaves, in one plan."""
    planned.wished = [*planned.wished[1:], "m4"]


def lost(planned: Planned) -> None:
    """A disk is lost for good, an empty one takes its name."""
    planned.kill("m0", away_us=AWAY_US, wiped=True)


CHANGES: dict[str, tuple[int, Callable[[Planned], None]]] = {
    "join": (3, join),
    "leave": (4, leave),
    "exchange": (4, exchange),
    "lost": (3, lost),
}
"""For each kind of change the members before it, and how it is wished for."""


class Run:
    """One change from its wish to its end, with or without a kill."""

    def __init__(self, change: str, kill: Kill | None = None, *, story: bool = False) -> None:
        members, self._wish = CHANGES[change]
        self._kill = kill
        self.planned = Planned(5, members)
        self.world = self.planned.world
        if story:
            self.world.story = []
        self.planned.on_step = self._on_step
        self.shown = Shown()
        self._first: int | None = None
        """The number of the first step that counts; None while nothing is wished for."""
        cluster = self.planned.cluster
        self._clients = [
            Client(cluster, f"c{i}", CALLS, self.world.stream(f"client {i}")) for i in range(2)
        ]

    def execute(self) -> Shown:
        """Run to the end and judge."""
        shown = self.shown
        try:
            shown.problem = self._change() or self._read_back() or self._judge()
        except BugError as error:
            shown.problem = f"{type(error).__name__}: {error}"
        shown.steps = tuple(self.planned.steps[self._first or 0 :])
        shown.acknowledged = self.planned.cluster.history.acknowledged
        shown.story = tuple(self.world.story or ())
        return shown

    # Phases

    def _change(self) -> str:
        world, planned = self.world, self.planned
        self._load()
        world.run_until(SETTLE_US)
        for client in self._clients:
            client.pace_us = PACE_US
            client.begin()
        world.run_until(world.now_us + 200 * MS)
        began_us = world.now_us
        self._first = len(planned.steps)
        planned.supervisor.quiet_rounds = 0
        self._wish(planned)
        while not self._has_ended():
            if world.now_us - began_us > END_US:
                return f"the change does not end: {planned.store.ring.configs}"
            world.run_until(world.now_us + LOOK_US)
        self.shown.took_us = world.now_us - began_us
        return self._wrong_end()

    def _load(self) -> None:
        """Every key has a value before anything changes."""
        for partition in range(PARTITIONS):
            for number in range(KEYS):
                self._ask(partition, number, Operation(Kind.PUT, b"1"))

    def _ask(self, partition: int, number: int, operation: Operation) -> Running:
        key = f"p{partition}k{number}".encode()
        name = f"{operation.kind.name.lower()} {key.decode()}"
        client = Client(self.planned.cluster, name, 0, self.world.stream(name))
        return client.insist(partition, key, operation)

    def _has_ended(self) -> bool:
        return self.planned.supervisor.is_done and all(
            client.left <= 0 and not client.open for client in self._clients
        )

    def _wrong_end(self) -> str:
        """What of the ring is not as wished for."""
        planned = self.planned
        ring = planned.store.ring
        names = sorted(member.name for member in ring.members)
        wished = {planned.disk(name) for name in planned.wished}
        if names != sorted(planned.wished) or {m.disk for m in ring.members} != wished:
            return f"the ring names {names}, wished for are {planned.wished}"
        for number, config in enumerate(ring.configs):
            if config.is_joint or len(config.old) != 3:
                return f"partition {number} is left as {config}"
        if not self.shown.was_killed and self._kill is not None:
            return "nobody was killed"
        return ""

    def _read_back(self) -> str:
        """Everything that was acknowledged is there, at the members of now."""
        get = Operation(Kind.GET)
        reads = [self._ask(p, n, get) for p in range(PARTITIONS) for n in range(KEYS)]
        until_us = self.world.now_us + 10 * SECOND
        while self.world.now_us < until_us and not all(read.finished for read in reads):
            self.world.run_until(self.world.now_us + LOOK_US)
        if not all(read.call.outcome is Outcome.OK for read in reads):
            return "a key cannot be read after the change"
        return ""

    def _judge(self) -> str:
        for key, entries in sorted(self.planned.cluster.history.by_key().items()):
            if judge(entries) is not Judgement.LINEARIZABLE:
                lines = "\n".join(str(entry) for entry in entries)
                return f"{key!r} is not shown to be linearizable:\n{lines}"
        return ""

    # The kill

    def _on_step(self, number: int, when: When) -> None:
        kill = self._kill
        if self._first is None or kill is None or self.shown.was_killed:
            return
        if (number - self._first, when) == (kill.number, kill.when):
            step = self.planned.steps[number]
            self.shown.was_killed = True
            self.world.tell(f"{when.value} {step}: {kill.party.value}")
            self._strike(step, kill.party)

    def _strike(self, step: Step, party: Party) -> None:
        planned = self.planned
        if party is Party.SUPERVISOR:
            planned.supervisor.kill(AWAY_US)
        elif party is Party.SOURCE:
            planned.kill(self._source(step), away_us=AWAY_US)
        else:
            wiped = party is Party.TARGET_DISK
            planned.kill(self._target(step), away_us=AWAY_US, wiped=wiped)

    def _source(self, step: Step) -> str:
        """Who coordinates the partition, or the first of its replicas."""
        partition = max(0, step.partition)
        reigning = self.planned.cluster.reigning(partition)
        if reigning:
            return reigning[0].name
        ring = self.planned.store.ring
        return ring.name_of(ring.configs[partition].old[0])

    def _target(self, step: Step) -> str:
        """Who is given a copy, or is going to be; where nobody is, the last of the replicas."""
        ring = self.planned.store.ring
        config = ring.configs[max(0, step.partition)]
        if config.newcomers:
            return ring.name_of(config.newcomers[0])
        held = {disk for each in ring.configs for disk in each.members}
        empty = [name for name in self.planned.wished if self.planned.disk(name) not in held]
        return empty[0] if empty else ring.name_of(config.target[-1])


def kills(steps: Sequence[Step], *, every: bool) -> Iterator[Kill]:
    """A kill of each party before and after each step.

    Unless ``every`` is asked for: of each kind of step of a partition the first and the last.
    """
    first: dict[Step, int] = {}
    last: dict[Step, int] = {}
    for number, step in enumerate(steps):
        first.setdefault(step, number)
        last[step] = number
    chosen = range(len(steps)) if every else sorted({*first.values(), *last.values()})
    for number in chosen:
        for when in When:
            for party in Party:
                yield Kill(number, when, party)
