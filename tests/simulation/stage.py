"""A simulated cluster that is led by hand: for written schedules.

Owns the levers: which messages are held back and for how long, who is cut off, who crashes or is
suspected, where a client sends each attempt, when the ring changes. Between the levers the shipped
core and the simulator's own shell run as always, on a network that behaves. Deterministic.

A schedule must make sense for the core as it is and for a mutant of it, so its steps say what to
try and for how long, never what must come of it; what clients saw is judged at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from becket.core.errors import InvalidInputError
from becket.core.histories.entries import Entry
from becket.core.histories.search import Judgement, judge
from becket.core.replication.cells import Answer, Kind, Operation, Outcome
from becket.core.replication.messages import Message
from becket.core.replication.settings import Settings
from becket.core.ring.config import Config, first_config
from becket.core.sessions import Call, Session
from tests.simulation.cluster import Cluster, Shape, TopologyObject
from tests.simulation.processes import Process
from tests.simulation.world import MS, World

QUIET = Settings(
    lease_us=400 * MS,
    quarantine_us=400 * MS,
    suspicion_us=400 * MS,
    gossip_us=50 * MS,
    return_us=60_000 * MS,
    purge_age_us=60_000 * MS,
    sweep_us=60_000 * MS,
    compare_us=60_000 * MS,
    round_us=5000 * MS,
    isolation_us=5000 * MS,
    buckets=1,
)
"""Nothing happens by itself but leases, suspicion and repeated messages."""


@dataclass
class Hold:
    """Messages kept back: from one of ``senders`` to one of ``receivers``, of these kinds."""

    stage: Stage
    senders: frozenset[str]
    receivers: frozenset[str]
    kinds: tuple[type, ...]
    active: bool
    kept: list[tuple[Callable[..., None], tuple[object, ...]]]

    def takes(self, sender: str, receiver: str, message: Message) -> bool:
        """Whether this message is to be kept back."""
        return (
            self.active
            and sender in self.senders
            and receiver in self.receivers
            and (not self.kinds or isinstance(message, self.kinds))
        )

    def stop(self) -> None:
        """Keep what is kept, for ever or until ``release``, and let later messages pass."""
        self.active = False

    def release(self) -> None:
        """Deliver everything that was kept back, in order, and let later messages pass."""
        self.active = False
        kept, self.kept = self.kept, []
        for deliver, args in kept:
            self.stage.world.at(0, deliver, *args)


class Running:
    """One call of a schedule's client."""

    def __init__(self, stage: Stage, session: Session, call: Call, entry: Entry) -> None:
        self.stage = stage
        self.name = session.id
        self._session = session
        self._call = call
        self._entry = entry
        self.hint = ""
        """The member that the last answer named as coordinator."""

    @property
    def is_over(self) -> bool:
        """Whether the call has its outcome."""
        return self._call.outcome is not None

    @property
    def is_done(self) -> bool:
        """Whether the call has ended well."""
        return self._call.outcome is Outcome.OK

    def attempt(self, at: str, *, timeout_ms: int = 5000) -> Running:
        """Send an attempt to a member; whatever answers an earlier one is dropped (R29)."""
        if not self.is_over:
            stage = self.stage
            attempt = self._session.attempt(self._call, stage.cluster.next_attempt_id(), 0)
            target = stage.process(at)
            stage.cluster.call(self.name, target, attempt, timeout_ms * MS, self.take)
        return self

    def take(self, answer: Answer) -> None:
        """An answer has come."""
        before = self.is_over
        self._session.answer(self._call, answer)
        named = self.stage.cluster.process_of(answer.coordinator)
        self.hint = named.name if named is not None else ""
        if self.is_over and not before:
            self._entry.ended_us = self.stage.world.now_us
            if self._call.outcome is Outcome.OK:
                self._entry.results = self._call.results
            elif self._call.outcome is Outcome.NO:
                self._entry.refused = True
            else:
                self._entry.ended_us = None

    def until_over(self, ms: int = 200) -> Running:
        """Let time pass until the call has its outcome, but not for longer than ``ms``."""
        self.stage.until(lambda: self.is_over, ms)
        return self

    def stop(self) -> None:
        """The client gives the call up; its outcome is what is known by now (R29)."""
        if not self.is_over and self._session.stop(self._call) is Outcome.NO:
            self._entry.ended_us, self._entry.refused = self.stage.world.now_us, True


