"""Weights, wide keys and zones: whom relaxed reads go to, and what they are answered from."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import grpc

from becket.adapters.dispatch.weight_follower import WeightFollower
from becket.adapters.rpc.rings import ring_to_proto
from becket.api.v1 import balancer_pb2 as pb
from becket.api.v1 import balancer_pb2_grpc, ring_pb2
from becket.api.v1 import key_value_pb2 as kv
from tests.unit.dispatch.fakes import FakeMember, eventually, get, put
from tests.unit.dispatch.rig import Rig, rig

ANY, BOUNDED = kv.CONSISTENCY_ANY, kv.CONSISTENCY_BOUNDED


def bounded(key: bytes, staleness_ms: int) -> kv.Operation:
    operation = get(key, BOUNDED)
    operation.get.max_staleness.FromMilliseconds(staleness_ms)
    return operation


async def picks(r: Rig, count: int = 400) -> Counter[str]:
    """Which members reads of one key would go to, if each of them had nothing to do."""
    partition = r.cluster.ring.partition_of(b"k")
    routes, found = r.dispatcher.routes, Counter[str]()
    for _ in range(count):
        way = routes.relaxed(partition, ())
        assert way is not None
        found[way.disk] += 1
    return found


# Weights


async def test_a_replica_with_a_small_weight_is_seldom_drawn() -> None:
    async with rig() as r:
        assert min((await picks(r)).values()) > 100
        r.dispatcher.routes.weights = {"disk-0": 0.2, "disk-1": 1.4, "disk-2": 1.4}
        assert (await picks(r))["disk-0"] < 60


async def test_of_equal_replicas_the_one_that_was_asked_less_is_picked() -> None:
    async with rig() as r:
        routes = r.dispatcher.routes
        lanes = {disk: routes.lane_of(disk) for disk in ("disk-0", "disk-1", "disk-2")}
        for disk, asked in (("disk-0", 300), ("disk-1", 200), ("disk-2", 100)):
            lane = lanes[disk]
            assert lane is not None
            lane.note_asked(asked, r.clock.now_us())
        found = await picks(r, 100)
        # Two of the three are drawn: the most asked one is in each pair with one asked less.
        assert found["disk-0"] == 0
        assert found["disk-2"] > found["disk-1"]
        # One that takes far longer is not asked for that alone.
        slow = lanes["disk-2"]
        assert slow is not None
        slow.latency.mean_us *= 10
        assert (await picks(r, 100))["disk-2"] == 0
        # What was asked for is forgotten with time.
        assert slow.asked_lately() == 100.0
        r.clock.advance(1000)
        assert slow.asked_lately() == 50.0


class FakeBalancer(balancer_pb2_grpc.BalancerServiceServicer):
    """Tells ``weights`` once to each watcher; ``goes_on``: and keeps the stream open."""

    def __init__(self) -> None:
        self.weights = pb.Weights()
        self.watches = 0
        self.goes_on = asyncio.Event()

    async def GetWeights(  # noqa: N802
        self, _request: pb.GetWeightsRequest, _context: object
    ) -> pb.GetWeightsResponse:
        return pb.GetWeightsResponse(weights=self.weights)

    async def ReportLoad(  # noqa: N802
        self, _requests: AsyncIterator[pb.ReportLoadRequest], _context: object
    ) -> AsyncIterator[pb.ReportLoadResponse]:
        yield pb.ReportLoadResponse()

    async def WatchWeights(  # noqa: N802
        self, _request: pb.WatchWeightsRequest, _context: object
    ) -> AsyncIterator[pb.WatchWeightsResponse]:
        self.watches += 1
        yield pb.WatchWeightsResponse(weights=self.weights)
        await self.goes_on.wait()


@asynccontextmanager
async def following(r: Rig, silent_s: float) -> AsyncIterator[FakeBalancer]:
    server, balancer = grpc.aio.server(), FakeBalancer()
    balancer_pb2_grpc.add_BalancerServiceServicer_to_server(balancer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    balancer.weights.members.add(disk_id="disk-0", weight=0.5)
    wide = balancer.weights.wide_keys.add(key=b"hot")
    wide.max_staleness.FromMilliseconds(1000)
    await server.start()
    dispatcher = r.dispatcher
    follower = WeightFollower(
        dispatcher.routes,
        dispatcher.context.copies,
        r.pool,
        lambda: [f"127.0.0.1:{port}"],
        silent_s=silent_s,
    )
    running = asyncio.create_task(follower.run())
    try:
        yield balancer
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await server.stop(None)


async def test_what_the_balancer_says_is_followed() -> None:
    async with rig() as r, following(r, silent_s=60):
        routes, copies = r.dispatcher.routes, r.dispatcher.context.copies
        await eventually(lambda: routes.weights)
        assert routes.weights == {"disk-0": 0.5}
        assert copies.wide == {b"hot": 1_000_000}


async def test_a_balancer_that_says_nothing_for_long_is_forgotten() -> None:
    async with rig() as r, following(r, silent_s=0.05) as balancer:
        routes = r.dispatcher.routes
        await eventually(lambda: routes.weights)
        await eventually(lambda: not routes.weights)
        assert not r.dispatcher.context.copies.wide
        # And whoever speaks again is heard again.
        await eventually(lambda: balancer.watches > 1 and routes.weights)


# Hot keys


async def test_a_wide_key_is_answered_from_a_copy_within_its_staleness() -> None:
    async with rig() as r:
        r.dispatcher.context.copies.set_wide({b"k": 1_000_000})
        await r.run(put(b"k", b"1"))
        asked = len(reads_of(r))
        for _ in range(20):
            (result,) = await r.run(bounded(b"k", 5000))
            assert result.get.entry.value == b"1"
        assert len(reads_of(r)) == asked + 1
        # The fill was asked for with half of the staleness, and is kept for as long.
        assert reads_of(r)[-1].max_staleness.ToMilliseconds() == 500
        await r.run(put(b"k", b"2"))
        r.clock.advance(499)
        assert (await r.run(bounded(b"k", 5000)))[0].get.entry.value == b"1"
        r.clock.advance(2)
        assert (await r.run(bounded(b"k", 5000)))[0].get.entry.value == b"2"
        # Twenty were answered by one fill and its copy, and one more later.
        assert reads_of(r)[-1].answered_from_copy == 20


async def test_a_read_that_allows_less_never_sees_a_copy() -> None:
    async with rig() as r:
        r.dispatcher.context.copies.set_wide({b"k": 1_000_000})
        await r.run(put(b"k", b"1"))
        await r.run(bounded(b"k", 5000))
        await r.run(put(b"k", b"2"))
        assert (await r.run(bounded(b"k", 999)))[0].get.entry.value == b"2"
        assert (await r.run(get(b"k")))[0].get.entry.value == b"2"
        assert (await r.run(bounded(b"k", 1000)))[0].get.entry.value == b"1"


async def test_a_copy_made_for_any_age_serves_only_its_like() -> None:
    async with rig() as r:
        r.dispatcher.context.copies.set_wide({b"k": 1_000_000})
        await r.run(put(b"k", b"1"))
        await r.run(get(b"k", ANY))
        assert reads_of(r)[-1].consistency == ANY
        await r.run(put(b"k", b"2"))
        assert (await r.run(get(b"k", ANY)))[0].get.entry.value == b"1"
        assert (await r.run(bounded(b"k", 5000)))[0].get.entry.value == b"2"


async def test_a_key_that_has_cooled_is_read_from_its_replicas_again() -> None:
    async with rig() as r:
        copies = r.dispatcher.context.copies
        copies.set_wide({b"k": 1_000_000})
        await r.run(put(b"k", b"1"))
        await r.run(bounded(b"k", 5000))
        await r.run(put(b"k", b"2"))
        copies.set_wide({})
        assert (await r.run(bounded(b"k", 5000)))[0].get.entry.value == b"2"
        copies.set_wide({b"k": 1_000_000})
        assert (await r.run(bounded(b"k", 5000)))[0].get.entry.value == b"2"


async def test_a_fill_that_is_refused_is_asked_again_as_its_caller_did() -> None:
    async with rig() as r:
        r.dispatcher.context.copies.set_wide({b"k": 1_000_000})
        partition = r.cluster.ring.partition_of(b"k")

        def strict(self: FakeMember, request: kv.PipelineRequest) -> kv.PipelineResponse:
            answer = self.execute(request)
            for place, operation in enumerate(request.operations):
                if operation.get.max_staleness.ToMilliseconds() < 1000:
                    answer.results[place].CopyFrom(r.cluster.wrong_member(partition, hint=False))
            return answer

        for member in r.cluster.members.values():
            member.script = strict
        assert not (await r.run(bounded(b"k", 3000)))[0].HasField("status")
        assert reads_of(r)[-1].max_staleness.ToMilliseconds() == 3000


def reads_of(r: Rig) -> list[kv.GetRequest]:
    """Every read that has arrived at a member, in the order of their execution."""
    return [each.get for each in r.cluster.executed if each.HasField("get")]


# Zones


def set_zones(r: Rig) -> None:
    """Put disk-0 into zone a, the others into b and c, and this process into a."""
    zones = dict(zip(("disk-0", "disk-1", "disk-2"), "abc", strict=True))
    ring = r.cluster.ring
    members = tuple(replace(member, zone=zones[member.disk]) for member in ring.members)
    r.cluster.ring = replace(ring, version=2, members=members)
    addresses = {m.name: r.cluster.members[m.disk].address for m in r.cluster.ring.members}
    r.dispatcher.news.take_ring(
        ring_pb2.GetRingResponse(
            ring=ring_to_proto(r.cluster.ring, addresses.get),
            coordinators=r.cluster.coordinator_protos(),
        )
    )
    r.dispatcher.routes.zone = "a"


async def test_a_reader_stays_in_its_zone() -> None:
    async with rig() as r:
        set_zones(r)
        assert await picks(r) == {"disk-0": 400}
        r.dispatcher.routes.zone = "nowhere"
        assert len(await picks(r)) > 1


async def test_a_reader_leaves_a_zone_that_is_overloaded() -> None:
    async with rig() as r:
        set_zones(r)
        lane = r.dispatcher.routes.lane_of("disk-0")
        assert lane is not None
        lane.in_flight_operations = 10
        assert "disk-0" not in await picks(r)
        lane.in_flight_operations = 0
        r.dispatcher.routes.weights = {"disk-0": 0.1, "disk-1": 1.45, "disk-2": 1.45}
        assert "disk-0" not in await picks(r)
        r.dispatcher.routes.weights = {}
        assert await picks(r) == {"disk-0": 400}


async def test_out_of_a_zone_that_refuses_a_read_goes_on_elsewhere() -> None:
    async with rig() as r:
        set_zones(r)
        partition = r.cluster.ring.partition_of(b"k")
        way = r.dispatcher.routes.relaxed(partition, ("disk-0",))
        assert way is not None
        assert way.disk != "disk-0"
