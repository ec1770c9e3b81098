"""Three real storage services on loopback: what a gRPC client sees."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from becket.adapters.rpc.errors import from_rpc_error, from_status
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1 import replica_pb2 as pb
from becket.api.v1 import ring_pb2, ring_pb2_grpc
from becket.core.errors import (
    AnswerFullError,
    BecketError,
    ConditionFailedError,
    DiskFullError,
    InvalidInputError,
    NotACounterError,
    WrongMemberError,
)
from becket.core.ring.members import Member
from tests.integration.members import PARTITIONS, Members, members

NAMES = ("storage-0", "storage-1", "storage-2")


async def error_of(call: Awaitable[object]) -> BecketError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_operations_on_keys(tmp_path: Path) -> None:
    async with members(tmp_path, *NAMES) as cluster:
        await puts_and_gets(cluster)
        await counters(cluster)
        await conditions(cluster)
        await repeated_calls(cluster)
        await batches(cluster)
        await relaxed_reads(cluster)
        await large_answers(cluster)
        await a_pipeline(cluster)
        await an_unread_pipeline(cluster)
        await wrong_members(cluster)
        await bad_input(cluster)


async def puts_and_gets(cluster: Members) -> None:
    stub = cluster.stub_for(b"k")
    assert not (await stub.Get(kv.GetRequest(key=b"k"))).HasField("entry")
    put = await stub.Put(kv.PutRequest(key=b"k", value=b"v"))
    got = await stub.Get(kv.GetRequest(key=b"k"))
    assert (got.entry.key, got.entry.value, got.entry.version) == (b"k", b"v", put.version)
    assert got.stamp.version.sequence >= put.stamp.version.sequence > 0
    assert (await stub.Delete(kv.DeleteRequest(key=b"k"))).deleted
    assert not (await stub.Delete(kv.DeleteRequest(key=b"k"))).deleted
    assert not (await stub.Get(kv.GetRequest(key=b"k"))).HasField("entry")
    await stub.Put(kv.PutRequest(key=b"k", value=b"", ttl=Duration(seconds=600)))
    entry = (await stub.Get(kv.GetRequest(key=b"k"))).entry
    assert entry.value == b""
    assert entry.HasField("expire_time")


async def counters(cluster: Members) -> None:
    stub = cluster.stub_for(b"n")
    first = await stub.Increment(kv.IncrementRequest(key=b"n", delta=5))
    second = await stub.Increment(kv.IncrementRequest(key=b"n", delta=-7))
    assert (first.value, second.value) == (5, -2)
    await stub.Put(kv.PutRequest(key=b"n", value=b"text"))
    error = await error_of(stub.Increment(kv.IncrementRequest(key=b"n", delta=1)))
    assert isinstance(error, NotACounterError)


async def conditions(cluster: Members) -> None:
    stub = cluster.stub_for(b"c")
    first = await stub.Put(kv.PutRequest(key=b"c", value=b"1", if_absent=True))
    error = await error_of(stub.Put(kv.PutRequest(key=b"c", value=b"2", if_absent=True)))
    assert isinstance(error, ConditionFailedError)
    assert error.version == first.version
    second = await stub.Put(kv.PutRequest(key=b"c", value=b"2", if_version=first.version))
    error = await error_of(stub.Delete(kv.DeleteRequest(key=b"c", if_version=first.version)))
    assert isinstance(error, ConditionFailedError)
    assert error.version == second.version


async def repeated_calls(cluster: Members) -> None:
    """R32: a call with a request_id takes effect once, whatever is repeated."""
    stub = cluster.stub_for(b"r")
    request = kv.IncrementRequest(key=b"r", delta=1, request_id="call-1")
    first = await stub.Increment(request)
    request.retry = True
    assert (await stub.Increment(request)).value == first.value == 1
    plain = await stub.Increment(kv.IncrementRequest(key=b"r", delta=1))
    assert plain.value == 2
    put = kv.Operation(put=kv.PutRequest(key=b"r", value=b"v", request_id="call-1"))
    answer = await stub.Batch(kv.BatchRequest(operations=[put, put]))
    for result in answer.results:
        refused = from_status(result.status)
        assert isinstance(refused, InvalidInputError)
        assert refused.field == "request_id"


async def batches(cluster: Members) -> None:
    """R14a: operations on one key run in the order of the list, each with its own outcome."""
    operations = [
        kv.Operation(put=kv.PutRequest(key=b"b", value=b"1")),
        kv.Operation(get=kv.GetRequest(key=b"b")),
        kv.Operation(increment=kv.IncrementRequest(key=b"b", delta=4)),
        kv.Operation(put=kv.PutRequest(key=b"b", value=b"9", if_absent=True)),
        kv.Operation(delete=kv.DeleteRequest(key=b"b")),
        kv.Operation(get=kv.GetRequest(key=b"b")),
    ]
    answer = await cluster.stub_for(b"b").Batch(kv.BatchRequest(operations=operations))
    results = answer.results
    assert results[1].get.entry.value == b"1"
    assert results[2].increment.value == 5
    assert isinstance(from_status(results[3].status), ConditionFailedError)
    assert results[4].delete.deleted
    assert not results[5].get.HasField("entry")
    assert len(answer.stamps) == 1
    assert answer.ring_version == 1


async def relaxed_reads(cluster: Members) -> None:
    await cluster.stub_for(b"x").Put(kv.PutRequest(key=b"x", value=b"v"))
    request = kv.GetRequest(key=b"x", consistency=kv.CONSISTENCY_ANY)
    for name in NAMES:
        answer = await cluster.key_values(name).Get(request)
        assert answer.entry.value in (b"v", b"")
    bounded = kv.GetRequest(
        key=b"x", consistency=kv.CONSISTENCY_BOUNDED, max_staleness=Duration(seconds=3)
    )
    for name in NAMES:
        await until_answered(cluster, name, bounded)


async def until_answered(cluster: Members, name: str, request: kv.GetRequest) -> None:
    """R34: a replica asks about its level only once it is read; then it answers."""
    for _ in range(200):
        answer = await answer_or_refusal(cluster.key_values(name).Get(request))
        if isinstance(answer, kv.GetResponse):
            assert answer.entry.value == b"v"
            return
        assert isinstance(answer, WrongMemberError)
        # Its next beat, within a tenth of a second, brings what it asks for.
        await asyncio.sleep(0.02)
    raise AssertionError(f"{name} never answers a bounded read")


async def answer_or_refusal(call: Awaitable[object]) -> object:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)


async def large_answers(cluster: Members) -> None:
    """What does not fit into one message is refused by itself, not the whole batch."""
    for number in range(6):
        put = kv.PutRequest(key=b"{large}%d" % number, value=b"v" * (1 << 20))
        await cluster.stub_for(b"{large}").Put(put)
    gets = [kv.Operation(get=kv.GetRequest(key=b"{large}%d" % n)) for n in range(6)]
    answer = await cluster.stub_for(b"{large}").Batch(kv.BatchRequest(operations=gets))
    assert [result.HasField("get") for result in answer.results] == [True] * 4 + [False] * 2
    assert isinstance(from_status(answer.results[4].status), AnswerFullError)


async def a_pipeline(cluster: Members) -> None:
    call = cluster.key_values(cluster.owner(b"p")).Pipeline()
    for number in range(1, 4):
        put = kv.Operation(put=kv.PutRequest(key=b"p", value=b"%d" % number))
        await call.write(kv.PipelineRequest(batch_id=number, operations=[put]))
    await call.write(kv.PipelineRequest(batch_id=4))
    answers: dict[int, kv.PipelineResponse] = {}
    for _ in range(4):
        answer = await call.read()
        assert isinstance(answer, kv.PipelineResponse)
        answers[answer.batch_id] = answer
    assert [answers[n].results[0].WhichOneof("result") for n in (1, 2, 3)] == ["put"] * 3
    refused = from_status(answers[4].status)
    assert isinstance(refused, InvalidInputError)
    assert refused.field == "operations"
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def an_unread_pipeline(cluster: Members) -> None:
    """Whoever does not read its answers is not read from."""
    owner = cluster.owner(b"{large}")
    service = cluster.running[owner].service
    assert service is not None
    call = cluster.key_values(owner).Pipeline()
    before = service._calls.served
    get = kv.Operation(get=kv.GetRequest(key=b"{large}0"))
    for number in range(1, 201):
        await call.write(kv.PipelineRequest(batch_id=number, operations=[get]))
    for _ in range(30):  # The member has had its time to read on.
        await cluster.stub_for(b"k").Get(kv.GetRequest(key=b"k"))
    assert service._calls.served - before - 30 < 100, "64, and those that the transport keeps"
    for _ in range(200):
        answer = await call.read()
        assert isinstance(answer, kv.PipelineResponse)
        assert len(answer.results[0].get.entry.value) == 1 << 20
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def wrong_members(cluster: Members) -> None:
    owner = cluster.owner(b"k")
    other = next(name for name in NAMES if name != owner)
    error = await error_of(cluster.key_values(other).Get(kv.GetRequest(key=b"k")))
    assert isinstance(error, WrongMemberError)
    assert error.coordinator == cluster.running[owner].disk
    assert error.ring_version == 1


async def bad_input(cluster: Members) -> None:
    stub = cluster.stub_for(b"k")
    for call, field in (
        (stub.Get(kv.GetRequest(key=b"")), "key"),
        (stub.Put(kv.PutRequest(key=b"k" * 4097)), "key"),
        (stub.Put(kv.PutRequest(key=b"k", value=b"v" * (1 << 20) + b"v")), "value"),
        (stub.Put(kv.PutRequest(key=b"k", ttl=Duration(seconds=-1))), "ttl"),
        (stub.Batch(kv.BatchRequest()), "operations"),
        (stub.Scan(kv.ScanRequest(page_size=1001)), "page_size"),
        (stub.Scan(kv.ScanRequest(page_token=b"x" * 40)), "page_token"),
        (stub.Scan(kv.ScanRequest(partitions=[PARTITIONS])), "partitions"),
        (stub.Scan(kv.ScanRequest(prefix=b"p" * 5000)), "prefix"),
    ):
        error = await error_of(call)
        assert isinstance(error, InvalidInputError), error
        assert error.field == field


async def test_a_listing_goes_through_every_key_once(tmp_path: Path) -> None:
    async with members(tmp_path, *NAMES) as cluster:
        keys = sorted(b"k%03d" % number for number in range(120))
        for key in keys:
            await cluster.stub_for(key).Put(kv.PutRequest(key=key, value=key))
        gone, short = keys[7], keys[11]
        await cluster.stub_for(gone).Delete(kv.DeleteRequest(key=gone))
        await cluster.stub_for(short).Put(kv.PutRequest(key=short, ttl=Duration(nanos=1)))
        await asyncio.sleep(0.005)
        left = [key for key in keys if key not in (gone, short)]
        assert await listing(cluster, kv.ScanRequest(page_size=7)) == left
        some = await listing(cluster, kv.ScanRequest(start=keys[20], end=keys[60], page_size=9))
        assert some == keys[20:60]
        prefixed = await listing(cluster, kv.ScanRequest(prefix=b"k05", keys_only=True))
        assert prefixed == keys[50:60]


async def listing(cluster: Members, request: kv.ScanRequest) -> list[bytes]:
    """All keys of a listing, from whoever coordinates them."""
    assert cluster.ring is not None
    found: dict[bytes, int] = {}
    for partition in range(PARTITIONS):
        one = kv.ScanRequest()
        one.CopyFrom(request)
        one.partitions.append(partition)
        key = next(
            b"%d" % n for n in range(1000) if cluster.ring.partition_of(b"%d" % n) == partition
        )
        while True:
            page = await cluster.stub_for(key).Scan(one)
            for entry in page.entries:
                found[entry.key] = found.get(entry.key, 0) + 1
                assert entry.value == entry.key or request.keys_only
            if not page.next_page_token:
                break
            one.page_token = page.next_page_token
    assert set(found.values()) <= {1}
    return sorted(found)


async def test_a_planned_stop_hands_over_and_loses_nothing(tmp_path: Path) -> None:
    async with members(tmp_path, *NAMES) as cluster:
        leaving = cluster.owner(b"k")
        await cluster.stub_for(b"k").Put(kv.PutRequest(key=b"k", value=b"v"))
        staying = next(name for name in NAMES if name != leaving)
        assert await cluster.running.pop(leaving).end() == 0
        await cluster.coordinated(staying, without=leaving)
        got = await cluster.stub_for(b"k").Get(kv.GetRequest(key=b"k"))
        assert got.entry.value == b"v"
        await cluster.stub_for(b"k").Put(kv.PutRequest(key=b"k", value=b"w"))
        # It comes back on its disk, at another address, and holds what it missed.
        await cluster.start(leaving)
        assert cluster.ring is not None
        assert cluster.running[leaving].settings.data_folder.exists()
        await until_it_holds(cluster, leaving, b"w")


async def until_it_holds(cluster: Members, name: str, value: bytes) -> None:
    """It is levelled in the background; nothing announces that to a client."""
    request = kv.GetRequest(key=b"k", consistency=kv.CONSISTENCY_ANY)
    for _ in range(1000):
        if (await cluster.key_values(name).Get(request)).entry.value == value:
            return
        await asyncio.sleep(0.02)
    states = {
        other: str(member.service._reports.report() if member.service else None)
        for other, member in cluster.running.items()
    }
    raise AssertionError(f"{name} never holds {value!r}: {states}")


async def test_a_change_of_replicas_is_copied_and_certified(tmp_path: Path) -> None:
    async with members(tmp_path, *NAMES) as cluster:
        assert cluster.ring is not None
        key = b"k"
        await cluster.stub_for(key).Put(kv.PutRequest(key=key, value=b"v"))
        partition = cluster.ring.partition_of(key)
        await cluster.start("storage-3")
        newcomer = cluster.running["storage-3"].disk
        first = cluster.ring
        joined = first.with_members([*first.members, Member(newcomer, "storage-3")])
        old = first.configs[partition].old
        joint = joined.with_configs(
            {partition: joined.configs[partition].begin((*old[:2], newcomer))}
        ).succeeding(first)
        await cluster.offer(joint)
        certificate = await certified(cluster, partition)
        assert certificate == joint.configs[partition].gen
        final = joint.with_configs({partition: joint.configs[partition].finish()})
        await cluster.offer(final.succeeding(joint))
        request = kv.GetRequest(key=key, consistency=kv.CONSISTENCY_ANY)
        answer = await cluster.key_values("storage-3").Get(request)
        assert answer.entry.value == b"v"


async def certified(cluster: Members, partition: int) -> int:
    """The generation that some member certifies."""
    async with asyncio.timeout(20):
        while True:
            for name in cluster.running:
                async for report in cluster.replicas(name).WatchMember(pb.WatchMemberRequest()):
                    for item in report.certificates:
                        if item.partition == partition:
                            return item.generation
                    break


async def test_a_full_disk_refuses_writes_and_serves_the_rest(tmp_path: Path) -> None:
    async with members(tmp_path, "storage-0", full_mib=1) as cluster:
        stub = cluster.key_values("storage-0")
        await stub.Put(kv.PutRequest(key=b"k", value=b"v"))
        service = cluster.running["storage-0"].service
        assert service is not None
        service.space.full = True
        error = await error_of(stub.Put(kv.PutRequest(key=b"k", value=b"w")))
        assert isinstance(error, DiskFullError)
        assert (await stub.Get(kv.GetRequest(key=b"k"))).entry.value == b"v"
        assert (await stub.Delete(kv.DeleteRequest(key=b"k"))).deleted


async def test_the_ring_service(tmp_path: Path) -> None:
    async with members(tmp_path, *NAMES) as cluster:
        stub = ring_pb2_grpc.RingServiceStub(cluster.channel("storage-1"))
        assert cluster.ring is not None
        ring = await stub.GetRing(ring_pb2.GetRingRequest())
        assert len(ring.ring.partitions) == PARTITIONS
        assert {m.address for m in ring.ring.members} == {
            member.address for member in cluster.running.values()
        }
        assert not (await stub.GetRing(ring_pb2.GetRingRequest(known_version=1))).HasField("ring")
        found = await stub.Locate(ring_pb2.LocateRequest(key=b"k"))
        assert found.partition == cluster.ring.partition_of(b"k")
        assert found.coordinator.name == cluster.owner(b"k")
        assert len(found.replicas) == 3
        error = await error_of(stub.Locate(ring_pb2.LocateRequest()))
        assert isinstance(error, InvalidInputError)
        told = await stub.Explain(ring_pb2.ExplainRequest(key=b"{k}x", leaving=[]))
        assert any("hash tag" in sentence for sentence in told.sentences)


async def test_a_sampled_call_is_traced_to_the_replicas(tmp_path: Path) -> None:
    async with members(tmp_path, *NAMES) as cluster:
        told: dict[str, list[str]] = {}
        for name, member in cluster.running.items():
            assert member.service is not None

            def note(parents: Sequence[str], entries: int, name: str = name) -> None:
                assert entries
                told.setdefault(name, []).extend(parents)

            member.service.traced = note  # type: ignore[method-assign]
        trace_id = "0af7651916cd43dd8448eb211c80319c"
        metadata = (("traceparent", f"00-{trace_id}-b7ad6b7169203331-01"),)
        put = kv.PutRequest(key=b"k", value=b"v")
        # What is parked, or sent before a link is there, goes out again later, as part of no trace.
        async with asyncio.timeout(30):
            while set(told) != set(NAMES) - {cluster.owner(b"k")}:
                await cluster.stub_for(b"k").Put(put, metadata=metadata)
        await cluster.stub_for(b"k").Put(put)
        assert {parent.split("-")[1] for parents in told.values() for parent in parents} == {
            trace_id
        }


async def test_a_member_reports_its_load_with_its_hot_keys(tmp_path: Path) -> None:
    async with members(tmp_path, "storage-0") as cluster:
        stub = cluster.key_values("storage-0")
        reads = [kv.Operation(get=kv.GetRequest(key=b"hot"))] * 50
        await stub.Batch(kv.BatchRequest(operations=reads))
        service = cluster.running["storage-0"].service
        assert service is not None
        report = service.load.report()
        assert report.disk_id == cluster.running["storage-0"].disk
        assert report.operations_per_second > 0
        assert report.latency.ToNanoseconds() > 0
        assert 0 < report.disk_utilization < 1
