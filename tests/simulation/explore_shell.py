"""One member under exploration: the shipped core with a shell that is a value.

Owns the order of effects (writes at once, replies after the sync) and what a crash leaves. Every
input is one call on a ``Shell``; what leaves it comes back as ``Outputs``. Time stands still
unless an input lets it pass. Must hold no rule of its own.

Two reductions are made here, both of them sound. An engine that cannot crash any more (each of
``Life.crashing`` crashes once at most) is one that is never caught unsynced, so it syncs at once.
A member's reply to itself is taken in at once when it may leave: it goes through no network, and
what might come in between might as well come after.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from becket.core.replication.cells import Answer, Attempt
from becket.core.replication.effects import Certificate
from becket.core.replication.member import Member
from becket.core.replication.messages import Message, Sent, WouldPromise
from becket.core.replication.roles import Role
from becket.core.replication.settings import Settings
from becket.core.replication.versions import Identity
from becket.core.ring.config import Config
from tests.simulation.disks import SimulatedDisk

PARTITION = 0
START_US = 10**12
START_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Life:
    """How the members of a scope live."""

    settings: Settings
    crashing: tuple[int, ...] = ()
    """The members that may crash, each once; an engine that cannot crash any more syncs at once."""
    one_config: bool = True
    """Whether the config never changes, so that nobody ever needs to be shown it again."""
    claims: frozenset[str] = frozenset()
    """Members between which claims arrive once the exploration has begun; others are lost."""
    late_acks: bool = False
    """Whether it matters which members have acked a write after it was chosen (R35)."""
    cuts: frozenset[tuple[str, str]] = frozenset()
    """Pairs of members that hear nothing of each other once the exploration has begun."""
    rates: tuple[float, ...] = ()
    """The rates of the members' clocks; 1.0 where none is given."""


