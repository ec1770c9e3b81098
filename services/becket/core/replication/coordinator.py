"""One partition's coordinator under one epoch (PROTOCOL R12, R14-R16, R19, R23).

Owns what is volatile and dies with the epoch: who knows the config, what was heard, the rounds
under way, which reads wait for a Check. Work on single keys is in ``keys``; copying, levelling
and purging are jobs beside it. Must not survive its epoch: whoever ends it calls ``end`` and
drops it. Invariants: no reply counts but those of this (gen, epoch, id), each disk once, members
only (R9); every answer is given while the own promise and generation still stand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from becket.core.replication import invariants, registers
from becket.core.replication.cells import Attempt, Reason, Result
from becket.core.replication.context import Context
from becket.core.replication.copying import Copying
from becket.core.replication.keys import Keys
from becket.core.replication.levelling import Levelling
from becket.core.replication.messages import Check, Reply, Request, Status
from becket.core.replication.purging import Purging
from becket.core.replication.replica import Part
from becket.core.replication.store import CorruptCellError
from becket.core.replication.versions import Epoch, Version
from becket.core.ring.config import Config, Disk

NEVER_US = 10**18
"""Later than every clock."""

ReplyHandler = Callable[[Disk, Reply], None]


class Overseer(Protocol):
    """The member, as its coordinators need it."""

    def on_outdated(self, part: Part) -> None:
        """A client has seen a newer epoch: this one is deposed (R30)."""

    def on_refused(self, part: Part, reply: Reply) -> None:
        """A member knows a higher generation or epoch (R9)."""

    def on_certified(self, part: Part) -> None:
        """The copy is complete (R19)."""


class Reading:
    """Reads that wait for one Check quorum sent after they arrived (R16)."""

    def __init__(self, check_id: int, reads: list[tuple[Attempt, tuple[Result, ...]]]) -> None:
        self.id = check_id
        self.reads = reads
        self.acks: set[Disk] = set()


class Coordinator:
    """Orders one partition's operations under one epoch."""

    def __init__(
        self,
        ctx: Context,
        part: Part,
        reign: tuple[int, Epoch],
        floor: Version,
        overseer: Overseer,
    ) -> None:
        config = part.record.config
        assert config is not None
        self.ctx = ctx
        self.part = part
        self.config: Config = config
        self.gen, self.epoch = reign
        self.seq = 0
        self.known_floor = floor
        self.overseer = overseer
        self.ended = False
        self.draining = False
        self.read_us = -(10**15)
        """When a linearizable read last wanted a lease; claims ask for one only then."""
        self.heard: dict[Disk, int] = dict.fromkeys(config.members, ctx.now_us)
        self._heard_until_us = -(10**15)
        self._leased_until_us = -(10**15)
        self._leased_grants = -1
        self._knows: set[Disk] = {ctx.disk}
        self._pending: dict[int, ReplyHandler] = {}
        self._reading: Reading | None = None
        self._reads: list[tuple[Attempt, tuple[Result, ...]]] = []
        self._check_sent_us = 0
        self.keys = Keys(self)
        self.levelling = Levelling(self)
        self.purging = Purging(self)
        self.copying = Copying(self) if config.is_joint else None

    @property
    def stamp(self) -> Version:
        """The highest version given out in this partition; every answer carries it (R30)."""
        return Version(self.epoch, self.seq)

    def next_version(self) -> Version:
        """A version above all others of this partition."""
        self.seq += 1
        return Version(self.epoch, self.seq)

    def stands(self) -> None:
        """Invariant 3: assert that the own promise and generation are still this reign's."""
        own = (self.part.gen, self.part.record.promised)
        invariants.coordinator_stands(own, (self.gen, self.epoch))

    # Messages

    def ask(self, to: Disk, message: Request, handler: ReplyHandler) -> None:
        """Send a request to one member; ``handler`` gets its replies until ``forget``."""
        self._pending[message.id] = handler
        if to not in self._knows:
            message = message._replace(config=self.config)
        self.ctx.request(to, message)

    def ask_all(self, message: Request, handler: ReplyHandler) -> None:
        """Send a request to every member."""
        for disk in self.config.members:
            self.ask(disk, message, handler)

    def expect(self, message_id: int, handler: ReplyHandler) -> None:
        """Late replies to a request that is decided go to ``handler`` until ``forget``."""
        self._pending[message_id] = handler

    def forget(self, message_id: int) -> None:
        """No reply to this request is waited for any more."""
        self._pending.pop(message_id, None)

    def receive(self, sender: Disk, reply: Reply) -> None:
        """Take a reply by R9; one that is not this reign's says nothing."""
        if reply.epoch != self.epoch or reply.gen != self.gen:
            return
        if sender not in self.config.member_set:
            return
        if reply.status in (Status.GEN, Status.EPOCH):
            self.overseer.on_refused(self.part, reply)
            return
        self.heard[sender] = self.ctx.now_us
        if reply.status is Status.BEHIND:
            # It has not seen this generation: what it missed is sent again with the config.
            self._knows.discard(sender)
        else:
            self._knows.add(sender)
            self.known_floor = max(self.known_floor, reply.floor)
        handler = self._pending.get(reply.id)
        if handler is not None:
            handler(sender, reply)

    def introduce(self, disk: Disk) -> None:
        """Show the config and the epoch to a member that does not count this reign's claims."""
        if disk in self.config.member_set:
            self._knows.discard(disk)
            check = self._check(self.ctx.next_id())
            self.ctx.request(disk, check._replace(config=self.config))

    def _check(self, message_id: int) -> Check:
        return Check(self.part.number, self.gen, self.epoch, message_id, None)

    # Reads

    def leased(self) -> bool:
        """R23: whether at ``ctx.now_us`` a joint quorum of leases covers this reign."""
        now, replica = self.ctx.now_us, self.ctx.replica
        if now < self._leased_until_us and replica.grants == self._leased_grants:
            return True  # By the same grants as when it was worked out, none of which has lapsed.
        votes, until_us = {self.ctx.disk}, NEVER_US
        for disk in self.config.members:
            pair = replica.pairs.get(disk)
            if pair is not None and pair.grants(self.part.number, self.gen, self.epoch, now):
                votes.add(disk)
                until_us = min(until_us, pair.granted_until_us)
        leased = self.config.quorum(votes)
        self._leased_grants, self._leased_until_us = replica.grants, until_us if leased else 0
        return leased

    def read_now(self, key: bytes) -> Result | None:
        """What a linearizable read finds, where nothing is to be waited for; else None.

        For where the reign ``confirms``. As ``Keys`` answers, without a queue and its state.
        """
        state = self.keys.state(key)
        if state is not None:
            if not state.fresh:
                return None
            found = registers.read(state.cell)
        else:
            if not self.levelling.is_settled(key):
                return None
            try:
                found = self.ctx.store.shown(self.part.number, key)
            except CorruptCellError:
                return None
        return None if 0 < found.expire_ms <= self.ctx.wall_ms else found

    def serve(self, attempt: Attempt, results: tuple[Result, ...]) -> None:
        """Answer what was read from a chosen cell: by lease, else after a Check quorum (R16)."""
        if self.confirms():
            self.ctx.succeed(attempt, results, self.stamp)
            return
        self._reads.append((attempt, results))
        if self._reading is None:
            self._start_check()

    def confirms(self) -> bool:
        """Whether a linearizable read is answered at once, by lease; if not, wish for one (R25)."""
        idle_us = self.ctx.now_us - self.read_us
        self.read_us = self.ctx.now_us
        if self.leased():
            self.stands()
            return True
        if idle_us >= self.ctx.settings.lease_us:
            self.ctx.wants_claim = True
        return False

    def _start_check(self) -> None:
        self._reading = Reading(self.ctx.next_id(), self._reads)
        self._reads = []
        self._check_sent_us = self.ctx.now_us
        self.ask_all(self._check(self._reading.id), self._on_check)

    def _on_check(self, disk: Disk, reply: Reply) -> None:
        reading = self._reading
        if reading is None or reply.id != reading.id or reply.status is not Status.OK:
            return
        reading.acks.add(disk)
        if self.config.quorum(reading.acks):
            self.forget(reading.id)
            self._reading = None
            self.stands()
            for attempt, results in reading.reads:
                self.ctx.succeed(attempt, results, self.stamp)
            if self._reads:
                self._start_check()

    # Time and end

    def tick(self) -> None:
        """Send again what got no answer, give up what is overdue, go on with the jobs."""
        if self.is_resting:
            return
        now = self.ctx.now_us
        reading = self._reading
        if reading is not None:
            self._expire_reads(reading, now)
            if now - self._check_sent_us >= self.ctx.settings.resend_us:
                self._check_sent_us = now
                for disk in self.config.members:
                    if disk not in reading.acks:
                        self.ask(disk, self._check(reading.id), self._on_check)
        self.keys.tick()
        if self.draining or self.ended:
            return
        if self.copying is not None:
            self.copying.tick()
        else:
            self.levelling.tick()
            self.purging.tick()

    @property
    def is_resting(self) -> bool:
        """Whether a tick would find nothing to do: so it is in most partitions at most times."""
        return (
            self._reading is None
            and not self.keys.has_rounds
            and self.copying is None
            and self.levelling.is_resting
            and self.purging.is_resting
        )

    @property
    def rests_until_us(self) -> int:
        """When one that is resting has to look again by itself, if nothing is asked of it."""
        # The moment up to which a quorum counts as heard is still within it.
        return min(self._heard_until_us + 1, self.levelling.next_us)

    def sweep(self) -> bool:
        """Look at a page for what may be purged, when it is time; never in a JOINT config (R21)."""
        return self.copying is None and self.purging.sweep()

    def _expire_reads(self, reading: Reading, now: int) -> None:
        for reads in (reading.reads, self._reads):
            late = [read for read in reads if read[0].deadline_us <= now]
            for read in late:
                reads.remove(read)
                self.ctx.refuse(read[0], Reason.UNCONFIRMED, self.stamp)

    def hears_quorum(self) -> bool:
        """Whether a quorum has answered lately; else nobody is served by going on."""
        now = self.ctx.now_us
        if now <= self._heard_until_us:
            return True
        pairs, last_us = self.ctx.replica.pairs, dict(self.heard)
        for disk, at_us in self.heard.items():
            if disk in pairs:
                last_us[disk] = max(at_us, pairs[disk].replied_us)
        last_us[self.ctx.disk] = now
        since = now - self.ctx.settings.isolation_us
        alive = {disk for disk, at_us in last_us.items() if at_us >= since}
        if not self.config.quorum(alive):
            return False
        # Hearing more moves this on only: nobody need look before the first of them lapses.
        earliest_us = min(last_us[disk] for disk in alive)
        self._heard_until_us = earliest_us + self.ctx.settings.isolation_us
        return True

    def is_quiet(self) -> bool:
        """Whether no operation that has started is unanswered."""
        return self._reading is None and not self.keys.has_started()

    def end(self) -> list[Attempt]:
        """R15: what has started is unknown, what has not ends as ``no``.

        Returns the attempts that had not started: the caller answers or parks them.
        """
        self.ended = True
        waiting = self.keys.end()
        if self._reading is not None:
            self._reads = self._reading.reads + self._reads
            self._reading = None
        waiting.extend(attempt for attempt, _ in self._reads)
        self._reads = []
        self._pending.clear()
        return waiting
