"""The balancer's weights, where there is a balancer (DESIGN section 9).

Owns the watch. A hint in every respect: without it, or when it falls silent, relaxed reads go by
what this router sees itself. Must not decide anything.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

import grpc

from becket.adapters.dispatch.channel_pool import ChannelPool
from becket.adapters.dispatch.routing import Routes
from becket.api.v1 import balancer_pb2
from becket.api.v1.balancer_pb2_grpc import BalancerServiceStub

PAUSE_S = 1.0


class WeightFollower:
    """Keeps the weights of the routes as the balancer says."""

    def __init__(
        self, routes: Routes, pool: ChannelPool, addresses: Callable[[], Sequence[str]]
    ) -> None:
        self._routes = routes
        self._pool = pool
        self._addresses = addresses

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            for address in self._addresses():
                await self._follow(address)
            await asyncio.sleep(PAUSE_S * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    async def _follow(self, address: str) -> None:
        stub = BalancerServiceStub(self._pool.get(address))
        call = stub.WatchWeights(balancer_pb2.WatchWeightsRequest())
        try:
            async for message in call:
                self._take(message.weights)
        except grpc.RpcError:
            self._routes.weights = {}
        finally:
            call.cancel()

    def _take(self, weights: balancer_pb2.Weights) -> None:
        self._routes.weights = {each.disk_id: each.weight for each in weights.members}
