"""Becoming coordinator: suspicion, asking, preparing (PROTOCOL R11, R12, R25).

Owns candidatures. A member stands when it has heard no coordinator of a partition for the
suspicion time; the first of the partition's order first, a member that is not level later, a
newcomer last. Must not end a reign. Invariants: no promise is raised before a joint quorum has
said that it would promise, unless the coordinator itself handed over; a counter is used once.
"""

from __future__ import annotations

from collections.abc import Callable

import mmh3

from becket.core.replication.context import Context
from becket.core.replication.messages import (
    HandOver,
    Prepare,
    Reply,
    Status,
    WouldPromise,
    WouldReply,
)
from becket.core.replication.replica import Part
from becket.core.replication.roles import Event, Role
from becket.core.replication.seats import Candidature, Seat
from becket.core.replication.versions import Epoch, Identity
from becket.core.ring.config import Config, Disk


class Standing:
    """The candidatures of one member."""

    def __init__(
        self, ctx: Context, identity: Identity, on_coordinator: Callable[[Seat, Candidature], None]
    ) -> None:
        self._ctx = ctx
        self._identity = identity
        self._on_coordinator = on_coordinator

    # Suspicion

    def suspects(self, part: Part) -> bool:
        """Whether ``silent_wait_us`` of a follower is zero or less: for every tick."""
        return self._trusted_until_us(part) <= self._ctx.now_us

    def silent_wait_us(self, seat: Seat) -> int:
        """How long until this member suspects the coordinator; zero or less when it does."""
        if seat.role in (Role.COORDINATING, Role.DRAINING):
            return self._ctx.settings.suspicion_us
        return self._trusted_until_us(seat.part) - self._ctx.now_us

    def _trusted_until_us(self, part: Part) -> int:
        """When another member's silence becomes suspicious, if it is not heard before."""
        ctx, promised = self._ctx, part.record.promised
        if promised <= part.released:
            # Given up by its owner: its successor has this long, then anybody may stand.
            return part.touched_us + ctx.settings.park_us
        heard_us = part.touched_us
        pair = ctx.replica.pairs.get(promised.disk)
        if pair is None:
            return heard_us + ctx.settings.suspicion_us
        if part.number in pair.matched:
            heard_us = max(heard_us, pair.heard_us)
        return heard_us + pair.suspicion.us

    def _delay_us(self, part: Part, config: Config) -> int:
        """R11: who stands later than whom; the spread keeps candidates from meeting."""
        settings, disk = self._ctx.settings, self._ctx.disk
        order = sorted(
            (d for d in config.members if d != part.record.promised.disk or d == disk),
            key=lambda d: (d not in config.old_set, d not in config.new_set),
        )
        delay = order.index(disk) * settings.stand_step_us
        if disk not in config.old_set:
            delay += 2 * settings.stand_unlevel_us
        elif not self._is_level(part):
            delay += settings.stand_unlevel_us
        return delay + self._jitter_us(part)

    def _is_level(self, part: Part) -> bool:
        pair = self._ctx.replica.pairs.get(part.record.promised.disk)
        return part.record.promised.disk == self._ctx.disk or (
            pair is not None and part.number in pair.level
        )

    def _jitter_us(self, part: Part) -> int:
        text = f"{self._ctx.disk}/{part.number}/{part.max_counter}"
        return mmh3.hash(text, signed=False) % max(1, self._ctx.settings.stand_step_us)

    # Candidature

    def consider(self, seat: Seat) -> None:
        """Stand for a partition whose coordinator is silent, when it is this member's turn."""
        part, ctx = seat.part, self._ctx
        config = part.record.config
        if config is None or ctx.disk not in config.member_set or ctx.leaving:
            return
        if ctx.now_us < seat.stand_after_us:
            return
        wait = self.silent_wait_us(seat)
        if wait > 0 or -wait < self._delay_us(part, config):
            return
        seat.advance(Event.SILENCE)
        candidature = seat.candidature = self._new(seat)
        self._ask(seat, candidature, config)

    def _new(self, seat: Seat) -> Candidature:
        part = seat.part
        part.max_counter += 1
        epoch = Epoch(part.max_counter, self._identity.disk, self._identity.incarnation)
        return Candidature(part.gen, epoch, self._ctx.next_id(), self._ctx.now_us)

    def _ask(self, seat: Seat, candidature: Candidature, config: Config) -> None:
        number, epoch = seat.part.number, candidature.epoch
        message = WouldPromise(number, candidature.gen, epoch, candidature.id)
        for disk in config.members:
            if disk != self._ctx.disk:
                self._ctx.send(disk, message)
        wait = self.silent_wait_us(seat)
        own = self._ctx.replica.would_promise(message, wait)
        self.on_would_reply(seat, self._ctx.disk, own)

    def on_would_reply(self, seat: Seat, sender: Disk, reply: WouldReply) -> None:
        """Count a yes; remember from a no when to ask again."""
        candidature, config = seat.candidature, seat.part.record.config
        if seat.role is not Role.ASKING or candidature is None or config is None:
            return
        if reply.id != candidature.id or reply.gen != candidature.gen:
            return
        seat.part.max_counter = max(seat.part.max_counter, reply.promised.counter)
        if not reply.yes:
            candidature.wait_us = max(candidature.wait_us, reply.wait_us)
            if reply.config is not None:
                self._ctx.replica.adopt(seat.part, reply.config)
            return
        candidature.yes.add(sender)
        if config.quorum(candidature.yes):
            seat.advance(Event.AGREED)
            candidature.started_us = self._ctx.now_us
            self._prepare(seat, candidature, config.members)

    def take(self, seat: Seat, released: Epoch, event: Event) -> None:
        """Prepare at once: the coordinator of ``released`` has handed over (R24)."""
        seat.advance(event)
        candidature = seat.candidature = self._new(seat)
        candidature.released = released
        config = seat.part.record.config
        assert config is not None
        self._prepare(seat, candidature, config.members)

    def on_hand_over(self, seat: Seat, message: HandOver) -> None:
        """R24, at the successor; a late or repeated hand-over finds a higher promise."""
        part = seat.part
        self._ctx.replica.release(part, message.epoch)
        if message.gen > part.gen:
            self._ctx.replica.adopt(part, message.config)
        config = part.record.config
        if config is None or message.gen != part.gen or self._ctx.disk not in config.member_set:
            return
        if part.record.promised > message.epoch or self._ctx.leaving:
            return
        if seat.role in (Role.FOLLOWER, Role.ASKING):
            part.max_counter = max(part.max_counter, message.epoch.counter)
            self.take(seat, message.epoch, Event.HANDED_OVER)

    def _prepare(self, seat: Seat, candidature: Candidature, disks: tuple[Disk, ...]) -> None:
        config = seat.part.record.config
        assert config is not None
        candidature.sent_us = self._ctx.now_us
        message = Prepare(
            seat.part.number,
            candidature.gen,
            candidature.epoch,
            candidature.id,
            config,
            candidature.released,
        )
        for disk in disks:
            self._ctx.request(disk, message)

    def on_promise(self, seat: Seat, sender: Disk, reply: Reply) -> None:
        """R12: a joint quorum of promises, the own one in it, makes the coordinator."""
        candidature, config = seat.candidature, seat.part.record.config
        if seat.role is not Role.PREPARING or candidature is None or config is None:
            return
        if (reply.id, reply.epoch, reply.gen) != (
            candidature.id,
            candidature.epoch,
            candidature.gen,
        ):
            return
        if reply.status is Status.LEASE:
            again = self._ctx.now_us + reply.number + self._jitter_us(seat.part)
            candidature.again_us[sender] = again
        if reply.status is not Status.OK or sender not in config.member_set:
            return
        candidature.roots[sender] = reply.digests[0]
        candidature.floor = max(candidature.floor, reply.floor)
        promised = candidature.roots.keys()
        if config.quorum(promised) and self._ctx.disk in promised:
            seat.advance(Event.PROMISED)
            seat.candidature = None
            self._on_coordinator(seat, candidature)

    def end(self, seat: Seat, event: Event) -> None:
        """End the candidature; ask again no sooner than somebody would say yes."""
        candidature = seat.candidature
        seat.advance(event)
        seat.candidature = None
        wait = candidature.wait_us if candidature is not None else 0
        pause = max(wait, self._ctx.settings.stand_step_us) + self._jitter_us(seat.part)
        seat.stand_after_us = self._ctx.now_us + pause

    def tick(self, seat: Seat) -> None:
        """Send Prepare again where it is due; end what takes too long."""
        candidature, config = seat.candidature, seat.part.record.config
        assert candidature is not None and config is not None
        settings, now = self._ctx.settings, self._ctx.now_us
        age = now - candidature.started_us
        if seat.role is Role.ASKING:
            if age >= settings.would_promise_us:
                self.end(seat, Event.TIMED_OUT)
            return
        if age >= settings.candidature_us:
            self.end(seat, Event.TIMED_OUT)
            return
        missing = [d for d in config.members if d not in candidature.roots]
        resend = now - candidature.sent_us >= settings.resend_us
        due = tuple(
            disk
            for disk in missing
            if (candidature.again_us[disk] <= now if disk in candidature.again_us else resend)
        )
        for disk in due:
            candidature.again_us.pop(disk, None)
        if due:
            self._prepare(seat, candidature, due)
