"""KeyValueService of one member: the keys of the partitions that it coordinates.

Owns the calls' shapes: unary calls are batches of one, a pipeline is batches over one stream. What
is out of its limits is refused as a whole before anything is done. Must not retry or forward.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Coroutine
from typing import Any

import grpc
from google.protobuf.message import Message

from becket.adapters.rpc.errors import StatusError, to_status
from becket.adapters.rpc.operations import Parsed, Request, parse, parse_batch
from becket.adapters.rpc.rings import repeated_bytes
from becket.api.v1 import errors_pb2
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1 import key_value_pb2_grpc as rpc
from becket.core.errors import BecketError, InvalidInputError
from becket.core.limits import Limits
from becket.core.replication.versions import Version
from becket.storage.answers import Answers
from becket.storage.calls import Calls, OnPart, OpenBatch, Outcomes
from becket.storage.scans import Scans
from becket.storage.traces import Traces

Context = grpc.aio.ServicerContext[Any, Any]

LONGEST_S = 60.0


class KeyValueServicer(rpc.KeyValueServiceServicer):
    """The service."""

    def __init__(
        self, calls: Calls, scans: Scans, traces: Traces, limits: Limits, *, default_s: float
    ) -> None:
        self._calls = calls
        self._scans = scans
        self._traces = traces
        self._limits = limits
        self._default_s = default_s
        self._pipelines: set[Answers] = set()

    # Unary

    async def Get(self, request: kv.GetRequest, context: Context) -> kv.GetResponse:  # noqa: N802
        """Read one key."""
        result = await self._single(request, context)
        return result.get

    async def Put(self, request: kv.PutRequest, context: Context) -> kv.PutResponse:  # noqa: N802
        """Write one key."""
        result = await self._single(request, context)
        return result.put

    async def Delete(  # noqa: N802
        self, request: kv.DeleteRequest, context: Context
    ) -> kv.DeleteResponse:
        """Delete one key."""
        result = await self._single(request, context)
        return result.delete

    async def Increment(  # noqa: N802
        self, request: kv.IncrementRequest, context: Context
    ) -> kv.IncrementResponse:
        """Add to a counter."""
        result = await self._single(request, context)
        return result.increment

    async def _single(self, request: Request, context: Context) -> kv.Result:
        if not isinstance(request, kv.GetRequest) and _is_repeated(context):
            # The transport has tried before: that attempt may have been executed (R32).
            request.retry = bool(request.request_id) or request.HasField("operation_id")
        parsed = parse(request, self._limits)
        with self._traces.batch("", 1) as trace:
            results, stamps, _ = await self._calls.execute(
                [parsed], self._left_s(context), trace=trace
            )
        result = kv.Result.FromString(results[0])
        if result.HasField("status"):
            details: list[Message] = [errors_pb2.StampDetail(stamp=stamp) for stamp in stamps]
            for detail in details:
                result.status.details.add().Pack(detail)
            raise StatusError(result.status)
        for stamp in stamps:
            getattr(result, str(result.WhichOneof("result"))).stamp.CopyFrom(stamp)
        return result

    async def Batch(  # noqa: N802
        self, request: kv.BatchRequest, context: Context
    ) -> kv.BatchResponse:
        """Many operations, each with its own outcome."""
        parsed = parse_batch(request.operations, self._limits)
        with self._traces.batch("", len(parsed)) as trace:
            results, stamps, _ = await self._calls.execute(
                parsed, self._left_s(context), trace=trace
            )
        answer = kv.BatchResponse.FromString(repeated_bytes(b"\x0a", results))
        answer.stamps.extend(stamps)
        answer.ring_version = self._calls.ring_version
        return answer

    async def Scan(  # noqa: N802
        self, request: kv.ScanRequest, context: Context
    ) -> kv.ScanResponse:
        """One page of a listing."""
        return await self._scans.page(request, self._left_s(context))

    def _left_s(self, context: Context) -> float:
        # The skeleton has given a deadline to every call that brought none.
        return min(context.time_remaining() or self._default_s, LONGEST_S)

    # Streams

    async def Pipeline(  # type: ignore[override]  # noqa: N802 - one that writes is no iterator
        self, request_iterator: AsyncIterable[kv.PipelineRequest], context: Context
    ) -> None:
        """Batches over one stream; answers go out as they are ready."""
        answers = Answers(context.write)
        self._pipelines.add(answers)
        reading = asyncio.create_task(self._read_pipeline(request_iterator, answers))
        try:
            await answers.write_all()
        finally:
            self._pipelines.discard(answers)
            reading.cancel()
            [ended] = await asyncio.gather(reading, return_exceptions=True)
        if isinstance(ended, Exception):
            raise ended

    async def _read_pipeline(
        self, requests: AsyncIterable[kv.PipelineRequest], answers: Answers
    ) -> None:
        under_way: set[asyncio.Task[None]] = set()
        told: dict[int, Version] = {}
        try:
            async for request in requests:
                await answers.wait_for_room()
                pipe = _Pipe(request, answers, self._calls, told)
                begun = self._begin(request, pipe)
                if isinstance(begun, kv.PipelineResponse):
                    await answers.write_now(begun)
                else:
                    task = asyncio.create_task(begun)
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
            if under_way:
                await asyncio.wait(under_way)
        except asyncio.CancelledError:
            for task in under_way:
                task.cancel()
            raise
        finally:
            answers.end()

    def _begin(
        self, request: kv.PipelineRequest, pipe: _Pipe
    ) -> kv.PipelineResponse | Coroutine[Any, Any, None]:
        """The answer where it needs no waiting, as that to reads under a lease; else what tells it.

        So they cost no task and no further turn of the loop.
        """
        try:
            timeout_s = self._timeout_s(request)
            parsed = parse_batch(request.operations, self._limits)
            if self._traces.is_sampled(request.traceparent):
                return self._answer_traced(parsed, timeout_s, request.traceparent, pipe)
            batch = self._calls.begin(parsed, timeout_s, on_part=pipe.on_part, told=pipe.told)
        except BecketError as error:
            return pipe.refusal(error)
        if batch.left:
            return self._answer(batch, timeout_s, pipe)
        return pipe.answer(self._calls.close(batch))

    async def _answer(self, batch: OpenBatch, timeout_s: float, pipe: _Pipe) -> None:
        try:
            outcomes = await self._calls.finish(batch, timeout_s)
        except BecketError as error:
            pipe.tell(pipe.refusal(error))
        else:
            pipe.tell(pipe.answer(outcomes))

    async def _answer_traced(
        self, parsed: list[Parsed], timeout_s: float, parent: str, pipe: _Pipe
    ) -> None:
        try:
            with self._traces.batch(parent, len(parsed)) as trace:
                outcomes = await self._calls.execute(
                    parsed, timeout_s, trace=trace, on_part=pipe.on_part, told=pipe.told
                )
        except BecketError as error:
            pipe.tell(pipe.refusal(error))
        else:
            pipe.tell(pipe.answer(outcomes))

    def _timeout_s(self, request: kv.PipelineRequest) -> float:
        if not request.HasField("timeout"):
            return self._default_s
        timeout_s = request.timeout.seconds + request.timeout.nanos / 1e9
        if timeout_s <= 0:
            raise InvalidInputError("timeout", "must be over 0")
        return min(timeout_s, LONGEST_S)

    def end_pipelines(self) -> None:
        """Let every stream end after what has been answered: its caller opens another elsewhere."""
        for answers in self._pipelines:
            answers.end()


class _Pipe:
    """The way back of one batch of a pipeline."""

    __slots__ = ("_answers", "_calls", "_id", "on_part", "told")

    def __init__(
        self,
        request: kv.PipelineRequest,
        answers: Answers,
        calls: Calls,
        told: dict[int, Version],
    ) -> None:
        self.told = told
        """The stamps that this stream has told: its answers arrive in order or not at all."""
        self._id = request.batch_id
        self._answers = answers
        self._calls = calls
        self.on_part: OnPart | None = self._tell_part if request.partial else None
        """Takes results before the rest of the batch has its own, where the caller wants that."""

    def tell(self, answer: kv.PipelineResponse) -> None:
        """Let an answer go out."""
        self._answers.put(answer)

    def _tell_part(self, outcomes: Outcomes) -> None:
        part = self.answer(outcomes)
        part.more = True
        self.tell(part)

    def answer(self, outcomes: Outcomes) -> kv.PipelineResponse:
        """All that was not told yet."""
        results, stamps, places = outcomes
        answer = kv.PipelineResponse.FromString(repeated_bytes(b"\x12", results))
        answer.batch_id, answer.ring_version = self._id, self._calls.ring_version
        if stamps:
            answer.stamps.extend(stamps)
        if places:
            answer.places.extend(places)
        return answer

    def refusal(self, error: BecketError) -> kv.PipelineResponse:
        """Nothing of it was done."""
        return kv.PipelineResponse(
            batch_id=self._id, status=to_status(error), ring_version=self._calls.ring_version
        )


def _is_repeated(context: Context) -> bool:
    metadata = context.invocation_metadata() or ()
    return any(key == "grpc-previous-rpc-attempts" for key, _ in metadata)
