"""A simulated storage process: the shell that the real one has, with an injected disk and clock.

Owns the order of effects: writes at once, replies after the sync. Must hold no rule of its own:
what the core decides is what happens. A crash loses everything volatile and the unsynced tail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from becket.core.replication.cells import (
    Answer,
    Attempt,
    Kind,
    Operation,
    Outcome,
    Reason,
    Result,
    SealedCell,
)
from becket.core.replication.effects import Certificate
from becket.core.replication.member import Member
from becket.core.replication.messages import Accept, Message, Sent
from becket.core.replication.settings import Settings
from becket.core.replication.versions import Identity
from becket.core.ring.config import Config
from tests.simulation.disks import SimulatedDisk
from tests.simulation.lookouts import looked_over
from tests.simulation.world import MS, World

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster


_GET = Operation(Kind.GET)


class Clock:
    """A process's clocks: a constant rate, and a wall clock that is off by a constant."""

    def __init__(self, world: World, rate: float, skew_ms: int) -> None:
        self._world = world
        self._rate = rate
        self._skew_ms = skew_ms

    def set(self, rate: float, skew_ms: int) -> None:
        """Run like this; only before anything has been read."""
        self._rate, self._skew_ms = rate, skew_ms

    def read(self) -> tuple[int, int]:
        """(monotonic microseconds, wall milliseconds)."""
        own = int(self._world.now_us * self._rate)
        return own + 10**9, self._world.now_us // MS + self._skew_ms + 1_700_000_000_000


