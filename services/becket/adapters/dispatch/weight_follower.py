"""The balancer's weights and wide keys, where there is a balancer (DESIGN section 9).

Owns the watch. A hint in every respect: without it, or when it falls silent, relaxed reads go by
what this process sees itself. Must not decide anything. Invariant: what was told is believed for
``SILENT_S`` after the last word, and then forgotten.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from time import monotonic

import grpc

from becket.adapters.dispatch.channel_pool import ChannelPool
from becket.adapters.dispatch.near_copies import NearCopies
from becket.adapters.dispatch.routing import Routes
from becket.adapters.rpc.channels import is_asked_to_end
from becket.api.v1 import balancer_pb2
from becket.api.v1.balancer_pb2_grpc import BalancerServiceStub

PAUSE_S, MOST_PAUSE_S = 1.0, 30.0
SILENT_S = 15.0
"""Three times as long as a balancer is silent at most."""


class WeightFollower:
    """Keeps the weights of the routes, and which keys are wide, as the balancer says."""

    def __init__(
        self,
        routes: Routes,
        copies: NearCopies,
        pool: ChannelPool,
        addresses: Callable[[], Sequence[str]],
        *,
        silent_s: float = SILENT_S,
    ) -> None:
        self._routes = routes
        self._copies = copies
        self._pool = pool
        self._addresses = addresses
        self._silent_s = silent_s
        self._heard_s = monotonic()

    async def run(self) -> None:
        """Follow for ever, by one address after the other."""
        pause_s = PAUSE_S
        while True:
            heard_s = self._heard_s
            for address in self._addresses():
                await self._follow(address)
            pause_s = PAUSE_S if self._heard_s > heard_s else min(MOST_PAUSE_S, 2 * pause_s)
            if monotonic() - self._heard_s >= self._silent_s:
                self._forget()
            # Whoever has something to forget looks again in time.
            least_s = min(pause_s, self._silent_s) if self._routes.weights else pause_s
            await asyncio.sleep(least_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    async def _follow(self, address: str) -> None:
        stub = BalancerServiceStub(self._pool.get(address))
        call = stub.WatchWeights(balancer_pb2.WatchWeightsRequest())
        try:
            while True:
                async with asyncio.timeout(self._silent_s):
                    message = await call.read()
                if not isinstance(message, balancer_pb2.WatchWeightsResponse):
                    return
                self._heard_s = monotonic()
                self._take(message.weights)
        except (grpc.RpcError, TimeoutError):
            return
        except asyncio.CancelledError:
            if is_asked_to_end():
                raise
            return  # The channel was closed under the call.
        finally:
            call.cancel()

    def _take(self, weights: balancer_pb2.Weights) -> None:
        self._routes.weights = {each.disk_id: each.weight for each in weights.members}
        self._copies.set_wide(
            {each.key: each.max_staleness.ToMicroseconds() for each in weights.wide_keys}
        )

    def _forget(self) -> None:
        self._routes.weights = {}
        self._copies.set_wide({})
