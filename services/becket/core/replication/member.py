"""One storage process as the rules see it: every input goes in here, every effect comes out.

Theory of operation. A shell feeds a ``Member`` with batches: envelopes from peers, attempts from
clients, configs from the ring, and the passing of time. Each input method is one step: it reads
the given clocks, changes volatile state, and collects effects; ``take`` hands them over. The shell
applies the writes at once, syncs when it likes, and lets replies go only after the sync
(``effects``). A restart makes a new ``Member`` of what ``recovered`` finds on the disk, with the
incarnation raised durably before.

Owns the composition only: the durable half of the rules is ``replica``, becoming coordinator is
``standing``, ceasing to be is ``reigns``, being one is ``coordinator``, the pairs are ``claims``.
Must not read a clock, draw a number at random, or do I/O.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Sequence
from operator import itemgetter

from becket.core.replication import invariants, registers
from becket.core.replication.cells import Attempt, Reason, Result
from becket.core.replication.claims import Claims
from becket.core.replication.context import Context
from becket.core.replication.coordinator import Coordinator
from becket.core.replication.effects import Effects
from becket.core.replication.lookout import Lookout
from becket.core.replication.messages import (
    Accept,
    Claim,
    ClaimReply,
    HandOver,
    Message,
    Release,
    Reply,
    Request,
    Sent,
    Status,
    WouldPromise,
    WouldReply,
)
from becket.core.replication.reigns import Reigns
from becket.core.replication.replica import Part, Replica
from becket.core.replication.roles import Event, Role
from becket.core.replication.seats import Candidature, Seat
from becket.core.replication.settings import Settings
from becket.core.replication.standing import Standing
from becket.core.replication.store import CellReader, CorruptCellError, Recovered, Store
from becket.core.replication.versions import Identity, Version
from becket.core.ring.config import Config, Disk


class Member:
    """The replication core of one storage process."""

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        disk: tuple[CellReader, Recovered],
        now_us: int,
    ) -> None:
        reader, recovered = disk
        self.identity = identity
        self._settings = settings
        store = Store(reader, recovered, settings.buckets)
        self.replica = Replica(identity, settings, store, self)
        self.replica.now_us = now_us
        self.replica.quarantine_until_us = now_us + settings.quarantine_us
        self._ctx = Context(settings, store, self.replica)
        self._ctx.now_us = now_us
        self._scrub_us = now_us
        self._page_us = now_us
        self._swept = self._levelled = -1
        self.seats: dict[int, Seat] = {}
        self._standing = Standing(self._ctx, identity, self._crown)
        self._claims = Claims(self._ctx, self.seats)
        self._claims.on_matched = self._on_matched
        self._reigns = Reigns(self._ctx, self._standing, self._claims, self._submit)
        self._lookout = Lookout(self._ctx, self.seats, self._claims, self._standing.suspects)
        for number, record in recovered.records.items():
            self.replica.parts[number] = Part(number, record, now_us)
            self._seat(number)

    # Inputs, each one step

    def receive(
        self, clocks: tuple[int, int], sender: Identity, messages: Iterable[Message]
    ) -> None:
        """Take one envelope. ``clocks`` is (monotonic microseconds, wall milliseconds)."""
        self._enter(clocks)
        for message in messages:
            self._dispatch(sender, message)
        self._leave()

    def submit(self, clocks: tuple[int, int], attempts: Sequence[Attempt]) -> None:
        """Take attempts of clients; each is answered exactly once, now or later."""
        self._enter(clocks)
        for attempt in attempts:
            self._submit(self._seat(attempt.partition), attempt)
        self._leave()

    def offer(self, clocks: tuple[int, int], configs: Iterable[tuple[int, Config]]) -> None:
        """Take (partition, config) from the ring, in any order, old ones too (R3)."""
        self._enter(clocks)
        for number, config in configs:
            known = self.replica.parts.get(number)
            if known is not None or self.identity.disk in config.member_set:
                self._reigns.offer(self._seat(number), config)
        self._leave()

    def tick(self, clocks: tuple[int, int], copies: int | None = None) -> None:
        """Let time pass; the shell calls this every 10 to 50 ms.

        ``copies``: so many keys may be taken up for copying until the next tick; None: any number.
        """
        self._enter(clocks)
        self._ctx.copies_left = copies
        for seat in self._lookout.due():
            self._tick(seat)
            self._lookout.settle(seat)
        self._claims.tick()
        self._level()
        if self._ctx.now_us >= self._scrub_us:
            self._scrub_us = self._ctx.now_us + self._settings.sweep_us
            self.replica.scrub()
        if self._ctx.now_us >= self._page_us:
            self._page_us = self._ctx.now_us + self._settings.page_us
            self._sweep()
        self._leave()

    def _level(self) -> None:
        """Share out what may be levelled at once, in rising order from where it ended last."""
        reigns = {
            number: seat.coordinator
            for number, seat in self._lookout.stirred.items()
            if seat.coordinator is not None
            and not seat.coordinator.draining
            and seat.coordinator.levelling.has_keys
        }
        room = self._settings.level_window
        room -= sum(coordinator.levelling.under_way for coordinator in reigns.values())
        if room <= 0:
            return
        for number in sorted(reigns, key=lambda number: (number <= self._levelled, number)):
            begun = reigns[number].levelling.feed(room)
            if begun:
                self._levelled = number
                room -= begun
                if not room:
                    return

    def _sweep(self) -> None:
        """One page of the next partition whose turn it is, in rising order."""
        reigns = self._claims.coordinated()
        after = bisect(reigns, self._swept, key=itemgetter(0))
        for number, coordinator in reigns[after:] + reigns[:after]:
            if not coordinator.draining and coordinator.sweep():
                self._swept = number
                self._lookout.stir(self.seats[number])
                return

    def hand_over(self, clocks: tuple[int, int], *, leaving: bool) -> int:
        """R24 for the next partitions, ``hand_over_window`` under way at most; call it again soon.

        ``leaving``: for good. Returns how many still are to go.
        """
        self._enter(clocks)
        if leaving and not self._ctx.leaving:
            # Peers hear of it at once: none of them is to give anything back.
            self._ctx.wants_claim = True
        self._ctx.leaving = leaving
        room = self._settings.hand_over_window
        room -= sum(self._reigns.is_under_way(seat) for seat in self.seats.values())
        for seat in self.seats.values():
            if room > 0 and seat.role is Role.COORDINATING:
                room -= self._reigns.hand_over(seat)
        self._leave()
        return sum(seat.coordinator is not None for seat in self.seats.values())

    def suspect(self, clocks: tuple[int, int], peer: Identity) -> None:
        """Take a hint from failure detection that this process of a peer is gone."""
        self._enter(clocks)
        pair = self.replica.pair(peer.disk)
        ago = self._ctx.now_us - pair.suspicion.us
        if pair.incarnation <= peer.incarnation:
            pair.heard_us = min(pair.heard_us, ago)
        for part in self.replica.parts.values():
            if part.record.promised.owner == peer:
                part.touched_us = min(part.touched_us, ago)
        self._leave()

    def take(self) -> Effects:
        """The effects since the last call, to be carried out in the order of ``Effects``."""
        effects, self._ctx.out = self._ctx.out, Effects()
        effects.writes = self._ctx.store.take()
        return effects

    def confirm(self, clocks: tuple[int, int], partitions: Iterable[int]) -> dict[int, Version]:
        """The stamps of those partitions where a linearizable read is answered at once (R23).

        What the engine shows from now on, it shows after their confirmation. Where a partition is
        missing, a read of any of its keys confirms it.
        """
        self._enter(clocks)
        found = {}
        for number in partitions:
            coordinator = self._confirming(number)
            if coordinator is not None:
                found[number] = coordinator.stamp
        self._leave()
        return found

    def read_now(
        self, clocks: tuple[int, int], places: Sequence[tuple[int, bytes]]
    ) -> list[Result | None]:
        """Linearizable reads of (partition, key), where a lease answers them at once (R16, R23).

        None where it does not: such a read has done nothing, and goes by ``submit``.
        """
        self._enter(clocks)
        confirming: dict[int, Coordinator | None] = {}
        found: list[Result | None] = []
        for number, key in places:
            if number in confirming:
                coordinator = confirming[number]
            else:
                coordinator = confirming[number] = self._confirming(number)
            found.append(coordinator.read_now(key) if coordinator is not None else None)
        self._leave()
        return found

    def _confirming(self, number: int) -> Coordinator | None:
        seat = self.seats.get(number)
        if seat is None or seat.role is not Role.COORDINATING:
            return None
        coordinator = seat.coordinator
        return coordinator if coordinator is not None and coordinator.confirms() else None

    # Relaxed reads

    def read_any(self, partition: int, key: bytes) -> Result | None:
        """What this replica holds, however old; None when it holds no readable copy.

        To be answered after a sync, like every answer that shows the engine (R8).
        """
        part = self.replica.parts.get(partition)
        if part is None or part.record.since is None:
            return None
        try:
            cell = self._ctx.store.get(partition, key)
        except CorruptCellError:
            return None
        if registers.is_expired(cell, self._ctx.wall_ms):
            cell = None
        return registers.read(cell)

    def read_bounded(
        self, clocks: tuple[int, int], at: tuple[int, bytes], staleness_us: int
    ) -> Result | None:
        """R34: what this replica holds, if that was level ``staleness_us`` ago; else None."""
        self._enter(clocks)
        partition, key = at
        self._claims.bounded_us = self._ctx.now_us
        part = self.replica.parts.get(partition)
        result = None
        if part is not None and self._level_us(part) >= self._oldest_us(staleness_us):
            result = self.read_any(partition, key)
        self._leave()
        return result

    def _oldest_us(self, staleness_us: int) -> int:
        error = self._settings.clock_rate_error
        return self._ctx.now_us - int(staleness_us * (1 - error))

    def _level_us(self, part: Part) -> int:
        pair = self.replica.pairs.get(part.record.promised.disk)
        at_us = pair.bounded.get(part.number) if pair is not None else None
        if at_us is None or at_us <= part.cleared_us:
            return -(10**15)
        return at_us

    # The step

    def _enter(self, clocks: tuple[int, int]) -> None:
        before = self._ctx.now_us
        invariants.clock_runs_forward(before, clocks[0])
        self._ctx.now_us, self._ctx.wall_ms = clocks
        self.replica.now_us = self._ctx.now_us
        if self._ctx.now_us - before > self._settings.lease_us:
            # R11a: this process stood still; it has no right to call others silent.
            for part in self.replica.parts.values():
                part.touched_us = self._ctx.now_us

    def _leave(self) -> None:
        if self._ctx.wants_claim:
            self._ctx.wants_claim = False
            self._claims.hurry()
            self._claims.tick()

    def _seat(self, number: int) -> Seat:
        seat = self.seats.get(number)
        if seat is None:
            seat = self.seats[number] = Seat(self.replica.part(number), self._lookout.stir)
        return seat

    def _dispatch(self, sender: Identity, message: Message) -> None:
        if isinstance(message, Reply):
            self._on_reply(sender, message)
        elif isinstance(message, Accept):
            self._serve(sender, message)
        elif isinstance(message, Claim):
            self._claims.on_claim(sender, message)
        elif isinstance(message, ClaimReply):
            self._claims.on_reply(sender, message)
        elif isinstance(message, WouldPromise):
            seat = self._seat(message.partition)
            wait = self._standing.silent_wait_us(seat)
            would = self.replica.would_promise(message, wait)
            self._ctx.out.replies.append(Sent(sender.disk, would))
        elif isinstance(message, WouldReply):
            self._standing.on_would_reply(self._seat(message.partition), sender.disk, message)
        elif isinstance(message, HandOver):
            self._standing.on_hand_over(self._seat(message.partition), message)
        elif isinstance(message, Release):
            self._on_release(message)
        else:
            self._serve(sender, message)

    def _serve(self, sender: Identity, message: Request) -> None:
        self._seat(message.partition)
        reply = self.replica.handle(message)
        self._ctx.out.replies.append(Sent(sender.disk, reply))

    def _on_release(self, message: Release) -> None:
        part = self._seat(message.partition).part
        if message.epoch > part.released:
            if message.epoch == part.record.promised:
                part.touched_us = self._ctx.now_us
            self.replica.release(part, message.epoch)

    def _on_reply(self, sender: Identity, reply: Reply) -> None:
        seat = self._seat(reply.partition)
        if seat.coordinator is not None:
            self._lookout.stir(seat)
            seat.coordinator.receive(sender.disk, reply)
            if seat.role is Role.DRAINING:
                self._reigns.consider_drained(seat)
        elif seat.candidature is not None and reply.epoch == seat.candidature.epoch:
            if reply.status in (Status.GEN, Status.EPOCH):
                self.on_refused(seat.part, reply)
            else:
                self._standing.on_promise(seat, sender.disk, reply)

    def _submit(self, seat: Seat, attempt: Attempt) -> None:
        now = self._ctx.now_us
        if attempt.deadline_us <= now:
            self._ctx.refuse(attempt, Reason.DEADLINE)
        elif seat.role is Role.COORDINATING:
            assert seat.coordinator is not None
            seat.coordinator.keys.submit(attempt)
            self._lookout.stir(seat)
        elif seat.role in (Role.DRAINING, Role.PREPARING) or now < seat.park_until_us:
            self._reigns.park(seat, attempt)
        else:
            self._ctx.refuse(attempt, Reason.WRONG_MEMBER)

    def _tick(self, seat: Seat) -> None:
        if seat.parked:
            self._reigns.refuse_late(seat)
        if seat.offered is not None:
            self._reigns.consider_offer(seat)
        if seat.role is Role.FOLLOWER:
            self._standing.consider(seat)
            return
        coordinator = seat.coordinator
        if coordinator is None:
            self._standing.tick(seat)
            return
        coordinator.tick()
        if seat.role is Role.DRAINING:
            self._reigns.consider_drained(seat)
        elif seat.role is Role.COORDINATING:
            if not coordinator.hears_quorum():
                self._reigns.end(seat, Event.ISOLATED)
            else:
                self._reigns.consider_return(seat)

    # What the parts report

    def _crown(self, seat: Seat, candidature: Candidature) -> None:
        reign = (candidature.gen, candidature.epoch)
        coordinator = Coordinator(self._ctx, seat.part, reign, candidature.floor, self)
        seat.coordinator = coordinator
        seat.return_us = self._reigns.next_return_us(seat)
        coordinator.levelling.start(candidature.roots)
        self._claims.reigns += 1
        # One claim a peer tells of all reigns that this step begins (``_leave``).
        self._ctx.wants_claim = True
        self._reigns.resume_parked(seat)

    def _on_matched(self, partitions: Iterable[int]) -> None:
        self._reigns.on_matched(self.seats[n] for n in partitions if n in self.seats)

    def on_adopted(self, part: Part) -> None:
        """R6: a higher generation ends coordinating and standing here."""
        seat = self._seat(part.number)
        if seat.role is not Role.FOLLOWER:
            self._reigns.end(seat, Event.ADOPTED)

    def on_promised(self, part: Part) -> None:
        """A promise to another epoch ends the own one."""
        seat = self._seat(part.number)
        own = seat.candidature or seat.coordinator
        if own is not None and own.epoch != part.record.promised:
            self._reigns.end(seat, Event.DEPOSED)

    def on_outdated(self, part: Part) -> None:
        """R30: a client has seen a newer epoch than this member's."""
        self._reigns.end(self._seat(part.number), Event.OUTDATED)

    def on_refused(self, part: Part, reply: Reply) -> None:
        """R9: GEN brings a config, EPOCH a counter to pass; either ends the reign."""
        seat = self._seat(part.number)
        if reply.promised is not None:
            part.max_counter = max(part.max_counter, reply.promised.counter)
        if reply.config is not None and reply.config.gen > part.gen:
            self.replica.adopt(part, reply.config)
        elif seat.role is not Role.FOLLOWER:
            self._reigns.end(seat, Event.REFUSED)

    def on_certified(self, part: Part) -> None:
        """R3: certified by a member that leaves; one that stays must take over first."""
        self._reigns.hand_over(self._seat(part.number))

    @property
    def reign_serial(self) -> int:
        """Goes up whenever a reign begins or ends here."""
        return self._claims.reigns

    def reigns(self) -> dict[int, Coordinator]:
        """The partitions that this member coordinates now."""
        return {
            number: coordinator
            for number, coordinator in self._claims.coordinated()
            if not coordinator.draining
        }

    def coordinates(self) -> dict[int, Disk]:
        """For each partition with a seat here, the member believed to coordinate it."""
        return {n: seat.part.record.promised.disk for n, seat in self.seats.items()}
