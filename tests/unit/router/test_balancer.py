"""A router and its balancer: the weights are followed, and passed on to whoever asks the router."""

from __future__ import annotations

import grpc
import pytest

from becket.api.v1 import balancer_pb2 as pb
from becket.api.v1 import balancer_pb2_grpc
from tests.unit.dispatch.fakes import FakeCluster, eventually
from tests.unit.dispatch.test_weights import FakeBalancer
from tests.unit.router.running import router


async def test_weights_are_followed_and_passed_on() -> None:
    server, balancer = grpc.aio.server(), FakeBalancer()
    balancer.weights.members.add(disk_id="disk-0", weight=0.5)
    balancer_pb2_grpc.add_BalancerServiceServicer_to_server(balancer, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with FakeCluster() as cluster:
        places = {m.name: cluster.members[m.disk].address for m in cluster.ring.members}
        async with router(places, balancer_address=address, zone="a") as made:
            routes = made.running.connection.dispatcher.routes
            await eventually(lambda: routes.weights)
            assert routes.weights == {"disk-0": 0.5}
            assert routes.zone == "a"
            stub = balancer_pb2_grpc.BalancerServiceStub(made.channel)
            found = await stub.GetWeights(pb.GetWeightsRequest(), timeout=5)
            assert found.weights == balancer.weights
            watch = stub.WatchWeights(pb.WatchWeightsRequest())
            told = await watch.read()
            assert isinstance(told, pb.WatchWeightsResponse)
            assert told.weights == balancer.weights
            watch.cancel()
    await server.stop(None)


async def test_without_a_balancer_whoever_asks_is_told_to_come_again() -> None:
    async with FakeCluster() as cluster:
        places = {m.name: cluster.members[m.disk].address for m in cluster.ring.members}
        async with router(places) as made:
            stub = balancer_pb2_grpc.BalancerServiceStub(made.channel)
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.GetWeights(pb.GetWeightsRequest(), timeout=5)
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
