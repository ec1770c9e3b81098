"""One lane per member: a ``Pipeline`` stream on which operations travel in batches.

Theory of operation. Whoever has operations puts parcels into the lane; once a turn of the event
loop, and whenever an answer makes room, what waits goes out as one batch, so that batches grow with
the load instead of their number. A parcel leaves the lane exactly once: with results, with the
status of a refused batch, or lost. Lost and ``sent`` means that it may be executed or have been;
otherwise it has never left this process.

Owns the stream and its limits. Must not know keys' owners, partitions or attempts. Invariants: at
most ``window`` batches are in flight, stalled ones not counted; within one batch a key belongs to
one call (the operations of one key in one batch are executed as one, R14a), or is only read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

import grpc
from google.rpc import status_pb2

from becket.adapters.dispatch.channel_pool import ChannelPool
from becket.adapters.dispatch.dialing import Dialing
from becket.adapters.dispatch.latency import Latency
from becket.adapters.dispatch.parcels import Parcel, ParcelState
from becket.adapters.dispatch.settings import DispatchSettings
from becket.adapters.dispatch.timing import Clock
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1 import types_pb2
from becket.api.v1.key_value_pb2_grpc import KeyValueServiceStub
from becket.core.errors import OverloadedError, RetryLaterError

PipelineCall = grpc.aio.StreamStreamCall[kv.PipelineRequest, kv.PipelineResponse]


_DEFERRED = 256
"""How far a batch looks past parcels that must wait for the next one."""
_ASKED_STEP_US = 10_000
"""What was asked of a member fades in steps of this length at least: by less than a hundredth."""


class UnreachableError(RetryLaterError):
    """The member cannot be reached now; nothing was sent."""


class Listener(Protocol):
    """Who hears of what answers say beside their results."""

    def on_answer(self, stamps: list[types_pb2.Stamp]) -> None:
        """The stamps of one answer, told before its results."""

    def on_unreachable(self) -> None:
        """A member cannot be reached, or its stream broke."""


class _Batch:
    """Parcels in flight together."""

    __slots__ = ("count", "parcels", "results", "sent_us")

    def __init__(self, parcels: list[Parcel], count: int, sent_us: int) -> None:
        self.parcels = parcels
        self.count = count
        self.sent_us = sent_us
        self.results: list[kv.Result | None] | None = None
        """What a first part of the answer has brought; None before there was one."""


class Lane:
    """The way to one member."""

    def __init__(
        self,
        address: str,
        pool: ChannelPool,
        settings: DispatchSettings,
        clock: Clock,
        listener: Listener,
    ) -> None:
        self.address = address
        self.latency = Latency()
        self.in_flight_operations = 0
        """Operations queued or in flight: the load that this process puts on the member."""
        self.attempt_us = settings.attempt_us
        self._asked, self._asked_us = 0.0, 0
        self._dialing = Dialing(address, pool, settings)
        self._settings = settings
        self._clock = clock
        self._listener = listener
        self._queue: deque[Parcel] = deque()
        self._queued_bytes = 0
        self._queued_operations = 0
        self._in_flight: dict[int, _Batch] = {}
        self._last_id = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_down = False
        self._down_us = 0
        """Since when it is down."""
        self._is_doubted = False
        self._is_shared = False
        """Whether the last batch was that of several callers."""
        self._closed = False

    # Parcels

    @property
    def is_reachable(self) -> bool:
        """Whether a parcel may be put: after a failure not until the member is connected."""
        return not self._closed and not self._is_down

    @property
    def is_lost(self) -> bool:
        """Whether the member has been out of reach for so long that a detour is worth it."""
        if not self._is_down:
            return self._closed
        return self._clock.now_us() - self._down_us >= self._settings.detour_us

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued or in flight."""
        return not self._queue and not self._in_flight

    @property
    def is_full(self) -> bool:
        """Whether a parcel put now would have to wait for an answer to another."""
        in_flight, settings = self._in_flight, self._settings
        if not in_flight:
            return False
        if len(in_flight) >= settings.window_most:
            return True
        # Operations that wait for a new coordinator must not hold up all others that come after
        # them: their batch has been answered in part, or not at all for longer than usual.
        usual_us = max(settings.stalled_us, 3 * self.latency.mean_us)
        since_us = self._clock.now_us() - usual_us
        young = [b for b in in_flight.values() if b.results is None and b.sent_us > since_us]
        if len(young) >= settings.window:
            return True
        # A message beside one under way has to be worth it; one of a lone caller holds up nobody.
        return bool(young) and self._queued_operations < 2 * (young[-1].count - 1)

    def look(self) -> None:
        """Time has passed: send what waits, if a batch in flight has turned out to be stalled."""
        if self._queue and self._in_flight and not self.is_full:
            self._wake.set()

    def usual_us(self) -> float:
        """How long an answer takes here, as far as is known now."""
        if self.in_flight_operations:
            return self.latency.mean_us
        return self.latency.expected_us(self._clock.now_us())

    def cost(self) -> float:
        """How long one more operation would probably take, in relation to other lanes."""
        return (self.in_flight_operations + 1) * self.usual_us()

    def burden(self) -> float:
        """How long one more operation would take, by what was measured last, however long ago."""
        return (self.in_flight_operations + 1) * self.latency.mean_us

    def asked_lately(self) -> float:
        """How many operations this process has put here; one counts half as much after a second."""
        age_us = self._clock.now_us() - self._asked_us
        return float(self._asked * 0.5 ** (age_us / 1e6))

    def note_asked(self, count: int, now_us: int) -> None:
        """So many operations are put here now."""
        if now_us - self._asked_us >= _ASKED_STEP_US:
            self._asked, self._asked_us = self.asked_lately(), now_us
        self._asked += count

    def put(self, parcel: Parcel, now_us: int) -> None:
        """Queue a parcel for the next batch.

        :raises UnreachableError: the member cannot be reached now.
        :raises OverloadedError: too much waits for it already.
        """
        if self._closed or self._is_down:
            raise UnreachableError(f"{self.address} cannot be reached")
        count = len(parcel.operations)
        settings = self._settings
        if (
            self._queued_operations + count > settings.queue_operations
            or self._queued_bytes + parcel.size > settings.queue_bytes
        ):
            raise OverloadedError(f"too many operations wait for {self.address}", after_ms=100)
        parcel.put_us = parcel.look_us = now_us
        parcel.state = ParcelState.QUEUED
        self._queue.append(parcel)
        self._queued_operations += count
        self._queued_bytes += parcel.size
        self.in_flight_operations += count
        self.note_asked(count, now_us)
        self._start()

    def doubt(self) -> None:
        """A call beside the lane has failed: find out whether the member can be reached."""
        if not self._closed and not self._is_down and self.is_idle:
            self._is_doubted = True
            self._start()

    def hope(self) -> None:
        """Somebody has heard the member: dial it now, if it could not be reached."""
        if self._is_down:
            self._dialing.hope()

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._on_ended)
        self._wake.set()

    def withdraw(self, parcel: Parcel) -> bool:
        """Take back a parcel that was not sent yet; False where it was."""
        if parcel.state is not ParcelState.QUEUED:
            return False
        self._queue.remove(parcel)
        self._forget_queued(parcel)
        self._release(parcel)
        return True

    def older_than(self, age_us: int) -> list[Parcel]:
        """The parcels that have waited for at least so long, the oldest first."""
        put_before_us = self._clock.now_us() - age_us
        found: list[Parcel] = []
        for batch in self._in_flight.values():
            if batch.parcels[0].put_us > put_before_us:
                break
            found += [p for p in batch.parcels if p.put_us <= put_before_us]
        for parcel in self._queue:
            if parcel.put_us > put_before_us:
                break
            found.append(parcel)
        return [parcel for parcel in found if parcel.state is not ParcelState.OVER]

    async def close(self) -> None:
        """End the stream; whatever is in the lane is lost."""
        self._closed = True
        self._wake.set()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._lose_all()

    def _forget_queued(self, parcel: Parcel) -> None:
        self._queued_operations -= len(parcel.operations)
        self._queued_bytes -= parcel.size

    def _release(self, parcel: Parcel) -> None:
        parcel.state = ParcelState.OVER
        self.in_flight_operations -= len(parcel.operations)

    # The stream

    async def _run(self) -> None:
        """Keep a stream while there is something to send; after a failure, a connection."""
        while not self._closed:
            if self._is_down:
                await self._dialing.pause()
                if not await self._dialing.connect():
                    self._dialing.note_failure()
                    continue
                self._is_down = False
            if not self._queue and not self._is_doubted:
                self._wake.clear()
                await self._wake.wait()
                continue
            self._is_doubted = False
            if not await self._dialing.connect():
                self._break()
                continue
            if not self._queue:
                continue
            call = KeyValueServiceStub(self._dialing.channel).Pipeline()
            reader = asyncio.create_task(self._read(call))
            try:
                await self._write(call, reader)
            finally:
                if not reader.done():
                    reader.cancel()
                call.cancel()
                await asyncio.gather(reader, return_exceptions=True)
            self._end_stream(clean=not reader.cancelled() and reader.result())

    async def _write(self, call: PipelineCall, reader: asyncio.Task[bool]) -> None:
        while not reader.done() and not self._closed:
            while self._queue and not self.is_full:
                if self._is_shared:
                    # Whom the last answer has woken asks again within two turns: let it join.
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                    if reader.done():
                        return
                    if not self._queue or self.is_full:
                        break
                request = self._assemble()
                try:
                    await call.write(request)
                except (grpc.RpcError, asyncio.InvalidStateError):
                    return
                if reader.done():
                    return
            self._wake.clear()
            await self._wake.wait()

    async def _read(self, call: PipelineCall) -> bool:
        """Take answers until the stream ends; True where the member ended it in order."""
        try:
            while True:
                response = await call.read()
                if not isinstance(response, kv.PipelineResponse):
                    return await call.code() is grpc.StatusCode.OK
                self._dialing.note_answer()
                self._take(response)
                self._wake.set()
        except (grpc.RpcError, asyncio.InvalidStateError):
            return False
        finally:
            self._wake.set()

    def _assemble(self) -> kv.PipelineRequest:
        """The next batch; what does not fit into it, or must not be in it, keeps its place."""
        settings, queue = self._settings, self._queue
        request = kv.PipelineRequest(partial=True)
        parcels: list[Parcel] = []
        deferred: list[Parcel] = []
        written: set[bytes] = set()
        read: set[bytes] = set()
        count = size = patience_us = 0
        while queue:
            parcel = queue[0]
            if parcels and (
                count + len(parcel.operations) > settings.batch_operations
                or size + parcel.size > settings.batch_bytes
                or parcel.alone
                or parcels[0].alone
            ):
                break
            queue.popleft()
            if not _fits(parcel, written, read):
                deferred.append(parcel)
                if len(deferred) >= _DEFERRED:
                    break
                continue
            count += len(parcel.operations)
            size += parcel.size
            patience_us = max(patience_us, parcel.patience_us)
            request.operations.extend(parcel.operations)
            parcel.state = ParcelState.SENT
            self._forget_queued(parcel)
            parcels.append(parcel)
        queue.extendleft(reversed(deferred))
        self._last_id += 1
        request.batch_id = self._last_id
        if patience_us:
            request.timeout.FromMicroseconds(patience_us)
        self._in_flight[self._last_id] = _Batch(parcels, count, self._clock.now_us())
        return request

    def _take(self, response: kv.PipelineResponse) -> None:
        # Whatever comes of the batch: a member tells each stamp once over a stream.
        self._listener.on_answer(list(response.stamps))
        batch = self._in_flight.get(response.batch_id)
        if batch is None:
            return
        if not response.more:
            del self._in_flight[response.batch_id]
            self._is_shared = len(batch.parcels) > 1
        if batch.results is None:
            now_us = self._clock.now_us()
            self.latency.note(now_us - batch.sent_us, now_us)
        if response.HasField("status"):
            self._refuse(batch, response.status)
            return
        results: list[kv.Result | None] = list(response.results)
        if response.places or response.more:
            results = _merged(batch, response)
        self._deliver(batch, results, last=not response.more)

    def _refuse(self, batch: _Batch, status: status_pb2.Status) -> None:
        for parcel in batch.parcels:
            if parcel.state is not ParcelState.OVER:
                self._release(parcel)
                parcel.on_refused(status, company=len(batch.parcels) > 1)

    def _deliver(self, batch: _Batch, results: list[kv.Result | None], *, last: bool) -> None:
        """Hand out what is there; with the ``last`` part, what is not there is lost."""
        at = 0
        for parcel in batch.parcels:
            upto = at + len(parcel.operations)
            own = [result for result in results[at:upto] if result is not None]
            at = upto
            if parcel.state is ParcelState.OVER:
                continue
            if len(own) == len(parcel.operations) and len(results) == batch.count:
                self._release(parcel)
                parcel.on_results(own)
            elif last:
                self._release(parcel)
                parcel.on_lost(sent=True)

    # Breaking

    def _end_stream(self, *, clean: bool) -> None:
        """Without an answer there is none any more, also where the member ended in order."""
        lost, self._in_flight = self._in_flight, {}
        for batch in lost.values():
            for parcel in batch.parcels:
                if parcel.state is not ParcelState.OVER:
                    self._release(parcel)
                    parcel.on_lost(sent=True)
        if not clean:
            self._break()

    def _break(self) -> None:
        """Hand back what waits, and take nothing until the member is connected again."""
        self._is_down, self._down_us = True, self._clock.now_us()
        self._dialing.note_failure()
        self._listener.on_unreachable()
        self._lose_queue()

    def _on_ended(self, task: asyncio.Task[None]) -> None:
        """The task ends by ``close`` only; a bug in it must leave nothing waiting for ever."""
        if task.cancelled():
            return
        self._task = None
        error = task.exception()
        if error is not None:
            context = {"message": f"the lane to {self.address} failed", "exception": error}
            task.get_loop().call_exception_handler(context)
            self._end_stream(clean=False)

    def _lose_queue(self) -> None:
        queue, self._queue = self._queue, deque()
        for parcel in queue:
            self._forget_queued(parcel)
            self._release(parcel)
            parcel.on_lost(sent=False)

    def _lose_all(self) -> None:
        self._end_stream(clean=True)
        self._lose_queue()


def _merged(batch: _Batch, response: kv.PipelineResponse) -> list[kv.Result | None]:
    """The results of all parts so far; a part that makes no sense adds nothing."""
    results = batch.results
    if results is None:
        results = batch.results = [None] * batch.count
    if len(response.places) == len(response.results):
        for place, result in zip(response.places, response.results, strict=True):
            if place < batch.count:
                results[place] = result
    return results


def _fits(parcel: Parcel, written: set[bytes], read: set[bytes]) -> bool:
    """Whether no other parcel of the batch has to do with a key that one of them writes."""
    keys = parcel.keys
    if not written.isdisjoint(keys):
        return False
    if not parcel.writes:
        read.update(keys)
        return True
    if not read.isdisjoint(keys):
        return False
    written.update(keys)
    return True
