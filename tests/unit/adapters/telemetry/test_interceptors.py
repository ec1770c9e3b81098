"""Metrics and traces of calls, through a real server and a real channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from becket.adapters.interception import Layers
from becket.adapters.telemetry.interceptors import ServerTelemetry, client_interceptors
from becket.adapters.telemetry.setup import Telemetry, TelemetryOptions
from becket.adapters.telemetry.tracing import current_parent
from becket.api.v1 import balancer_pb2 as pb
from becket.api.v1 import balancer_pb2_grpc

METHOD = "becket.api.v1.BalancerService/GetWeights"
WATCH = "becket.api.v1.BalancerService/WatchWeights"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0{}"
TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C


class Side:
    """Telemetry of one side, and the spans that it ended."""

    def __init__(self, service: str, trace_ratio: float = 0) -> None:
        options = TelemetryOptions(service, "test-0", "test", trace_ratio=trace_ratio)
        self.telemetry = Telemetry(options)
        self.spans = InMemorySpanExporter()
        self.telemetry.spans.add_span_processor(SimpleSpanProcessor(self.spans))

    def counts(self) -> dict[tuple[str, str], float]:
        """(method, code) -> calls, as /metrics shows them."""
        return {
            (sample.labels["rpc_method"], sample.labels["rpc_response_status_code"]): sample.value
            for family in self.telemetry.registry.collect()
            for sample in family.samples
            if sample.name.endswith("_call_duration_seconds_count")
        }


class Servicer(balancer_pb2_grpc.BalancerServiceServicer):
    """Remembers in which trace it was called."""

    def __init__(self) -> None:
        self.parents: list[str] = []

    async def GetWeights(  # noqa: N802 - named by the proto
        self, _request: pb.GetWeightsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetWeightsResponse:
        self.parents.append(current_parent())
        wish = dict(context.invocation_metadata() or ()).get("do")
        if wish == "abort":
            await context.abort(grpc.StatusCode.NOT_FOUND, "nothing")
        if wish == "raise":
            raise ZeroDivisionError
        if wish == "wait":
            await asyncio.Event().wait()
        return pb.GetWeightsResponse()

    async def WatchWeights(  # noqa: N802 - likewise
        self, _request: pb.WatchWeightsRequest, _context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.WatchWeightsResponse]:
        self.parents.append(current_parent())
        for _ in range(3):
            yield pb.WatchWeightsResponse()

    async def ReportLoad(  # noqa: N802 - likewise
        self,
        _request_iterator: AsyncIterator[pb.ReportLoadRequest],
        _context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[pb.ReportLoadResponse]:
        yield pb.ReportLoadResponse()


@asynccontextmanager
async def pair(
    server_side: Side, client_side: Side | None = None
) -> AsyncIterator[tuple[Servicer, balancer_pb2_grpc.BalancerServiceAsyncStub]]:
    servicer = Servicer()
    server = grpc.aio.server(interceptors=[Layers(ServerTelemetry(server_side.telemetry))])
    balancer_pb2_grpc.add_BalancerServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    interceptors = client_interceptors(client_side.telemetry) if client_side else None
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", interceptors=interceptors)
    async with channel, asyncio.timeout(20):
        yield servicer, balancer_pb2_grpc.BalancerServiceStub(channel)
    await server.stop(None)


async def get(stub: balancer_pb2_grpc.BalancerServiceAsyncStub, **metadata: str) -> None:
    with suppress(grpc.aio.AioRpcError):
        await stub.GetWeights(
            pb.GetWeightsRequest(),
            metadata=tuple(metadata.items()),
            # Long enough for the call to arrive, on a machine that does other things.
            timeout=1.0 if metadata.get("do") == "wait" else 10,
        )


async def test_each_call_is_counted_with_its_code_on_both_sides() -> None:
    server_side, client_side = Side("server"), Side("client")
    async with pair(server_side, client_side) as (_, stub):
        for wish in ("", "", "abort", "raise", "wait"):
            await get(stub, do=wish)
        assert len([answer async for answer in stub.WatchWeights(pb.WatchWeightsRequest())]) == 3
    expected = {
        (METHOD, "OK"): 2,
        (METHOD, "NOT_FOUND"): 1,
        (METHOD, "UNKNOWN"): 1,
        (METHOD, "DEADLINE_EXCEEDED"): 1,
        (WATCH, "OK"): 1,
    }
    assert client_side.counts() == expected
    # What it is at the server depends on which of the two clocks is ahead.
    counted = server_side.counts()
    late = counted.pop((METHOD, "CANCELLED"), 0) + counted.pop((METHOD, "DEADLINE_EXCEEDED"), 0)
    assert late == expected.pop((METHOD, "DEADLINE_EXCEEDED"))
    assert counted == expected


async def test_an_error_of_the_server_is_marked_and_one_of_the_caller_is_not() -> None:
    side = Side("server")
    async with pair(side) as (_, stub):
        await get(stub, do="abort")
        await get(stub, do="raise")
    errors = {
        sample.labels["rpc_response_status_code"]: sample.labels.get("error_type", "")
        for family in side.telemetry.registry.collect()
        for sample in family.samples
        if sample.name == "rpc_server_call_duration_seconds_count"
    }
    assert errors == {"NOT_FOUND": "", "UNKNOWN": "UNKNOWN"}


async def test_without_a_trace_there_is_no_span() -> None:
    side = Side("server")
    async with pair(side) as (servicer, stub):
        await get(stub)
    assert servicer.parents == [""]
    assert side.spans.get_finished_spans() == ()


async def test_a_sampled_trace_goes_on_and_one_that_is_not_is_passed_on() -> None:
    side = Side("server")
    async with pair(side) as (servicer, stub):
        await get(stub, traceparent=PARENT.format(1))
        await get(stub, traceparent=PARENT.format(0))
    (span,) = side.spans.get_finished_spans()
    assert span.context is not None
    assert span.parent is not None
    assert (span.name, span.kind) == (METHOD, SpanKind.SERVER)
    assert (span.context.trace_id, span.parent.span_id) == (TRACE_ID, 0xB7AD6B7169203331)
    assert span.attributes is not None
    assert span.attributes["rpc.response.status_code"] == "OK"
    assert servicer.parents[0].startswith("00-0af7651916cd43dd8448eb211c80319c")
    assert servicer.parents[1] == PARENT.format(0)


@pytest.mark.parametrize("parent", ["", "garbage", "00-0-0-0", "0" * 55, PARENT.format("z")])
async def test_a_broken_parent_is_no_trace(parent: str) -> None:
    side = Side("server")
    async with pair(side) as (servicer, stub):
        await get(stub, traceparent=parent)
    assert servicer.parents == [""]
    assert side.spans.get_finished_spans() == ()
    assert side.counts() == {(METHOD, "OK"): 1}


async def test_a_trace_passes_from_the_client_to_the_server() -> None:
    server_side, client_side = Side("server"), Side("client", trace_ratio=1)
    async with pair(server_side, client_side) as (_, stub):
        with client_side.telemetry.tracer.start_as_current_span("work") as work:
            await get(stub)
            await get(stub, do="raise")
            assert [answer async for answer in stub.WatchWeights(pb.WatchWeightsRequest())]
    mine = {span.context.span_id: span for span in client_side.spans.get_finished_spans()}
    theirs = server_side.spans.get_finished_spans()
    assert {span.context.trace_id for span in theirs} == {work.get_span_context().trace_id}
    parents = [mine[span.parent.span_id] for span in theirs if span.parent is not None]
    assert [span.name for span in parents] == [METHOD, METHOD, "work"]
    assert [span.status.is_ok for span in parents[:2]] == [True, False]
    assert [span.status.is_ok for span in theirs] == [True, False, True]


async def test_a_share_of_the_calls_begins_a_trace() -> None:
    side = Side("server", trace_ratio=1)
    async with pair(side) as (_, stub):
        await get(stub)
    (span,) = side.spans.get_finished_spans()
    assert span.parent is None
