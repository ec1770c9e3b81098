"""The dispatcher: lists of operations in, lists of results out.

Owns what ties the parts together: arrival, grouping by key (``grouping``), time, the end of a
caller's patience. Invariants: every operation gets exactly one result, before or at its deadline;
what arrives in one turn of the event loop goes out together.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from becket.adapters.dispatch.budget import Budget
from becket.adapters.dispatch.calls import Calls
from becket.adapters.dispatch.channel_pool import ChannelPool
from becket.adapters.dispatch.context import Context, Counts
from becket.adapters.dispatch.grouping import group
from becket.adapters.dispatch.lanes import Lane
from becket.adapters.dispatch.locating import Locator
from becket.adapters.dispatch.news import News
from becket.adapters.dispatch.reads import Reads
from becket.adapters.dispatch.routing import AddressOf, Routes
from becket.adapters.dispatch.settings import DispatchSettings
from becket.adapters.dispatch.stamps import Stamps
from becket.adapters.dispatch.submissions import Part, Results, Submission
from becket.adapters.dispatch.timing import Clock, LoopClock
from becket.adapters.dispatch.waiting import WaitingRoom
from becket.adapters.rpc.ring_view import RingView
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1 import types_pb2
from becket.core.errors import NotAppliedError, OverloadedError
from becket.core.sessions import Session

_SLOT_US = 20_000
"""Deadlines are watched in steps of this length."""

_ROUTER_ATTEMPT_US = 3_600_000_000
"""A router makes further attempts by itself, until the deadline that it is told."""

_SWEEP_TICKS = 500
"""How often, in ticks, lanes to members that are gone are closed."""


@dataclass(frozen=True)
class Wiring:
    """What a dispatcher may be given from outside; ``session_id`` empty: a random one."""

    clock: Clock | None = None
    rng: random.Random | None = None
    session_id: str = ""
    address_of: AddressOf | None = None
    on_lane: Callable[[str], None] | None = None
    """Told the address of each new lane."""
    on_lane_gone: Callable[[str], None] | None = None


class Dispatcher:
    """Sends operations to whoever coordinates their partitions, until they have an outcome.

    Operations are taken over: they may be changed. They must have been checked against the limits.
    """

    def __init__(
        self,
        view: RingView,
        pool: ChannelPool,
        settings: DispatchSettings,
        wiring: Wiring = Wiring(),
    ) -> None:
        self.settings = settings
        self.view = view
        self._pool = pool
        self._wiring = wiring
        self._clock = wiring.clock or LoopClock()
        rng = wiring.rng or random.Random(secrets.randbits(64))  # noqa: S311 - jitter, no secret
        self.routes = Routes(view, self._make_lane, rng, wiring.address_of)
        self.news = News(view, self.routes.forget, self.routes.hope)
        locator = Locator(self.routes, self.news, pool.get, self.settings)
        self._room = WaitingRoom(self.routes.epoch)
        session = Session(wiring.session_id or secrets.token_hex(8))
        self.stamps = Stamps(session.learn)
        self.context = Context(
            self.settings,
            self._clock,
            rng,
            self.routes,
            self.news,
            locator,
            self.stamps,
            Budget(self.settings, self._clock.now_us()),
            self._room,
            self._arm,
        )
        self._calls = Calls(self.context, session)
        self._reads = Reads(self.context)
        self._arrived: list[Submission] = []
        self._is_lone = False
        """Whether the last flush was that of one caller, with nobody else under way."""
        self._pending = 0
        self._deadlines: dict[int, set[Submission]] = {}
        self._passed_slot = self._clock.now_us() // _SLOT_US
        self._armed = False
        self._ticks = 0
        self._looked_at = -1
        self._closing: set[asyncio.Task[None]] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def counts(self) -> Counts:
        """What was done so far."""
        return self.context.counts

    @property
    def pending(self) -> int:
        """Operations that have no result yet."""
        return self._pending

    def start(self) -> None:
        """Begin to heed changes of the ring view; call it in the event loop."""
        self._watcher = asyncio.get_running_loop().create_task(self._watch_view())

    def fall_back_to(self, address: str) -> None:
        """Use the router at this address where members cannot be reached from here."""
        lane = self._bare_lane(address)
        lane.attempt_us = _ROUTER_ATTEMPT_US
        self.routes.fallbacks.append(lane)

    async def run(
        self,
        operations: Sequence[kv.Operation],
        timeout_us: int | None = None,
        room: int = sys.maxsize,
    ) -> Results:
        """The results of ``operations``, one each, in their order.

        Reads are left out with ANSWER_FULL once ``room`` bytes of values have been read.

        :raises OverloadedError: too much is under way; nothing was applied.
        :raises NotAppliedError: the dispatcher is closed; nothing was applied.
        """
        submission = self._submit(operations, timeout_us, room)
        try:
            return await submission.future
        except asyncio.CancelledError:
            self._abandon(submission)
            raise

    async def read(
        self, key: bytes, operation: kv.Operation, timeout_us: int | None = None
    ) -> kv.Result:
        """The result of one linearizable read of ``key``: as ``run``, which would look for both."""
        submission = self._submit((operation,), timeout_us, sys.maxsize, key)
        try:
            results = await submission.future
        except asyncio.CancelledError:
            self._abandon(submission)
            raise
        return results[0]

    def _submit(
        self,
        operations: Sequence[kv.Operation],
        timeout_us: int | None,
        room: int,
        read_key: bytes = b"",
    ) -> Submission:
        if self._closed:
            raise NotAppliedError("this client is closed")
        count = len(operations)
        if self._pending + count > self.settings.pending_operations:
            raise OverloadedError("too many operations are under way", after_ms=100)
        loop = asyncio.get_running_loop()
        patience_us = self.settings.default_deadline_us if timeout_us is None else timeout_us
        deadline_us = self._clock.now_us() + max(1, patience_us)
        submission = Submission(operations, deadline_us, loop.create_future(), self._on_over, room)
        submission.read_key = read_key
        self._pending += count
        slot = deadline_us // _SLOT_US
        due = self._deadlines.get(slot)
        if due is None:
            due = self._deadlines[slot] = set()
        due.add(submission)
        if not self._armed:
            self._arm()
        self._arrived.append(submission)
        if self._is_lone and self._pending == count:
            # One caller alone, as the last time: nobody comes in this turn who could join.
            self._flush()
        elif len(self._arrived) == 1:
            loop.call_soon(self._flush)
        return submission

    def _on_over(self, submission: Submission) -> None:
        self._pending -= submission.count
        slot = submission.deadline_us // _SLOT_US
        due = self._deadlines.get(slot)
        if due is not None:
            due.discard(submission)
            if not due:
                del self._deadlines[slot]

    def _flush(self) -> None:
        """Send everything that has arrived since the last turn."""
        ring = self.view.ring
        if ring is None:
            return  # Who has arrived waits for the first ring.
        arrived, self._arrived = self._arrived, []
        self._is_lone = len(arrived) == 1 and self._pending == arrived[0].count
        context, now_us = self.context, self._clock.now_us()
        for submission in arrived:
            if submission.is_over:
                continue
            if submission.read_key:
                context.counts.calls += 1
                context.budget.pay_in(1)
                self._reads.begin_lone(submission, ring.partition_of(submission.read_key), now_us)
                continue
            grouped = group(submission, ring)
            calls = len(grouped.parts) + len(grouped.reads)
            context.counts.calls += calls
            context.budget.pay_in(calls)
            if grouped.reads:
                self._reads.begin(submission, grouped.reads, now_us)
            for part in grouped.parts:
                self._calls.begin(part)

    # Time

    def _arm(self) -> None:
        if not self._armed and not self._closed:
            self._armed = True
            self._clock.call_later(self.settings.tick_us, self._tick)

    def _tick(self) -> None:
        self._armed = False
        if self._closed:
            return
        now_us = self._clock.now_us()
        self._expire(now_us)
        self._room.wake(now_us)
        least_us = self.settings.hedge_least_us
        serial = self.view.serial
        news, self._looked_at = serial != self._looked_at, serial
        for lane in self._lanes():
            lane.look()
            for parcel in lane.older_than(least_us):
                if news or parcel.look_us <= now_us:
                    again_us = parcel.on_waiting(now_us - parcel.put_us)
                    parcel.look_us = parcel.put_us + again_us
        self._ticks += 1
        if self._ticks % _SWEEP_TICKS == 0:
            self._close_unused()
        if self._pending or len(self._room):
            self._arm()

    def _expire(self, now_us: int) -> None:
        # A slot is due when all of it has passed, so nobody is told too early.
        upto = now_us // _SLOT_US
        if upto - self._passed_slot > len(self._deadlines):
            slots = sorted(slot for slot in self._deadlines if slot < upto)
        else:
            slots = [slot for slot in range(self._passed_slot, upto) if slot in self._deadlines]
        self._passed_slot = upto
        for slot in slots:
            for submission in list(self._deadlines.get(slot, ())):
                self._end(submission)

    def _end(self, submission: Submission) -> None:
        """The caller's time is over: tell what is known of each operation."""
        for first in list(submission.parts):
            part: Part | None = first
            while part is not None:
                if not part.is_over:
                    self._calls.expire(part)
                part = part.then
        for place in range(len(submission.results)):
            self._reads.expire(submission, place)

    def _abandon(self, submission: Submission) -> None:
        parts = list(submission.parts)
        submission.abandon()
        for part in parts:
            if part.calling is not None and not part.calling.is_over:
                self._calls.expire(part)

    # Lanes

    def _bare_lane(self, address: str) -> Lane:
        return Lane(address, self._pool, self.settings, self._clock, self)

    def _make_lane(self, address: str) -> Lane:
        if self._wiring.on_lane is not None:
            self._wiring.on_lane(address)
        return self._bare_lane(address)

    def on_answer(self, stamps: list[types_pb2.Stamp]) -> None:
        """Learn the stamps of an answer (R30)."""
        self.stamps.learn(stamps)

    def on_unreachable(self) -> None:
        """A member may answer at another address now."""
        self.routes.forget()

    def _lanes(self) -> list[Lane]:
        return [*self.routes.lanes.values(), *self.routes.fallbacks]

    def _close_unused(self) -> None:
        loop = asyncio.get_running_loop()
        for lane in self.routes.unused():
            if self._wiring.on_lane_gone is not None:
                self._wiring.on_lane_gone(lane.address)
            task = loop.create_task(self._close_lane(lane))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _close_lane(self, lane: Lane) -> None:
        await lane.close()
        # A seed that is a member too has another lane over the same channel.
        if all(other.address != lane.address for other in self._lanes()):
            await self._pool.drop(lane.address)

    # Changes

    async def _watch_view(self) -> None:
        serial = -1
        while True:
            serial = await self.view.changed(serial)
            if self._arrived:
                self._flush()
            self._room.wake(self._clock.now_us())

    async def close(self) -> None:
        """End everything; whoever still waits is told what is known."""
        self._closed = True
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        for due in list(self._deadlines.values()):
            for submission in list(due):
                self._end(submission)
        await self.context.locator.close()
        await asyncio.gather(*(lane.close() for lane in self._lanes()), *self._closing)
