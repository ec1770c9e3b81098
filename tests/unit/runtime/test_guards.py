"""The guards: errors as statuses, deadlines, limits, the end of streams."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from becket.adapters.rpc.errors import detail, from_rpc_error
from becket.api.v1 import balancer_pb2 as pb
from becket.api.v1 import balancer_pb2_grpc
from becket.core.errors import BecketError, BugError, ConditionFailedError, OverloadedError
from tests.unit.runtime.sample import ERRORS, hosted, until

GET = pb.GetWeightsRequest()
WATCH = pb.WatchWeightsRequest()


def do(wish: str) -> tuple[tuple[str, str], ...]:
    return (("do", wish),)


@pytest.mark.parametrize("wish", ["invalid", "condition", "unknown"])
async def test_an_error_arrives_as_it_was_raised(wish: str) -> None:
    expected = ERRORS[wish]
    async with (
        hosted() as (host, _),
        grpc.aio.insecure_channel(host.runtime.address) as channel,
    ):
        stub = balancer_pb2_grpc.BalancerServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as unary:
            await stub.GetWeights(GET, metadata=do(wish))
        answers = stub.WatchWeights(WATCH, metadata=do(wish))
        assert await answers.read()
        with pytest.raises(grpc.aio.AioRpcError) as stream:
            await answers.read()
    for raised in (unary.value, stream.value):
        error = from_rpc_error(raised)
        assert type(error) is type(expected)
        assert str(error) == str(expected)


async def test_details_travel_with_the_error() -> None:
    async with (
        hosted() as (host, _),
        grpc.aio.insecure_channel(host.runtime.address) as channel,
    ):
        stub = balancer_pb2_grpc.BalancerServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.GetWeights(GET, metadata=do("condition"))
        error = from_rpc_error(raised.value)
        assert isinstance(error, ConditionFailedError)
        assert error.version == b"v7"
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.GetWeights(GET, metadata=do("invalid"))
        found = detail(rpc_status.from_call(raised.value), error_details_pb2.BadRequest)
        assert found is not None
        assert found.field_violations[0].field == "key"


async def test_a_bug_tells_its_caller_a_number_and_the_log_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with (
        hosted() as (host, _),
        grpc.aio.insecure_channel(host.runtime.address) as channel,
    ):
        stub = balancer_pb2_grpc.BalancerServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.GetWeights(GET, metadata=do("bug"))
    assert raised.value.code() is grpc.StatusCode.INTERNAL
    told = raised.value.details() or ""
    assert "secret" not in told
    assert isinstance(from_rpc_error(raised.value), BugError)
    logged = capsys.readouterr().err
    assert told.rpartition(" ")[2] in logged
    assert "secret of the stack" in logged


async def test_a_call_without_a_deadline_gets_one() -> None:
    async with (
        hosted(default_deadline_ms=50) as (host, sample),
        grpc.aio.insecure_channel(host.runtime.address) as channel,
    ):
        stub = balancer_pb2_grpc.BalancerServiceStub(channel)
        # Whoever brings a deadline keeps it: this one is still there when the other has ended.
        call = stub.GetWeights(GET, metadata=do("wait"), timeout=20)
        await sample.entered.wait()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.GetWeights(GET, metadata=do("wait"))
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "0.05 s" in (raised.value.details() or "")
        assert host.runtime.admission.unary == 1
        sample.release.set()
        assert (await call).weights.number == 7


async def test_calls_in_flight_are_limited_and_streams_are_not_among_them() -> None:
    async with (
        hosted(max_in_flight=1) as (host, sample),
        grpc.aio.insecure_channel(host.runtime.address) as channel,
    ):
        stub = balancer_pb2_grpc.BalancerServiceStub(channel)
        stream = stub.WatchWeights(WATCH, metadata=do("wait"))
        await stream.read()
        first = asyncio.ensure_future(stub.GetWeights(GET, metadata=do("wait")))
        await sample.entered.wait()
        error = await refused(stub)
        assert isinstance(error, OverloadedError)
        assert error.after_ms > 0
        assert (host.runtime.admission.unary, host.runtime.admission.streams) == (1, 1)
        sample.release.set()
        await first
        assert (await stub.GetWeights(GET)).weights.number == 7
        assert host.runtime.admission.refused == 1


async def refused(stub: balancer_pb2_grpc.BalancerServiceAsyncStub) -> BecketError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.GetWeights(GET)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return from_rpc_error(raised.value)


async def test_streams_are_limited_by_their_number() -> None:
    async with (
        hosted(max_streams=2) as (host, _),
        grpc.aio.insecure_channel(host.runtime.address) as channel,
    ):
        stub = balancer_pb2_grpc.BalancerServiceStub(channel)
        streams = [stub.WatchWeights(WATCH, metadata=do("wait")) for _ in range(2)]
        for stream in streams:
            await stream.read()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.WatchWeights(WATCH).read()
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        streams[0].cancel()
        await until(lambda: host.runtime.admission.streams == 1)
        assert await stub.WatchWeights(WATCH).read()


async def test_what_streams_are_left_end_with_ok_when_the_server_stops() -> None:
    async with hosted() as (host, _):
        channel = grpc.aio.insecure_channel(host.runtime.address)
        stub = balancer_pb2_grpc.BalancerServiceStub(channel)
        down = stub.WatchWeights(WATCH, metadata=do("wait"))
        both = stub.ReportLoad()
        await down.read()
        await both.write(pb.ReportLoadRequest(incarnation=3))
        echo = await both.read()
        assert isinstance(echo, pb.ReportLoadResponse)
        assert echo.next_report.seconds == 3
    assert await down.code() is grpc.StatusCode.OK
    assert await both.code() is grpc.StatusCode.OK
    await channel.close()


async def test_a_call_that_the_caller_gives_up_leaves_nothing() -> None:
    async with (
        hosted() as (host, sample),
        grpc.aio.insecure_channel(host.runtime.address) as channel,
    ):
        stub = balancer_pb2_grpc.BalancerServiceStub(channel)
        call = stub.GetWeights(GET, metadata=do("wait"))
        await sample.entered.wait()
        call.cancel()
        await until(lambda: host.runtime.admission.unary == 0)