class Stage:
    """Members m0, m1, ... of which the first ``replicas`` hold the one partition."""

    def __init__(
        self,
        members: int,
        replicas: int = 3,
        settings: Settings = QUIET,
        *,
        rates: str = "",
        skews: tuple[int, ...] = (),
    ) -> None:
        self.world = World(0)
        self.world.story = []
        self.cluster = Cluster(self.world, Shape(members, replicas, 1, 0, 1), settings)
        rho = settings.clock_rate_error
        for place, process in enumerate(self.cluster.processes):
            rate = {"-": 1 - rho, "+": 1 + rho}.get(rates[place : place + 1], 1.0)
            process.clock.set(rate, skews[place] if place < len(skews) else 0)
        config = first_config(tuple(self.disk(f"m{i}") for i in range(replicas)))
        self.cluster.topology = TopologyObject((config,))
        self.cluster.filter = self._filter
        self.cluster.tick_us = 10 * MS
        self._holds: list[Hold] = []
        self._sessions: dict[str, Session] = {}
        self.calls: list[Running] = []
        self.overdue = ""
        """What should have ended by now, by a schedule that is about progress."""
        self.cluster.start()
        self.cluster.on_certificate = lambda process, _: self.certified.append(process.name)
        self.certified: list[str] = []

    # Who and what

    def process(self, name: str) -> Process:
        """A process by its name."""
        return next(p for p in self.cluster.processes if p.name == name)

    def disk(self, name: str) -> str:
        """The disk that a process serves now."""
        return self.process(name).disk.disk

    @property
    def config(self) -> Config:
        """The partition's config in the object."""
        return self.cluster.topology.configs[0]

    def coordinators(self) -> list[str]:
        """Who believes to coordinate."""
        return [process.name for process in self.cluster.reigning(0)]

    def everybody(self) -> list[str]:
        """The names of all processes."""
        return [process.name for process in self.cluster.processes]

    # Time

    def run(self, ms: float) -> None:
        """Let time pass."""
        self.world.run_until(self.world.now_us + int(ms * MS))

    def until(self, holds: Callable[[], bool], ms: int = 3000) -> bool:
        """Let time pass until something holds, but not for longer than ``ms``."""
        end = self.world.now_us + ms * MS
        while not holds() and self.world.now_us < end:
            self.world.run_until(self.world.now_us + MS // 5)
        return holds()

    def until_reign(self, name: str, ms: int = 3000) -> bool:
        """Let time pass until this member coordinates."""
        return self.until(lambda: name in self.coordinators(), ms)

    # Network

    def _filter(
        self,
        way: tuple[str, str],
        message: Message,
        deliver: Callable[..., None],
        args: tuple[object, ...],
    ) -> bool:
        for hold in self._holds:
            if hold.takes(*way, message):
                hold.kept.append((deliver, args))
                return True
        return False

    def hold(self, senders: Iterable[str], receivers: Iterable[str], *kinds: type) -> Hold:
        """Keep back these messages (of all kinds, when none is named) from now on."""
        hold = Hold(self, frozenset(senders), frozenset(receivers), kinds, active=True, kept=[])
        self._holds.append(hold)
        return hold

    def cut(self, side: Iterable[str], other: Iterable[str]) -> None:
        """No message passes between the two sides; clients still reach both."""
        pairs = {(a, b) for a in side for b in other if a != b}
        self.world.cuts |= pairs | {(b, a) for a, b in pairs}

    def mend(self) -> None:
        """Every message passes again."""
        self.world.cuts.clear()

    def suspect(self, name: str, by: Iterable[str]) -> None:
        """Failure detection tells these members that a process is gone."""
        for other in by:
            if self.process(other).member is not None:
                self.process(other).suspect(self.process(name).identity)

    def lose_unsynced(self, name: str) -> None:
        """Crash at the worst moment: nothing that was not synced survives."""
        self.process(name).disk.unsynced.clear()
        self.process(name).crash()

    def restart(self, name: str) -> None:
        """Crash and start again at once."""
        self.process(name).crash()
        self.process(name).start()

    # Ring

    def change(self, config: Config, to: Iterable[str]) -> None:
        """Write the object, and show the config to some members."""
        topology = self.cluster.topology
        topology.compare_and_swap(topology.version, (config,))
        self.offer(to)

    def offer(self, to: Iterable[str]) -> None:
        """Show the object's config to some members."""
        for name in to:
            process = self.process(name)
            self.world.at(MS // 10, process.offer, [(0, self.config)])

    def begin(self, names: Iterable[str], to: Iterable[str]) -> None:
        """Begin to move the partition to these members."""
        self.change(self.config.begin(tuple(self.disk(name) for name in names)), to)

    def move(self, names: Iterable[str]) -> bool:
        """Move the partition to these members, all the way."""
        self.begin(names, self.everybody())
        self.certified.clear()
        if not self.until(lambda: bool(self.certified), 8000):
            return False
        self.change(self.config.finish(), self.everybody())
        return True

    # Clients

    def call(self, client: str, key: str, *operations: Operation) -> Running:
        """A call of a client, not yet sent."""
        session = self._sessions.setdefault(client, Session(client))
        try:
            call = session.begin(0, key.encode(), operations)
        except InvalidInputError:
            # An earlier call of this client is open: it goes on in another session.
            client = f"{client}.{len(self.calls)}"
            session = self._sessions[client] = Session(client)
            call = session.begin(0, key.encode(), operations)
        entry = Entry(client, key.encode(), operations, self.world.now_us)
        self.cluster.history.entries.append(entry)
        running = Running(self, session, call, entry)
        self.calls.append(running)
        return running

    def put(self, client: str, key: str, value: str, at: str) -> Running:
        """Send a put."""
        return self.call(client, key, Operation(Kind.PUT, value.encode())).attempt(at)

    def get(self, client: str, key: str, at: str) -> Running:
        """Send a get."""
        return self.call(client, key, Operation(Kind.GET)).attempt(at)

    def delete(self, client: str, key: str, at: str) -> Running:
        """Send a delete."""
        return self.call(client, key, Operation(Kind.DELETE)).attempt(at)

    def judge(self) -> str:
        """What was violated; empty when nothing was."""
        for running in self.calls:
            running.stop()
        for key, entries in sorted(self.cluster.history.by_key().items()):
            if judge(entries) is not Judgement.LINEARIZABLE:
                lines = "\n".join(str(entry) for entry in entries)
                return f"{key!r} is not linearizable:\n{lines}"
        return ""


def quick(**changes: object) -> Settings:
    """The quiet settings with some of them changed."""
    return replace(QUIET, **changes)  # type: ignore[arg-type]