@dataclass(slots=True)
class Outputs:
    """What one input made a member say."""

    messages: list[tuple[Identity, str, Message]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    certificates: list[Certificate] = field(default_factory=list)


@dataclass(slots=True)
class Held:
    """Replies and answers that wait for the first ``mark`` transactions to be synced."""

    mark: int
    replies: list[Sent]
    answers: list[Answer]


class Shell:
    """One storage process, up or down, and its disk."""

    __slots__ = ("clock_us", "disk", "held", "index", "life", "member", "synced", "written")

    def __init__(self, life: Life, index: int, disk: str) -> None:
        self.life = life
        self.index = index
        self.disk = SimulatedDisk(disk)
        self.member: Member | None = None
        self.held: list[Held] = []
        self.clock_us = START_US
        self.written = 0
        self.synced = 0

    # What others may ask of its state

    @property
    def identity(self) -> Identity:
        """The present process of this disk, or the last one."""
        return Identity(self.disk.disk, self.disk.incarnation)

    @property
    def role(self) -> Role | None:
        """What the member is to the partition; None when it is down or has no seat."""
        if self.member is None or PARTITION not in self.member.seats:
            return None
        return self.member.seats[PARTITION].role

    @property
    def unsynced(self) -> int:
        """How many transactions a crash may still lose."""
        return len(self.disk.unsynced)

    def clocks(self) -> tuple[int, int]:
        """(monotonic microseconds, wall milliseconds)."""
        return self.clock_us, START_MS

    # Inputs

    def start(self) -> Outputs:
        """Open the disk, raise the incarnation durably, let the quarantine pass (R8, R22).

        Where there are leases to forget, a restart leaves the quarantine to the passing of time.
        """
        self.disk.incarnation += 1
        self.member = Member(
            self.life.settings, self.identity, (self.disk, self.disk.recovered()), self.clock_us
        )
        if self.disk.incarnation == 1 or not self.life.claims:
            self.clock_us += self.life.settings.quarantine_us
        return self.tick()

    def receive(self, sender: Identity, message: Message) -> Outputs:
        """A message arrives."""
        assert self.member is not None
        self.member.receive(self.clocks(), sender, [message])
        return self._settle(Outputs())

    def submit(self, attempt: Attempt) -> Outputs:
        """A client's attempt arrives."""
        assert self.member is not None
        self.member.submit(self.clocks(), [attempt])
        return self._settle(Outputs())

    def offer(self, config: Config) -> Outputs:
        """The ring arrives; what is due at once is done at once."""
        assert self.member is not None
        self.member.offer(self.clocks(), [(PARTITION, config)])
        if self.role is Role.FOLLOWER:
            self.member.tick(self.clocks())
        return self._settle(Outputs())

    def tick(self) -> Outputs:
        """Let the member look at its timers."""
        assert self.member is not None
        self.member.tick(self.clocks())
        return self._settle(Outputs())

    def hand_over(self) -> Outputs:
        """A planned stop begins (R24)."""
        assert self.member is not None
        self.member.hand_over(self.clocks(), leaving=False)
        return self._settle(Outputs())

    def stand(self) -> Outputs:
        """Failure detection says that the coordinator is gone; the member stands, if it may."""
        assert self.member is not None
        self._suspect()
        self.member.tick(self.clocks())
        return self._settle(Outputs())

    def ask(self, sender: Identity, message: WouldPromise) -> Outputs:
        """A candidate asks a member that has missed the coordinator as well (R11a)."""
        self._suspect()
        return self.receive(sender, message)

    def _suspect(self) -> None:
        assert self.member is not None
        part = self.member.replica.parts.get(PARTITION)
        if part is not None and part.record.promised.disk:
            self.member.suspect(self.clocks(), part.record.promised.owner)
        elif part is not None:
            # Nobody has coordinated yet: this member has waited long enough for somebody.
            part.touched_us = self.clock_us - self.life.settings.suspicion_us

    def pass_time(self, real_us: int) -> Outputs:
        """Time passes; the member learns of it with its next input."""
        rates = self.life.rates
        rate = rates[self.index] if rates else 1.0
        self.clock_us += int(real_us * rate)
        return Outputs()

    def sync(self) -> Outputs:
        """The oldest transaction that was not synced is durable now; what it held back leaves."""
        self.disk.sync(1)
        self.synced += 1
        return self._settle(Outputs())

    def crash(self, kept: int) -> Outputs:
        """Lose everything volatile, and all but ``kept`` of the unsynced transactions."""
        self.disk.sync(kept)
        self.disk.unsynced = []
        self.disk.view = self.disk.durable.copy()
        self.member = None
        self.held, self.written, self.synced = [], 0, 0
        return Outputs()

    # Effects

    def _settle(self, outputs: Outputs) -> Outputs:
        """Carry effects out until the member has nothing more to say to itself."""
        while True:
            own = self._carry_out(outputs)
            member = self.member
            assert member is not None
            if own:
                member.receive(self.clocks(), self.identity, own)
            elif self._wants_tick(member):
                # The second look finds nothing to do, unless a safeguard is missing.
                member.tick(self.clocks())
                member.tick(self.clocks())
            else:
                break
        if self.synced == self.written:
            self.written = self.synced = 0
        return outputs

    def _wants_tick(self, member: Member) -> bool:
        """A joint coordinator's copy starts with its first tick; nothing is won by waiting."""
        seat = member.seats.get(PARTITION)
        if seat is None or seat.role is not Role.COORDINATING or seat.coordinator is None:
            return False
        copying = seat.coordinator.copying
        return copying is not None and not copying._started

    def _carry_out(self, outputs: Outputs) -> list[Message]:
        """Carry out the effects of one step; returns what the member has said to itself."""
        assert self.member is not None
        effects = self.member.take()
        if effects.writes:
            self.disk.apply(effects.writes)
            self.written += 1
            if self.index not in self.life.crashing or self.disk.incarnation > 1:
                self.disk.sync(1)
                self.synced += 1
        self._send(effects.requests, outputs)
        outputs.answers += effects.answers
        outputs.certificates += effects.certificates
        if effects.replies or effects.synced_answers:
            if self.written == self.synced:
                self.held.append(Held(0, effects.replies, effects.synced_answers))
            else:
                self.held.append(Held(self.written, effects.replies, effects.synced_answers))
        return self._release(outputs)

    def _release(self, outputs: Outputs) -> list[Message]:
        own: list[Message] = []
        held, self.held = self.held, []
        for batch in held:
            if batch.mark > self.synced:
                self.held.append(batch)
                continue
            outputs.answers += batch.answers
            own += [sent.message for sent in batch.replies if sent.to == self.disk.disk]
            self._send([sent for sent in batch.replies if sent.to != self.disk.disk], outputs)
        return own

    def _send(self, sent: list[Sent], outputs: Outputs) -> None:
        for to, message in sent:
            outputs.messages.append((self.identity, to, message))
