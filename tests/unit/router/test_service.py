"""A router's knowledge and neighbours: ring, readiness, supervisors, weights."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from becket.adapters.local.memory import MemoryTopology
from becket.adapters.rpc.errors import from_rpc_error, to_status
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1 import ring_pb2, supervisor_pb2, supervisor_pb2_grpc
from becket.core.errors import BecketError, NotAppliedError, NotFoundError, RetryLaterError
from becket.ports.directory import Place
from becket.router.forwarding import CONNECTIONS
from becket.router.settings import RouterSettings
from becket.runtime.settings import SettingsError, load_settings
from tests.unit.dispatch.fakes import FakeCluster, eventually
from tests.unit.router.running import router

Context = grpc.aio.ServicerContext[Any, Any]


def addresses_of(cluster: FakeCluster) -> dict[str, str]:
    return {m.name: cluster.members[m.disk].address for m in cluster.ring.members}


async def test_without_a_topology_a_router_learns_the_ring_from_any_member() -> None:
    async with FakeCluster() as cluster:
        one = {"storage-1": addresses_of(cluster)["storage-1"]}
        async with router(one) as made:
            for name, address in addresses_of(cluster).items():
                made.directory.all[name] = Place(name, "storage", address)
            await made.ready()
            await eventually(lambda: made.is_ready)
            assert (await made.key_values.Put(kv.PutRequest(key=b"k"), timeout=5)).version


async def test_it_is_ready_when_it_knows_a_ring_and_not_before() -> None:
    topology = MemoryTopology()
    async with FakeCluster() as cluster, router({}, topology) as made:
        assert not made.is_ready
        with pytest.raises(grpc.aio.AioRpcError):
            await made.rings.GetRing(ring_pb2.GetRingRequest(), timeout=5)
        await topology.compare_and_swap(None, cluster.ring)
        await eventually(lambda: made.is_ready)
        found = await made.rings.GetRing(ring_pb2.GetRingRequest(), timeout=5)
        assert found.ring.version == 1


async def test_every_member_s_own_news_are_followed() -> None:
    async with FakeCluster() as cluster, router(addresses_of(cluster)) as made:
        await made.ready()
        follower = made.running.connection.follower
        await eventually(lambda: follower.addresses >= set(cluster.addresses))
        cluster.move(0, "disk-2")
        view = made.running.connection.view
        await eventually(lambda: view.table.target(0) == "disk-2")


class FakeSupervisor(supervisor_pb2_grpc.SupervisorServiceServicer):
    """Answers two calls and one stream."""

    async def GetStatus(  # noqa: N802 - the generated name
        self, request: supervisor_pb2.GetStatusRequest, context: Context
    ) -> supervisor_pb2.GetStatusResponse:
        del request
        assert context.time_remaining() is not None
        return supervisor_pb2.GetStatusResponse(leader="supervisor-0")

    async def DrainMember(  # noqa: N802
        self, request: supervisor_pb2.DrainMemberRequest, context: Context
    ) -> supervisor_pb2.DrainMemberResponse:
        error: BecketError = NotFoundError(f"there is no member {request.name}")
        await context.abort_with_status(rpc_status.to_status(to_status(error)))
        raise error

    async def WatchEvents(  # noqa: N802
        self, request: supervisor_pb2.WatchEventsRequest, context: Context
    ) -> AsyncIterator[supervisor_pb2.WatchEventsResponse]:
        del context
        for number in range(request.after_number + 1, request.after_number + 4):
            event = supervisor_pb2.Event(number=number)
            yield supervisor_pb2.WatchEventsResponse(events=[event])


FakeSupervisor.__abstractmethods__ = frozenset()  # only three calls


class Unknowing(FakeSupervisor):
    """Stands for several behind one address: whoever answers the first connections cannot help."""

    def __init__(self, unknowing: int) -> None:
        self.unknowing = unknowing
        self.peers: list[str] = []

    async def DrainMember(  # noqa: N802
        self, request: supervisor_pb2.DrainMemberRequest, context: Context
    ) -> supervisor_pb2.DrainMemberResponse:
        del request
        await self._consider(context)
        return supervisor_pb2.DrainMemberResponse()

    async def WatchEvents(  # noqa: N802
        self, request: supervisor_pb2.WatchEventsRequest, context: Context
    ) -> AsyncIterator[supervisor_pb2.WatchEventsResponse]:
        await self._consider(context)
        async for response in super().WatchEvents(request, context):
            yield response

    async def _consider(self, context: Context) -> None:
        self.peers.append(context.peer())
        if len(set(self.peers)) <= self.unknowing:
            error = NotAppliedError("no supervisor is known to lead", after_ms=500)
            await context.abort_with_status(rpc_status.to_status(to_status(error)))


Unknowing.__abstractmethods__ = frozenset()


@asynccontextmanager
async def supervisor(servicer: FakeSupervisor | None = None) -> AsyncIterator[str]:
    server = grpc.aio.server()
    servicer = servicer or FakeSupervisor()  # type: ignore[abstract]  # as above
    supervisor_pb2_grpc.add_SupervisorServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def test_calls_for_the_supervisor_are_passed_on() -> None:
    async with supervisor() as address:
        places = {"supervisor-1": "127.0.0.1:1", "supervisor-0": address}
        async with router({}, None, places) as made:
            stub = made.supervisors
            found = await stub.GetStatus(supervisor_pb2.GetStatusRequest(), timeout=5)
            assert found.leader == "supervisor-0", "the one that does not answer is passed over"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.DrainMember(supervisor_pb2.DrainMemberRequest(name="x"), timeout=5)
            assert isinstance(from_rpc_error(caught.value), NotFoundError)
            assert "no member x" in str(caught.value.details())
            request = supervisor_pb2.WatchEventsRequest(after_number=6)
            numbers = [each.events[0].number async for each in stub.WatchEvents(request)]
            assert numbers == [7, 8, 9]


@pytest.mark.parametrize("unknowing", [0, 1, 2])
async def test_a_supervisor_that_knows_of_no_leader_is_passed_over(unknowing: int) -> None:
    servicer = Unknowing(unknowing)  # type: ignore[abstract]  # as above
    async with (
        supervisor(servicer) as address,
        router({}, None, {"supervisor-0": address}) as made,
    ):
        await made.supervisors.DrainMember(supervisor_pb2.DrainMemberRequest(name="x"), timeout=5)
        assert len(set(servicer.peers)) == len(servicer.peers) == unknowing + 1
        servicer.peers.clear()
        request = supervisor_pb2.WatchEventsRequest()
        stream = made.supervisors.WatchEvents(request, timeout=5)
        assert [each.events[0].number async for each in stream] == [1, 2, 3]
        assert len(set(servicer.peers)) == unknowing + 1


async def test_where_none_knows_of_a_leader_the_caller_is_told_that_nothing_was_done() -> None:
    servicer = Unknowing(100)  # type: ignore[abstract]  # as above
    async with (
        supervisor(servicer) as address,
        router({}, None, {"supervisor-0": address}) as made,
    ):
        request = supervisor_pb2.DrainMemberRequest(name="x")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await made.supervisors.DrainMember(request, timeout=5)
        error = from_rpc_error(caught.value)
        assert isinstance(error, NotAppliedError)
        assert error.after_ms == 500
        assert len(servicer.peers) == CONNECTIONS


async def test_without_a_supervisor_the_call_may_be_made_later() -> None:
    async with router({}, None, {"supervisor-0": "127.0.0.1:1"}) as made:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await made.supervisors.GetStatus(supervisor_pb2.GetStatusRequest(), timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        error = from_rpc_error(caught.value)
        assert isinstance(error, RetryLaterError) or "supervisor" in str(error).lower()


def test_settings_must_fit_the_limits_of_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BECKET_DISPATCH__BATCH_OPERATIONS", "2000")
    with pytest.raises(SettingsError, match=r"dispatch\.batch_operations"):
        load_settings(RouterSettings)
    monkeypatch.setenv("BECKET_DISPATCH__BATCH_OPERATIONS", "500")
    assert load_settings(RouterSettings).dispatch.batch_operations == 500
    monkeypatch.setenv("BECKET_DISPATCH__TICK_US", "0")
    with pytest.raises(SettingsError, match=r"dispatch\.tick_us"):
        load_settings(RouterSettings)
