"""KeyValueService of a router: every key, whoever coordinates it.

Owns the calls' shapes: unary calls are lists of one, which the dispatcher joins with whatever else
arrives in the same turn of the event loop. What is out of its limits is refused as a whole, with
its field, before anything is done. Must not retry: the dispatcher does, and answers by R29 over all
of its attempts (PROTOCOL R32).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from typing import Any

import grpc

from becket.adapters.dispatch.connection import Connection
from becket.adapters.rpc.errors import StatusError, to_status
from becket.adapters.rpc.operations import GET, Request, parse, parse_batch
from becket.api.v1 import errors_pb2, types_pb2
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1 import key_value_pb2_grpc as rpc
from becket.core.errors import AnswerFullError, BecketError, InvalidInputError

Context = grpc.aio.ServicerContext[Any, Any]

MARGIN = 0.2
MARGIN_MOST_S = 0.06
"""The answer is to be on its way before the caller's deadline: an outcome says more than a
deadline that has passed."""

LONGEST_S = 3600.0
ENTRY_BYTES = 96
"""What an entry takes beside its key and its value."""


class KeyValueServicer(rpc.KeyValueServiceServicer):
    """The service."""

    def __init__(self, connection: Connection, default_s: float, pipeline_batches: int) -> None:
        self._connection = connection
        self._dispatcher = connection.dispatcher
        self._limits = connection.limits
        self._default_s = default_s
        self._pipeline_batches = pipeline_batches
        self._pipelines: set[_Pipeline] = set()

    # Unary

    async def Get(self, request: kv.GetRequest, context: Context) -> kv.GetResponse:  # noqa: N802
        """Read one key."""
        result = await self._single(request, kv.Operation(get=request), context)
        return result.get

    async def Put(self, request: kv.PutRequest, context: Context) -> kv.PutResponse:  # noqa: N802
        """Write one key."""
        result = await self._single(request, kv.Operation(put=request), context)
        return result.put

    async def Delete(  # noqa: N802
        self, request: kv.DeleteRequest, context: Context
    ) -> kv.DeleteResponse:
        """Delete one key."""
        result = await self._single(request, kv.Operation(delete=request), context)
        return result.delete

    async def Increment(  # noqa: N802
        self, request: kv.IncrementRequest, context: Context
    ) -> kv.IncrementResponse:
        """Add to a counter."""
        result = await self._single(request, kv.Operation(increment=request), context)
        return result.increment

    async def _single(
        self, request: Request, operation: kv.Operation, context: Context
    ) -> kv.Result:
        parsed = parse(request, self._limits)
        is_read = parsed.operation is GET
        if not is_read and _is_repeated(context):
            _mark_repeated((operation,))
        left_us = _us(self._left_s(context))
        if is_read and parsed.staleness_us < 0:
            result = await self._dispatcher.read(request.key, operation, left_us)
        else:
            [result] = await self._dispatcher.run((operation,), left_us)
        stamps = self._stamps((request.key,))
        if result.HasField("status"):
            # The result may be another caller's too: what is added is added to a copy.
            refused = StatusError(type(result.status).FromString(result.status.SerializeToString()))
            for stamp in stamps:
                refused.status.details.add().Pack(errors_pb2.StampDetail(stamp=stamp))
            raise refused
        for stamp in stamps:
            getattr(result, str(result.WhichOneof("result"))).stamp.CopyFrom(stamp)
        return result

    def _stamps(self, keys: Iterable[bytes]) -> list[types_pb2.Stamp]:
        """One for each partition that the keys are in."""
        ring = self._connection.view.ring
        if ring is None:
            return []
        return self._dispatcher.stamps.told(sorted(set(ring.partitions_of(keys))))

    async def Batch(  # noqa: N802
        self, request: kv.BatchRequest, context: Context
    ) -> kv.BatchResponse:
        """Many operations, each with its own outcome."""
        if _is_repeated(context):
            _mark_repeated(request.operations)
        results, stamps = await self._run(request.operations, self._left_s(context))
        version = self._connection.view.table.version
        return kv.BatchResponse(results=results, stamps=stamps, ring_version=version)

    async def _run(
        self, operations: Sequence[kv.Operation], timeout_s: float
    ) -> tuple[Sequence[kv.Result], list[types_pb2.Stamp]]:
        parsed = parse_batch(operations, self._limits)
        room = self._limits.batch_bytes
        results = await self._dispatcher.run(operations, _us(timeout_s), room)
        return self._bounded(results), self._stamps(item.key for item in parsed)

    def _bounded(self, results: Sequence[kv.Result]) -> Sequence[kv.Result]:
        """The results, without the values that would make the answer too large for a message."""
        left = self._limits.batch_bytes
        kept: list[kv.Result] = []
        refusal: kv.Result | None = None
        for result in results:
            if result.HasField("get"):
                entry = result.get.entry
                size = len(entry.value) + len(entry.key) + ENTRY_BYTES
                if size > left and kept:
                    if refusal is None:
                        refusal = kv.Result(status=to_status(self._too_large()))
                    kept.append(refusal)
                    continue
                left -= size
            kept.append(result)
        return kept

    def _too_large(self) -> BecketError:
        most = self._limits.batch_bytes
        return AnswerFullError(f"the answers are over {most} bytes together: ask for fewer")

    async def Scan(  # noqa: N802
        self, request: kv.ScanRequest, context: Context
    ) -> kv.ScanResponse:
        """One page of a listing."""
        return await self._connection.scanner.page(request, self._left_s(context))

    def _left_s(self, context: Context) -> float:
        """How long the caller waits, less what the way back may take."""
        # The skeleton ends every call that brought no deadline after the default one.
        left_s = min(context.time_remaining() or self._default_s, LONGEST_S)
        return left_s - min(left_s * MARGIN, MARGIN_MOST_S)

    # Streams

    async def Pipeline(  # noqa: N802
        self, request_iterator: AsyncIterable[kv.PipelineRequest], context: Context
    ) -> AsyncIterator[kv.PipelineResponse]:
        """Batches over one stream; answers come as they are ready."""
        del context
        pipeline = _Pipeline(self, self._pipeline_batches)
        self._pipelines.add(pipeline)
        reading = asyncio.create_task(pipeline.read(request_iterator))
        try:
            while (answer := await pipeline.answers.get()) is not None:
                yield answer
                pipeline.on_sent()
        finally:
            self._pipelines.discard(pipeline)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def answer(self, request: kv.PipelineRequest) -> kv.PipelineResponse:
        """The answer to one batch of a stream."""
        answer = kv.PipelineResponse(batch_id=request.batch_id)
        try:
            results, stamps = await self._run(request.operations, self._timeout_s(request))
            answer.results.extend(results)
            answer.stamps.extend(stamps)
        except BecketError as error:
            answer.status.CopyFrom(to_status(error))
        answer.ring_version = self._connection.view.table.version
        return answer

    def _timeout_s(self, request: kv.PipelineRequest) -> float:
        if not request.HasField("timeout"):
            return self._default_s
        timeout_s: float = request.timeout.seconds + request.timeout.nanos / 1e9
        if timeout_s <= 0:
            raise InvalidInputError("timeout", "must be over 0")
        timeout_s = min(timeout_s, LONGEST_S)
        return timeout_s - min(timeout_s * MARGIN, MARGIN_MOST_S)

    async def end_pipelines(self) -> None:
        """Let every stream end after its last answer; nothing new is read."""
        await asyncio.gather(*(pipeline.end() for pipeline in list(self._pipelines)))


class _Pipeline:
    """One stream: what is under way on it, and what is to be sent; together they have a limit.

    Whoever does not read its answers is not read from either.
    """

    def __init__(self, servicer: KeyValueServicer, most: int) -> None:
        self.answers: asyncio.Queue[kv.PipelineResponse | None] = asyncio.Queue()
        self._servicer = servicer
        self._room = asyncio.Semaphore(most)
        self._under_way: set[asyncio.Task[None]] = set()
        self._ending = False

    async def read(self, requests: AsyncIterable[kv.PipelineRequest]) -> None:
        """Begin batches as they come, not more at once than there is room."""
        try:
            async for request in requests:
                await self._room.acquire()
                if self._ending:
                    return
                task = asyncio.create_task(self._answer(request))
                self._under_way.add(task)
                task.add_done_callback(self._on_done)
            await self.end()
        except asyncio.CancelledError:
            for task in self._under_way:
                task.cancel()
            raise
        finally:
            self.answers.put_nowait(None)

    async def _answer(self, request: kv.PipelineRequest) -> None:
        self.answers.put_nowait(await self._servicer.answer(request))

    def on_sent(self) -> None:
        """An answer has left: there is room for another batch."""
        self._room.release()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.answers.put_nowait(None)  # A bug: the stream must not wait for that answer.
            context = {"message": "a batch failed", "exception": task.exception()}
            task.get_loop().call_exception_handler(context)

    async def end(self) -> None:
        """Answer what has begun, then end the stream."""
        self._ending = True
        if self._under_way:
            await asyncio.wait(set(self._under_way))
        self.answers.put_nowait(None)


def _us(seconds: float) -> int:
    return int(seconds * 1e6)


def _is_repeated(context: Context) -> bool:
    """Whether the caller's transport has tried before: that attempt may have been executed."""
    metadata = context.invocation_metadata() or ()
    return any(key == "grpc-previous-rpc-attempts" for key, _ in metadata)


def _mark_repeated(operations: Iterable[kv.Operation]) -> None:
    """Set ``retry`` where the caller has named the write (R32)."""
    for operation in operations:
        kind = operation.WhichOneof("operation")
        if kind is None or kind == "get":
            continue
        request = getattr(operation, kind)
        if request.request_id or request.HasField("operation_id"):
            request.retry = True
