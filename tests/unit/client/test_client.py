"""The client against fake members: calls, errors, the way through a router, the twin."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

import becket
import becket.sync
from becket import Client, Delete, Entry, Get, Increment, Put
from becket.adapters.dispatch.settings import DispatchSettings
from becket.adapters.rpc.errors import to_status
from becket.api.v1 import key_value_pb2 as kv
from becket.client.values import Consistency, checked_batch, entry_from_proto, to_proto
from becket.core.errors import (
    BecketError,
    ConditionFailedError,
    InvalidInputError,
    NotACounterError,
    NotAppliedError,
    OutcomeUnknownError,
)
from becket.core.limits import Limits
from tests.unit.dispatch.fakes import FakeCluster, FakeMember


async def test_keys_and_values_come_back() -> None:
    async with FakeCluster() as cluster, Client(cluster.addresses[0]) as client:
        version = await client.put("caf\u00e9", b"1")
        assert await client.get("caf\u00e9".encode()) == Entry("caf\u00e9".encode(), b"1", version)
        assert await client.get("absent") is None
        assert await client.increment("n", 5) == 5
        assert await client.increment("n") == 6
        assert await client.delete("n") is True
        assert await client.delete("n") is False


# A machine that stands still for a moment must not add a hedge to what is counted.
PATIENT = DispatchSettings(hedge_least_us=4_000_000, attempt_us=4_000_000)


async def test_operations_of_one_turn_travel_together() -> None:
    async with FakeCluster() as cluster, Client(*cluster.addresses, dispatch=PATIENT) as client:
        await asyncio.gather(*(client.get(f"k{i}") for i in range(40)))
        assert sum(len(member.batches) for member in cluster.members.values()) <= 3


async def test_a_lone_caller_waits_for_nobody_and_a_burst_after_it_travels_together() -> None:
    async with FakeCluster() as cluster, Client(*cluster.addresses, dispatch=PATIENT) as client:
        for number in range(5):
            await client.get(f"k{number}")
        assert sum(len(member.batches) for member in cluster.members.values()) == 5
        await asyncio.gather(*(client.get(f"k{i}") for i in range(40)))
        # The first of them was a lone caller, as far as anybody could know.
        assert sum(len(member.batches) for member in cluster.members.values()) <= 5 + 3 + 1


async def test_a_failed_condition_is_an_error_with_the_present_version() -> None:
    async with FakeCluster() as cluster, Client(cluster.addresses[0]) as client:
        version = await client.put("k", b"1")
        with pytest.raises(ConditionFailedError) as caught:
            await client.put("k", b"2", if_absent=True)
        assert caught.value.version == version


async def test_a_batch_gives_results_or_errors_in_order() -> None:
    async with FakeCluster() as cluster, Client(cluster.addresses[0]) as client:

        def script(self: FakeMember, request: kv.PipelineRequest) -> kv.PipelineResponse:
            answer = self.execute(request)
            for operation, result in zip(request.operations, answer.results, strict=True):
                if operation.increment.key == b"word":
                    result.status.CopyFrom(to_status(NotACounterError("is a word")))
            return answer

        for member in cluster.members.values():
            member.script = script
        answers = await client.batch(
            [Put("a", b"1"), Get("a"), Get("b"), Increment("n", 3), Delete("a"), Increment("word")]
        )
        assert isinstance(answers[0], bytes)
        assert isinstance(answers[1], Entry)
        assert answers[2:5] == [None, 3, True]
        assert isinstance(answers[5], NotACounterError)
        assert await client.batch([]) == []


async def test_a_long_batch_keeps_the_order_of_each_key() -> None:
    async with FakeCluster() as cluster, Client(cluster.addresses[0]) as client:
        answers = await client.batch([Increment("n") for _ in range(2500)])
        assert answers == list(range(1, 2501))


async def test_a_listing_goes_through_all_pages() -> None:
    async with FakeCluster() as cluster, Client(cluster.addresses[0]) as client:
        for i in range(1200):
            cluster.store[b"k%04d" % i] = (b"x", b"v")
        found = [entry.key async for entry in client.scan("k")]
        assert found == sorted(cluster.store)
        found = [entry.key async for entry in client.scan(start="k0003", end=b"k0005")]
        assert found == [b"k0003", b"k0004"]


async def test_the_ring_and_where_a_key_is() -> None:
    async with FakeCluster() as cluster, Client(cluster.addresses[0]) as client:
        assert (await client.ring()).partitions == 8
        found = await client.locate("k")
        member = cluster.member_of(b"k")
        assert found.coordinator is not None
        assert found.coordinator.address == member.address
        assert found.coordinator in found.replicas
        assert len(found.replicas) == 3


async def test_without_a_cluster_the_reason_is_told() -> None:
    with pytest.raises(NotAppliedError, match=r"127\.0\.0\.1:1"):
        async with Client("127.0.0.1:1", timeout=0.3):
            pass
    client = Client("127.0.0.1:1")
    with pytest.raises(NotAppliedError, match="not connected"):
        await client.get("k")


async def test_what_is_not_known_at_the_deadline_is_said_so() -> None:
    async with FakeCluster() as cluster, Client(cluster.addresses[0]) as client:
        for member in cluster.members.values():
            member.hold()
        with pytest.raises(OutcomeUnknownError):
            await client.put("k", b"1", timeout=0.1)
        with pytest.raises(NotAppliedError):
            await client.get("k", timeout=timedelta(seconds=0.1))
        for member in cluster.members.values():
            member.release()


async def test_where_members_cannot_be_reached_the_router_serves() -> None:
    """The seed tells addresses that nobody answers at, but answers itself as a router does."""
    async with FakeCluster(1) as router, FakeCluster(3) as cluster:
        await asyncio.gather(*(member.stop() for member in cluster.members.values()))
        front = router.members["disk-0"]
        front.cluster = cluster
        settings = DispatchSettings(reconnect_most_us=100_000)

        def script(_: FakeMember, request: kv.PipelineRequest) -> kv.PipelineResponse:
            answer = kv.PipelineResponse(batch_id=request.batch_id)
            for operation in request.operations:
                member = cluster.members[cluster.coordinators[cluster.partition_of(operation)]]
                answer.results.extend(cluster.execute(member, [operation]))
            return answer

        front.script = script
        async with Client(front.address, dispatch=settings) as client:
            await client.put("k", b"1")
            assert await client.get("k") is not None
            front.is_router = True
            assert [entry.key async for entry in client.scan("k")] == [b"k"]
            writes = [operation.put for operation in front.operations if operation.HasField("put")]
            assert all(write.operation_id.number for write in writes)


@pytest.mark.parametrize(
    ("operation", "field"),
    [
        (Get(""), "key"),
        (Get(bytes(5000)), "key"),
        (Get(1), "key"),  # type: ignore[arg-type]  # what a caller without a type checker does
        (Put("k", "text"), "value"),  # type: ignore[arg-type]  # as above
        (Put("k", bytes((1 << 20) + 1)), "value"),
        (Put("k", b"", ttl=0), "ttl"),
        (Put("k", b"", if_absent=True, if_version=b"v"), "if_absent"),
        (Put("k", b"", if_version=b""), "if_version"),
        (Increment("k", 1 << 63), "delta"),
        (Get("k", Consistency.ANY, max_staleness=1), "max_staleness"),
    ],
)
async def test_bad_input_names_its_field(
    operation: Get | Put | Delete | Increment, field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        to_proto(operation, Limits())
    assert caught.value.field == field
    with pytest.raises(InvalidInputError) as caught:
        checked_batch([Get("k"), operation], Limits())
    assert caught.value.field == f"operations[1].{field}"


@pytest.mark.parametrize("address", ["nonsense", ":7400", "host:", "host:x"])
def test_an_address_is_host_and_port(address: str) -> None:
    with pytest.raises(InvalidInputError, match="addresses"):
        Client(address)
    with pytest.raises(InvalidInputError, match="addresses"):
        Client()


def test_times_cross_the_wire() -> None:
    made = to_proto(Put("k", b"", ttl=timedelta(minutes=2, microseconds=5)), Limits())
    assert (made.put.ttl.seconds, made.put.ttl.nanos) == (120, 5000)
    made = to_proto(Get("k", Consistency.BOUNDED, max_staleness=0.25), Limits())
    assert made.get.max_staleness.nanos == 250_000_000
    expire = Timestamp(seconds=1_700_000_000, nanos=500_000_000)
    entry = entry_from_proto(kv.Entry(key=b"k", expire_time=expire))
    assert entry.expire_time == datetime.fromtimestamp(1_700_000_000.5, UTC)


# The twin


async def test_the_twin_does_the_same_without_an_event_loop() -> None:
    async with FakeCluster() as cluster:

        def use() -> list[object]:
            with becket.sync.Client(cluster.addresses[0]) as client:
                client.put("k", b"1")
                cluster.store.update({b"s%04d" % i: (b"", b"v") for i in range(600)})
                found: list[object] = [client.get("k"), client.increment("n"), client.delete("n")]
                found.append([entry.key for entry in client.scan("s")])
                found.append(next(iter(client.scan("s"))).key)
                try:
                    client.put("k", b"", if_absent=True)
                except BecketError as error:
                    found.append(error)
            assert client.is_closed
            client.close()
            return found

        found = await asyncio.to_thread(use)
        assert isinstance(found[0], Entry)
        assert found[1:3] == [1, True]
        assert found[3] == [b"s%04d" % i for i in range(600)]
        assert found[4] == b"s0000"
        assert isinstance(found[5], ConditionFailedError)


def test_the_twin_leaves_no_thread_behind_where_nothing_answers() -> None:
    client = becket.sync.Client("127.0.0.1:1", timeout=0.2)
    with pytest.raises(NotAppliedError):
        client.__enter__()
    assert client.is_closed


def public(kind: type) -> dict[str, object]:
    return {name: getattr(kind, name) for name in vars(kind) if not name.startswith("_")}


def test_both_clients_have_the_same_names_signatures_and_words() -> None:
    one, other = public(Client), public(becket.sync.Client)
    assert other.keys() - one.keys() == {"is_closed"}
    assert one.keys() <= other.keys()
    for name in (*one.keys(), "__init__"):
        mine, its = getattr(Client, name), getattr(becket.sync.Client, name)
        assert inspect.signature(mine).parameters.keys() == inspect.signature(its).parameters.keys()
        if name not in ("__init__", "close"):
            assert its.__doc__ == mine.__doc__


@pytest.mark.parametrize("kind", [Client, becket.sync.Client])
def test_every_public_method_is_documented(kind: type) -> None:
    assert all(inspect.getdoc(member) for member in public(kind).values())


def test_importing_becket_needs_no_grpc() -> None:
    code = "import sys, becket; assert not {'grpc', 'google.protobuf'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="nothing"):
        becket.nothing  # noqa: B018


async def test_a_listing_alone_finds_out_that_only_the_router_can_be_reached() -> None:
    async with FakeCluster(1) as router, FakeCluster(3) as cluster:
        await asyncio.gather(*(member.stop() for member in cluster.members.values()))
        cluster.store[b"k"] = (b"1", b"v")
        front = router.members["disk-0"]
        front.cluster, front.is_router = cluster, True
        async with Client(front.address) as client:
            assert [entry.key async for entry in client.scan("k")] == [b"k"]


def acting_as_router(front: FakeMember, cluster: FakeCluster) -> None:
    """Let a fake answer for every partition of a cluster."""

    def script(_: FakeMember, request: kv.PipelineRequest) -> kv.PipelineResponse:
        answer = kv.PipelineResponse(batch_id=request.batch_id)
        for operation in request.operations:
            member = cluster.members[cluster.coordinators[cluster.partition_of(operation)]]
            answer.results.extend(cluster.execute(member, [operation]))
        return answer

    front.cluster, front.script, front.is_router = cluster, script, True


async def test_whoever_asks_for_the_router_dials_no_member() -> None:
    async with FakeCluster(1) as router, FakeCluster(3) as cluster:
        front = router.members["disk-0"]
        acting_as_router(front, cluster)
        async with Client(front.address, routing="router") as client:
            await client.put("k", b"1")
            assert await client.get("k", consistency=Consistency.ANY) is not None
        assert len(front.operations) == 2
        assert not any(member.batches for member in cluster.members.values())


async def test_where_no_member_can_be_reached_a_client_stays_with_the_router() -> None:
    async with FakeCluster(1) as router, FakeCluster(3) as cluster:
        await asyncio.gather(*(member.stop() for member in cluster.members.values()))
        front = router.members["disk-0"]
        acting_as_router(front, cluster)
        async with Client(front.address) as client:
            await asyncio.gather(*(member.start() for member in cluster.members.values()))
            await client.put("k", b"1")
        assert len(front.operations) == 1


async def test_where_members_can_be_reached_a_client_goes_straight_to_them() -> None:
    async with FakeCluster(1) as router, FakeCluster(3) as cluster:
        front = router.members["disk-0"]
        acting_as_router(front, cluster)
        async with Client(front.address) as client:
            await client.put("k", b"1")
        assert not front.operations


def test_a_routing_that_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="auto, router, direct") as caught:
        Client("127.0.0.1:1", routing="best")  # type: ignore[arg-type]
    assert caught.value.field == "routing"
