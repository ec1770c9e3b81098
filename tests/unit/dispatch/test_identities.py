"""Callers that name their writes themselves: request ids of stock clients, and stamps (R32)."""

from __future__ import annotations

import asyncio

from becket.adapters.rpc.rings import version_from_proto, version_to_proto
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1 import types_pb2
from becket.core.errors import NotAppliedError, OutcomeUnknownError, StaleStampError
from becket.core.replication.versions import Epoch, Version
from tests.unit.dispatch.fakes import FakeMember, eventually, get, put, write_of
from tests.unit.dispatch.rig import error_of, rig
from tests.unit.dispatch.test_attempts import refuse

STAMP = Version(Epoch(1, "disk-0", 1), 7)


def writes(member: FakeMember) -> list[kv.PutRequest]:
    return [operation.put for operation in member.operations if operation.HasField("put")]


def seq_of(request: kv.PutRequest) -> int:
    return version_from_proto(request.operation_id.stamp).seq


def with_id(key: bytes, number: int, stamp: Version, *, retry: bool = False) -> kv.Operation:
    """A put of a caller that keeps its stamps."""
    found = types_pb2.OperationId(session_id="theirs", number=number)
    found.stamp.CopyFrom(version_to_proto(stamp))
    return kv.Operation(put=kv.PutRequest(key=key, value=b"v", operation_id=found, retry=retry))


async def test_r32_a_request_id_is_a_session_with_the_present_stamp() -> None:
    async with rig() as r:
        await r.run(put(b"k"))
        await r.run(put(b"k", request_id="req"))
        request = writes(r.cluster.member_of(b"k"))[1]
        assert not request.request_id
        assert (request.operation_id.session_id, request.operation_id.number) == ("req", 1)
        assert seq_of(request) == 2
        assert not request.retry


async def test_r32_a_repeated_call_has_no_stamp_and_the_retry_flag() -> None:
    async with rig() as r:
        await r.run(put(b"k"))
        first = (await r.run(put(b"k", b"1", request_id="req")))[0].put.version
        again = (await r.run(put(b"k", b"1", request_id="req", retry=True)))[0].put.version
        assert again == first
        request = writes(r.cluster.member_of(b"k"))[2]
        assert request.retry
        assert not request.operation_id.HasField("stamp")


async def test_r32_a_repeated_call_that_is_refused_has_an_unknown_outcome() -> None:
    async with rig() as r:
        refuse(r.cluster.member_of(b"k"), StaleStampError("records may be gone"))
        results = await r.run(put(b"k", request_id="req", retry=True))
        assert isinstance(error_of(results[0]), OutcomeUnknownError)
        refuse(r.cluster.member_of(b"k"), NotAppliedError("no quorum"))
        results = await r.during(r.start(put(b"k", request_id="req", retry=True), timeout_s=0.5))
        assert isinstance(error_of(results[0]), OutcomeUnknownError)


async def test_r32_further_attempts_keep_the_stamp_and_set_the_flag() -> None:
    async with rig() as r:
        member = r.cluster.member_of(b"k")
        await r.run(put(b"k"))
        refuse(member, OutcomeUnknownError("sent"), times=1, seq=90)
        await r.during(r.start(put(b"k", request_id="req")))
        first, second = writes(member)[1:]
        assert (first.retry, second.retry) == (False, True)
        assert seq_of(first) == seq_of(second) == 2


async def test_calls_with_request_ids_do_not_wait_for_each_other() -> None:
    async with rig() as r:
        member = r.cluster.member_of(b"k")
        member.hold()
        tasks = [r.start(put(b"k", request_id=f"r{i}")) for i in range(3)]
        await eventually(lambda: member.batches)
        member.release()
        await asyncio.gather(*tasks)
        assert {w.operation_id.number for w in writes(member)} == {1}


async def test_an_operation_id_is_passed_on_unchanged() -> None:
    async with rig() as r:
        await r.run(put(b"k"))
        await r.run(with_id(b"k", 41, STAMP))
        request = writes(r.cluster.member_of(b"k"))[1]
        assert (request.operation_id.session_id, request.operation_id.number) == ("theirs", 41)
        assert version_from_proto(request.operation_id.stamp) == STAMP


async def test_r30_the_stamp_of_a_caller_is_never_replaced() -> None:
    """Another attempt of that caller may be executed elsewhere under its own stamp."""
    async with rig() as r:
        member = r.cluster.member_of(b"k")
        refuse(member, StaleStampError("old"), seq=90)
        results = await r.run(with_id(b"k", 41, STAMP))
        assert isinstance(error_of(results[0]), NotAppliedError)
        assert len(writes(member)) == 1
        results = await r.run(with_id(b"k", 41, STAMP, retry=True))
        assert isinstance(error_of(results[0]), OutcomeUnknownError)


async def test_r14a_several_ids_on_one_key_run_one_after_the_other() -> None:
    async with rig() as r:
        results = await r.run(
            get(b"k"),
            put(b"k", b"1", request_id="a"),
            get(b"k"),
            put(b"k", b"2", request_id="a"),
            put(b"k", b"3", request_id="b"),
            get(b"k"),
            put(b"k", b"4"),
        )
        assert not results[0].get.HasField("entry")
        assert results[2].get.entry.value == b"1"
        assert results[5].get.entry.value == b"3"
        assert r.cluster.store[b"k"][0] == b"4"
        ids = [
            write.operation_id.session_id
            for operation in r.cluster.executed
            if (write := write_of(operation)) is not None
        ]
        assert ids == ["a", "a", "b", "me"]


async def test_r14a_nothing_follows_an_unknown_outcome_on_its_key() -> None:
    async with rig() as r:
        member = r.cluster.member_of(b"k")
        refuse(member, OutcomeUnknownError("sent"))
        operations = [put(b"k", request_id="a"), put(b"k", request_id="b"), put(b"j")]
        results = await r.during(r.start(*operations, timeout_s=0.5))
        assert isinstance(error_of(results[0]), OutcomeUnknownError)
        assert isinstance(error_of(results[1]), NotAppliedError)
        assert {w.operation_id.session_id for w in writes(member) if w.key == b"k"} == {"a"}