class Process:
    """One storage process on one disk."""

    def __init__(self, cluster: Cluster, name: str, settings: Settings, clock: Clock) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.name = name
        self.settings = settings
        self.clock = clock
        self.disk = SimulatedDisk(cluster.new_disk_id(name))
        self.member: Member | None = None
        self.identity = Identity(self.disk.disk, 0)
        self.paused_until_us = 0
        self._parked: list[tuple[Callable[..., None], tuple[object, ...]]] = []
        self._held: list[tuple[int, list[Sent], list[Answer]]] = []
        self._written = 0
        self._synced = 0
        self._syncing = False
        self._life = 0

    # Life

    def start(self) -> None:
        """Open the disk, raise the incarnation durably, and begin (R8)."""
        self.disk.incarnation += 1
        self._life += 1
        self.identity = Identity(self.disk.disk, self.disk.incarnation)
        now_us, _ = self.clock.read()
        found = (self.disk, self.disk.recovered())
        self.member = looked_over(Member(self.settings, self.identity, found, now_us))
        self._held, self._written, self._synced, self._syncing = [], 0, 0, False
        self._parked = []
        self.paused_until_us = 0
        self.world.tell(f"{self.name} starts as {self.identity.disk}/{self.identity.incarnation}")
        self.cluster.introduce(self)
        self._tick(self._life)

    def crash(self) -> None:
        """Lose everything that is not on the disk."""
        if self.member is None:
            return
        self.world.tell(f"{self.name} crashes")
        self.member = None
        self._life += 1
        self.disk.crash(self.world.rng)

    def wipe(self) -> SimulatedDisk:
        """Lose the disk too; the next start finds a new one (R7). Returns the old disk."""
        self.crash()
        old = self.disk
        self.disk = SimulatedDisk(self.cluster.new_disk_id(self.name))
        self.world.tell(f"{self.name} loses its disk {old.disk}, gets {self.disk.disk}")
        return old

    def pause(self, for_us: int) -> None:
        """Stand still: nothing is read, sent or timed until it wakes."""
        self.paused_until_us = max(self.paused_until_us, self.world.now_us + for_us)
        self.world.tell(f"{self.name} pauses for {for_us / 1000:.0f} ms")
        self.world.at(for_us, self._wake_up, self._life)

    def _wake_up(self, life: int) -> None:
        if life == self._life and self.world.now_us >= self.paused_until_us:
            self.wake()

    def wake(self) -> None:
        """Go on: what arrived meanwhile is taken in, in any order."""
        parked, self._parked = self._parked, []
        self.world.rng.shuffle(parked)
        for call, args in parked:
            call(*args)

    def _awake(self, call: Callable[..., None], *args: object) -> bool:
        if self.world.now_us >= self.paused_until_us:
            return True
        self._parked.append((call, args))
        return False

    # Inputs

    def receive(self, sender: Identity, to: Identity, messages: list[Message]) -> None:
        """An envelope arrives, perhaps one that was sent to an earlier process of this disk."""
        if to.disk == self.disk.disk and self._awake(self.receive, sender, to, messages):
            arrived = [_sealed(message) for message in messages]
            self._step(lambda member: member.receive(self.clock.read(), sender, arrived))

    def submit(self, attempt: Attempt, timeout_us: int, client: Callable[[Answer], None]) -> None:
        """A client's attempt arrives."""
        if self.member is None or not self._awake(self.submit, attempt, timeout_us, client):
            return
        clocks = self.clock.read()
        attempt = attempt._replace(deadline_us=clocks[0] + timeout_us)
        self.cluster.answers[attempt.id] = (self.name, client)
        if not self._read_now(clocks, attempt):
            self._step(lambda member: member.submit(clocks, [attempt]))

    def _read_now(self, clocks: tuple[int, int], attempt: Attempt) -> bool:
        """Answer a read at once where that may be, as a storage process does."""
        if self.member is None or attempt.operations != (_GET,):
            return False
        [result] = self.member.read_now(clocks, [(attempt.partition, attempt.key)])
        self._step(lambda _member: None)
        if result is None or self.member is None:
            return False
        coordinator = self.member.seats[attempt.partition].coordinator
        assert coordinator is not None
        stamp, gen = coordinator.stamp, coordinator.gen
        answer = Answer(attempt.id, Outcome.OK, (result,), Reason.NONE, stamp, "", gen)
        self.cluster.answer(self.name, answer)
        return True

    def offer(self, configs: list[tuple[int, Config]]) -> None:
        """The ring, or a part of it, arrives."""
        if self._awake(self.offer, configs):
            self._step(lambda member: member.offer(self.clock.read(), configs))

    def hand_over(self, leaving: bool) -> None:
        """A planned stop begins."""
        self._step(lambda member: _hand_over(member, self.clock.read(), leaving))

    def suspect(self, peer: Identity) -> None:
        """Failure detection says, rightly or not, that a process of a peer is gone."""
        if self._awake(self.suspect, peer):
            self._step(lambda member: member.suspect(self.clock.read(), peer))

    def read_bounded(self, at: tuple[int, bytes], staleness_us: int) -> Result | None:
        """A bounded read; None where this replica cannot answer it."""
        if self.member is None or self.world.now_us < self.paused_until_us:
            return None
        result = self.member.read_bounded(self.clock.read(), at, staleness_us)
        self._step(lambda _member: None)
        return result

    def _tick(self, life: int) -> None:
        if life != self._life or self.member is None:
            return
        if self._awake(self._tick, life):
            self._step(lambda member: member.tick(self.clock.read()))
            self.world.at(self.cluster.tick_us, self._tick, life)

    # Effects

    def _step(self, call: Callable[[Member], None]) -> None:
        member = self.member
        if member is None:
            return
        call(member)
        effects = member.take()
        if effects.writes:
            self.disk.apply(effects.writes)
            self._written += 1
        if effects.requests:
            self._send(effects.requests)
        for answer in effects.answers:
            self.cluster.answer(self.name, answer)
        if effects.replies or effects.synced_answers:
            if self._written == self._synced:
                self._release(effects.replies, effects.synced_answers)
            else:
                self._held.append((self._written, effects.replies, effects.synced_answers))
        for certificate in effects.certificates:
            self._certify(certificate)
        if self._written > self._synced and not self._syncing:
            self._start_sync()

    def _start_sync(self) -> None:
        self._syncing = True
        rng = self.world.rng
        slow = rng.random() < self.cluster.slow_sync
        delay = rng.randint(5 * MS, 80 * MS) if slow else rng.randint(100, 2 * MS)
        self.world.at(delay, self._finish_sync, self._life, self._written)

    def _finish_sync(self, life: int, written: int) -> None:
        if life != self._life or not self._awake(self._finish_sync, life, written):
            return
        self.disk.sync(written - self._synced)
        self._synced = written
        self._syncing = False
        held, self._held = self._held, []
        for mark, replies, answers in held:
            if mark <= written:
                self._release(replies, answers)
            else:
                self._held.append((mark, replies, answers))
        if self._written > self._synced and not self._syncing:
            self._start_sync()

    def _release(self, replies: list[Sent], answers: list[Answer]) -> None:
        own = [sent.message for sent in replies if sent.to == self.disk.disk]
        others = [sent for sent in replies if sent.to != self.disk.disk]
        if others:
            self._send(others)
        for answer in answers:
            self.cluster.answer(self.name, answer)
        if own:
            self.world.at(1, self._receive_own, self._life, own)

    def _receive_own(self, life: int, messages: list[Message]) -> None:
        if life == self._life:
            self.receive(self.identity, self.identity, messages)

    def _send(self, sent: list[Sent]) -> None:
        envelopes: dict[str, list[Message]] = {}
        for to, message in sent:
            envelopes.setdefault(to, []).append(message)
        for to, messages in envelopes.items():
            self.cluster.carry(self, to, messages)

    def _certify(self, certificate: Certificate) -> None:
        self.cluster.certify(self, certificate)


def _hand_over(member: Member, clocks: tuple[int, int], leaving: bool) -> None:
    member.hand_over(clocks, leaving=leaving)


def _sealed(message: Message) -> Message:
    """The message as it arrives at a real member: of an Accept's cell only the head was read."""
    if not isinstance(message, Accept) or isinstance(message.cell, SealedCell):
        return message
    cell = message.cell
    return message._replace(cell=SealedCell(b"", cell.head, lambda _: cell))
