"""A router's KeyValueService: any key, checked, joined, with stamps and typed errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import grpc
import pytest

from becket.adapters.dispatch.settings import DispatchSettings
from becket.adapters.rpc.errors import detail, from_rpc_error, from_status, to_status
from becket.api.v1 import errors_pb2, key_value_pb2_grpc
from becket.api.v1 import key_value_pb2 as kv
from becket.core.errors import (
    AnswerFullError,
    BecketError,
    ConditionFailedError,
    InvalidInputError,
    NotAppliedError,
    OutcomeUnknownError,
    OverloadedError,
)
from tests.unit.dispatch.fakes import (
    FakeCluster,
    FakeMember,
    eventually,
    get,
    increment,
    put,
    write_of,
)
from tests.unit.router.running import RunningRouter, router


@asynccontextmanager
async def routed(**settings: object) -> AsyncIterator[tuple[FakeCluster, RunningRouter]]:
    async with FakeCluster() as cluster:
        names = {member.name: member.disk for member in cluster.ring.members}
        addresses = {name: cluster.members[disk].address for name, disk in names.items()}
        async with router(addresses, **settings) as made:  # type: ignore[arg-type]  # settings
            await made.ready()
            yield cluster, made


async def error_of(call: Awaitable[object]) -> BecketError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_every_call_for_any_key() -> None:
    async with routed() as (cluster, made):
        stub = made.key_values
        for i in range(12):
            answer = await stub.Put(kv.PutRequest(key=b"k%d" % i, value=b"1"), timeout=5)
            assert answer.version
            assert answer.stamp.partition == cluster.ring.partition_of(b"k%d" % i)
            assert answer.stamp.version.sequence
        found = await stub.Get(kv.GetRequest(key=b"k1"), timeout=5)
        assert (found.entry.value, found.HasField("stamp")) == (b"1", True)
        assert not (await stub.Get(kv.GetRequest(key=b"no"), timeout=5)).HasField("entry")
        assert (await stub.Increment(kv.IncrementRequest(key=b"n", delta=4), timeout=5)).value == 4
        assert (await stub.Delete(kv.DeleteRequest(key=b"n"), timeout=5)).deleted
        batch = kv.BatchRequest(operations=[put(b"a"), get(b"k2"), increment(b"m")])
        answers = await stub.Batch(batch, timeout=5)
        assert [r.WhichOneof("result") for r in answers.results] == ["put", "get", "increment"]
        keys = (b"a", b"k2", b"m")
        assert {stamp.partition for stamp in answers.stamps} == {
            cluster.ring.partition_of(key) for key in keys
        }
        assert answers.ring_version == 1
        page = await stub.Scan(kv.ScanRequest(prefix=b"k", page_size=5), timeout=5)
        assert [entry.key for entry in page.entries] == [b"k0", b"k1", b"k10", b"k11", b"k2"]
        assert page.next_page_token


async def test_unary_calls_that_wait_together_are_joined() -> None:
    # What is held for long leaves the window, so that more batches go, the slower the machine.
    patient = DispatchSettings(stalled_us=60_000_000)
    async with routed(dispatch=patient) as (cluster, made):
        stub = made.key_values
        await stub.Put(kv.PutRequest(key=b"warm"), timeout=5)
        before = sum(len(member.batches) for member in cluster.members.values())
        for member in cluster.members.values():
            member.hold()
        calls = [stub.Put(kv.PutRequest(key=b"k%d" % i), timeout=5) for i in range(100)]
        answers = asyncio.gather(*calls)
        # What a member has not answered fills the window; the rest waits, and goes together.
        await eventually(lambda: made.host.runtime.admission.unary == 100)
        for member in cluster.members.values():
            member.release()
        await answers
        after = sum(len(member.batches) for member in cluster.members.values())
        assert after - before <= 50


async def test_a_refusal_is_a_status_with_its_details_and_the_stamp() -> None:
    async with routed() as (_, made):
        stub = made.key_values
        version = (await stub.Put(kv.PutRequest(key=b"k"), timeout=5)).version
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Put(kv.PutRequest(key=b"k", if_absent=True), timeout=5)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        error = from_rpc_error(caught.value)
        assert isinstance(error, ConditionFailedError)
        assert error.version == version
        answers = await stub.Batch(
            kv.BatchRequest(operations=[kv.Operation(put=kv.PutRequest(key=b"k", if_absent=True))]),
            timeout=5,
        )
        status = answers.results[0].status
        assert isinstance(from_status(status), ConditionFailedError)
        assert detail(status, errors_pb2.StampDetail) is None, "a batch carries its own stamps"


async def test_bad_input_is_refused_before_anything_is_done() -> None:
    async with routed() as (cluster, made):
        stub = made.key_values
        error = await error_of(stub.Get(kv.GetRequest(), timeout=5))
        assert isinstance(error, InvalidInputError)
        assert error.field == "key"
        batch = kv.BatchRequest(operations=[put(b"a"), put(b"b", bytes((1 << 20) + 1))])
        error = await error_of(stub.Batch(batch, timeout=5))
        assert isinstance(error, InvalidInputError)
        assert error.field == "operations[1].put.value"
        error = await error_of(stub.Batch(kv.BatchRequest(), timeout=5))
        assert isinstance(error, InvalidInputError)
        error = await error_of(stub.Scan(kv.ScanRequest(page_token=b"x"), timeout=5))
        assert isinstance(error, InvalidInputError)
        assert error.field == "page_token"
        assert not cluster.executed


async def test_an_unknown_outcome_comes_before_the_caller_s_deadline() -> None:
    async with routed() as (cluster, made):
        for member in cluster.members.values():
            member.hold()
        error = await error_of(made.key_values.Put(kv.PutRequest(key=b"k"), timeout=0.5))
        assert isinstance(error, OutcomeUnknownError)
        error = await error_of(made.key_values.Get(kv.GetRequest(key=b"k"), timeout=0.5))
        assert isinstance(error, NotAppliedError)
        for member in cluster.members.values():
            member.release()


RETRYING = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 2,
                "initialBackoff": "0.01s",
                "maxBackoff": "0.01s",
                "backoffMultiplier": 1,
                "retryableStatusCodes": ["RESOURCE_EXHAUSTED"],
            },
        }
    ]
}
"""What a stock client may be told to do; the router is told of it by metadata."""


async def test_r32_the_transport_s_own_retry_counts_as_one() -> None:
    settings = {"dispatch": {"budget_most": 1, "budget_floor": 0.001}}
    async with routed(**settings) as (cluster, made):
        member = cluster.member_of(b"k")
        refused = to_status(OverloadedError("full", after_ms=1))

        def script(_: FakeMember, request: kv.PipelineRequest) -> kv.PipelineResponse:
            return kv.PipelineResponse(batch_id=request.batch_id, status=refused)

        member.script = script
        options = [("grpc.service_config", json.dumps(RETRYING)), ("grpc.enable_retries", 1)]
        async with grpc.aio.insecure_channel(made.host.runtime.address, options=options) as channel:
            stub = key_value_pb2_grpc.KeyValueServiceStub(channel)
            await error_of(stub.Put(kv.PutRequest(key=b"k", request_id="a"), timeout=5))
        writes = [write for o in member.operations if (write := write_of(o)) and write.key == b"k"]
        assert [write.retry for write in writes[:2]] == [False, False]
        assert writes[2].retry, "the second call of the transport"


async def test_answers_that_would_not_fit_into_a_message_are_left_out() -> None:
    async with routed() as (cluster, made):
        for i in range(8):
            cluster.store[b"k%d" % i] = (bytes(1 << 20), b"v")
        batch = kv.BatchRequest(operations=[get(b"k%d" % i) for i in range(8)])
        answers = (await made.key_values.Batch(batch, timeout=5)).results
        assert [answer.HasField("status") for answer in answers] == [False] * 3 + [True] * 5
        assert isinstance(from_status(answers[7].status), AnswerFullError)


async def test_a_stream_of_batches() -> None:
    async with routed() as (_, made):
        call = made.key_values.Pipeline()
        for number in (7, 8):
            operations = [increment(b"n"), get(b"k")]
            await call.write(kv.PipelineRequest(batch_id=number, operations=operations))
        answers = [await call.read() for _ in range(2)]
        found = {}
        for answer in answers:
            assert isinstance(answer, kv.PipelineResponse)
            assert answer.stamps
            found[answer.batch_id] = answer.results[0].increment.value
        assert sorted(found.values()) == [1, 2]
        await call.write(kv.PipelineRequest(batch_id=9))
        refused = await call.read()
        assert isinstance(refused, kv.PipelineResponse)
        assert isinstance(from_status(refused.status), InvalidInputError)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_who_does_not_read_its_answers_is_not_read_from() -> None:
    async with routed(pipeline_batches=4) as (cluster, made):
        cluster.store[b"large"] = (bytes(1 << 20), b"v")
        call = made.key_values.Pipeline()
        for number in range(1, 61):
            await call.write(kv.PipelineRequest(batch_id=number, operations=[get(b"large")]))
        for _ in range(30):  # The router has had its time to read on.
            await made.key_values.Get(kv.GetRequest(key=b"k"), timeout=5)
        asked = sum(o.get.key == b"large" for o in cluster.member_of(b"large").operations)
        assert asked < 20, "those under way, and those that the transport keeps"
        answers = [await call.read() for _ in range(60)]
        numbers = {answer.batch_id for answer in answers if isinstance(answer, kv.PipelineResponse)}
        assert numbers == set(range(1, 61))


async def test_a_stop_answers_what_has_begun_and_ends_the_streams() -> None:
    async with routed() as (cluster, made):
        member = cluster.member_of(b"k")
        member.hold()
        call = made.key_values.Pipeline()
        await call.write(kv.PipelineRequest(batch_id=1, operations=[put(b"k")]))
        await eventually(lambda: member.batches)
        ending = asyncio.create_task(made.end())
        await eventually(lambda: not made.is_ready)
        member.release()
        answer = await call.read()
        assert isinstance(answer, kv.PipelineResponse)
        assert answer.results[0].put.version
        assert await call.read() is grpc.aio.EOF
        assert await ending == 0


async def test_overload_of_a_member_comes_through() -> None:
    settings = {"dispatch": {"budget_most": 1, "budget_floor": 0.001}}
    async with routed(**settings) as (cluster, made):

        def script(_: FakeMember, request: kv.PipelineRequest) -> kv.PipelineResponse:
            status = to_status(OverloadedError("full", after_ms=1))
            return kv.PipelineResponse(batch_id=request.batch_id, status=status)

        for member in cluster.members.values():
            member.script = script
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await made.key_values.Put(kv.PutRequest(key=b"k"), timeout=5)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
