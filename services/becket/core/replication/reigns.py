"""Ending a reign, planned or not, and what becomes of those who wait (PROTOCOL R3, R6, R24).

Owns draining, hand-over, offered configs and parked attempts. A planned end drains: no operation
starts, those that have started get ``drain_us``, then the epoch ends for ever, its lease is
released, and the successor prepares at once. An unplanned end answers and releases without
waiting. Invariant: no path leads back into an epoch that has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from becket.core.replication.cells import Attempt, Reason
from becket.core.replication.claims import Claims
from becket.core.replication.context import Context
from becket.core.replication.coordinator import Coordinator
from becket.core.replication.messages import HandOver, Release
from becket.core.replication.roles import Event, Role
from becket.core.replication.seats import Seat
from becket.core.replication.settings import spread_us
from becket.core.replication.standing import Standing
from becket.core.ring.config import Config, Disk


class Reigns:
    """How reigns end at one member."""

    def __init__(
        self,
        ctx: Context,
        standing: Standing,
        claims: Claims,
        submit: Callable[[Seat, Attempt], None],
    ) -> None:
        self._ctx = ctx
        self._standing = standing
        self._claims = claims
        self._submit = submit

    # Unplanned

    def end(self, seat: Seat, event: Event) -> None:
        """R15, R24(4): answer, release, and follow again."""
        coordinator = seat.coordinator
        if seat.role in (Role.ASKING, Role.PREPARING):
            self._standing.end(seat, event)
            self.refuse_parked(seat, Reason.STEPPED_DOWN)
            return
        if coordinator is None:
            seat.advance(event)
            return
        waiting = self._leave(seat, coordinator, event)
        seat.next_config = None
        for attempt in waiting:
            self._ctx.refuse(attempt, Reason.STEPPED_DOWN, coordinator.stamp)
        self.refuse_parked(seat, Reason.STEPPED_DOWN)

    def _leave(self, seat: Seat, coordinator: Coordinator, event: Event) -> list[Attempt]:
        """The epoch ends; every member hears that its lease is given up."""
        seat.advance(event)
        seat.coordinator = None
        self._claims.reigns += 1
        waiting = coordinator.end()
        epoch = coordinator.epoch
        self._ctx.replica.release(seat.part, epoch)
        for disk in coordinator.config.members:
            if disk != self._ctx.disk:
                self._ctx.send(disk, Release(seat.part.number, epoch))
        return waiting

    # Planned

    def hand_over(self, seat: Seat) -> bool:
        """Drain towards a level successor, or any that is alive; False when there is none."""
        coordinator = seat.coordinator
        if coordinator is None or coordinator.draining:
            return False
        config = coordinator.config
        others = [d for d in config.target if d != self._ctx.disk and self._may_take(d)]
        level = [d for d in others if coordinator.levelling.is_level(d)]
        held = [d for d in others if d in config.old_set]
        for choice in (level, held, others):
            if choice:
                self.drain(seat, choice[0], None)
                return True
        return False

    def is_under_way(self, seat: Seat) -> bool:
        """Whether a hand-over from here has begun and its successor has not shown itself yet."""
        if seat.role is Role.DRAINING:
            return True
        record = seat.part.record
        return self._ctx.now_us < seat.park_until_us and record.promised <= seat.part.released

    def drain(self, seat: Seat, successor: Disk, next_config: Config | None) -> None:
        """R24(1-3): choose, stop starting, wait a little for what has started."""
        coordinator = seat.coordinator
        assert coordinator is not None
        seat.advance(Event.LEAVE)
        coordinator.draining = True
        seat.successor = successor
        seat.next_config = next_config
        seat.drain_until_us = self._ctx.now_us + self._ctx.settings.drain_us
        self.consider_drained(seat)

    def consider_drained(self, seat: Seat) -> None:
        """R24(4-5): once quiet, or when the time is up."""
        coordinator, ctx = seat.coordinator, self._ctx
        assert coordinator is not None
        if not coordinator.is_quiet() and ctx.now_us < seat.drain_until_us:
            return
        waiting = self._leave(seat, coordinator, Event.DRAINED)
        seat.park(waiting)
        seat.park_until_us = ctx.now_us + ctx.settings.park_us
        config, seat.next_config = seat.next_config, None
        if config is not None and config.gen > seat.part.gen:
            ctx.replica.adopt(seat.part, config)
        present = seat.part.record.config
        assert present is not None
        if seat.successor == ctx.disk:
            if ctx.disk in present.member_set and not self._ctx.leaving:
                self._standing.take(seat, coordinator.epoch, Event.RENEWED)
            return
        message = HandOver(seat.part.number, present.gen, coordinator.epoch, present)
        ctx.send(seat.successor, message)

    def consider_return(self, seat: Seat) -> None:
        """Give a partition back to the first of its order, once that member is level."""
        coordinator, ctx = seat.coordinator, self._ctx
        assert coordinator is not None
        if ctx.now_us < seat.return_us:
            return
        seat.return_us = self.next_return_us(seat)
        first = coordinator.config.old[0]
        if first == ctx.disk or coordinator.config.is_joint or not self._may_take(first):
            return
        if coordinator.levelling.is_level(first):
            self.drain(seat, first, None)

    def next_return_us(self, seat: Seat) -> int:
        """When to look next whether a partition should be given back.

        Partitions that were taken over together are given back one after the other: a hand-over
        of all at once keeps each of them waiting for the others.
        """
        return self._ctx.now_us + spread_us(self._ctx.settings.return_us, seat.part.number)

    def _may_take(self, disk: Disk) -> bool:
        """Whether a peer was heard within the suspicion time, and is not about to stop itself."""
        pair = self._ctx.replica.pairs.get(disk)
        return (
            pair is not None
            and not pair.leaving
            and self._ctx.now_us - pair.heard_us < self._ctx.settings.suspicion_us
        )

    # Configs from the ring

    def offer(self, seat: Seat, config: Config) -> None:
        """R3: a coordinator drains into the new config; others take it later, or at first."""
        part, ctx = seat.part, self._ctx
        if config.gen <= part.gen:
            return
        if part.gen == 0:
            ctx.replica.adopt(part, config)
        elif seat.role is Role.COORDINATING:
            assert seat.coordinator is not None
            self.drain(seat, self._successor(seat.coordinator, config), config)
        elif seat.offered is None or config.gen > seat.offered.gen:
            seat.offer(config, ctx.now_us + ctx.settings.gossip_us)

    def _successor(self, coordinator: Coordinator, config: Config) -> Disk:
        """This member, unless it will be none of the members that stay."""
        if self._ctx.disk in config.target and not self._ctx.leaving:
            return self._ctx.disk
        staying = [d for d in config.target if d in config.old_set and self._may_take(d)]
        level = [d for d in staying if coordinator.levelling.is_level(d)]
        if level:
            return level[0]
        if self._ctx.disk in config.member_set:
            return self._ctx.disk
        return (staying or list(config.target))[0]

    def consider_offer(self, seat: Seat) -> None:
        """Adopt what the ring said a while ago and no coordinator has brought since."""
        config = seat.offered
        if config is None or self._ctx.now_us < seat.offer_due_us:
            return
        seat.offered = None
        if config.gen <= seat.part.gen:
            return
        if seat.role is Role.COORDINATING:
            self.offer(seat, config)
        elif seat.role is not Role.DRAINING:
            self._ctx.replica.adopt(seat.part, config)

    # Parked attempts

    def park(self, seat: Seat, attempt: Attempt) -> None:
        """Hold an attempt until there is a coordinator to send it to, or the time is up."""
        if len(seat.parked) >= self._ctx.settings.park_limit:
            self._ctx.refuse(attempt, Reason.OVERLOADED)
        else:
            seat.park((attempt,))

    def refuse_parked(self, seat: Seat, reason: Reason) -> None:
        """Answer ``no`` to every parked attempt, naming the coordinator known by now."""
        parked, seat.parked = seat.parked, []
        for attempt in parked:
            self._ctx.refuse(attempt, reason)

    def refuse_late(self, seat: Seat) -> None:
        """R24(6): after the parking time, or at its own deadline, an attempt ends as ``no``."""
        now = self._ctx.now_us
        if seat.role is Role.FOLLOWER and now >= seat.park_until_us:
            self.refuse_parked(seat, Reason.WRONG_MEMBER)
            return
        for attempt in [a for a in seat.parked if a.deadline_us <= now]:
            seat.parked.remove(attempt)
            self._ctx.refuse(attempt, Reason.DEADLINE)

    def resume_parked(self, seat: Seat) -> None:
        """This member coordinates again: the parked attempts go on."""
        parked, seat.parked = seat.parked, []
        for attempt in parked:
            self._submit(seat, attempt)

    def on_matched(self, seats: Iterable[Seat]) -> None:
        """Another member has shown that it coordinates: name it to those who wait."""
        for seat in seats:
            if seat.role is Role.FOLLOWER and seat.parked:
                self.refuse_parked(seat, Reason.WRONG_MEMBER)
