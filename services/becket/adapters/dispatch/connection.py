"""A connection to a cluster: ring, dispatcher, listings, and what keeps them informed.

Owns the composition that the router and the client have in common, and its order of life. Must not
know who uses it.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import grpc

from becket.adapters.dispatch.channel_pool import ChannelPool, OpenChannel
from becket.adapters.dispatch.dispatcher import Dispatcher, Wiring
from becket.adapters.dispatch.ring_follower import RingFollower
from becket.adapters.dispatch.routing import AddressOf
from becket.adapters.dispatch.scanning import Scanner
from becket.adapters.dispatch.settings import DispatchSettings
from becket.adapters.dispatch.weight_follower import WeightFollower
from becket.adapters.rpc.channels import open_channel
from becket.adapters.rpc.ring_view import RingView
from becket.core.errors import NotAppliedError
from becket.core.limits import Limits

Routing = Literal["auto", "router", "direct"]
"""``router``: everything goes to the seeds, which must be routers. ``direct``: never by them.
``auto``: straight to the members, unless none of them can be reached when the connection begins."""

PROBED = 3
"""So many members are tried; one that answers is enough."""


class Connection:
    """Everything that is needed to use a cluster. Make it in a running event loop."""

    def __init__(
        self,
        settings: DispatchSettings,
        limits: Limits,
        address_of: AddressOf | None = None,
        open_one: OpenChannel | None = None,
    ) -> None:
        self.view = RingView()
        self.pool = ChannelPool(open_one or partial(open_channel, batch_bytes=limits.batch_bytes))
        self.limits = limits
        rng = random.Random(secrets.randbits(64))  # noqa: S311 - jitter, no secret
        wiring = Wiring(
            rng=rng,
            address_of=address_of,
            on_lane=self._on_lane,
            on_lane_gone=self._on_lane_gone,
        )
        self.dispatcher = Dispatcher(self.view, self.pool, settings, wiring)
        self.follower = RingFollower(self.dispatcher.news, self.pool, settings, rng)
        self.scanner = Scanner(self.dispatcher.context, self.pool, limits)
        self._weighing: asyncio.Task[None] | None = None

    def start(self, seeds: Sequence[str], *, routing: Routing = "direct") -> None:
        """Watch these addresses, and where ``routing`` allows it fall back to them."""
        self.dispatcher.start()
        self.follower.set_seeds(seeds)
        self.dispatcher.routes.by_fallbacks_only = routing == "router"
        if routing != "direct":
            for address in seeds:
                self.dispatcher.fall_back_to(address)

    def follow_weights(self, addresses: Callable[[], Sequence[str]]) -> None:
        """Pick replicas for relaxed reads by what a balancer at one of these addresses says."""
        dispatcher = self.dispatcher
        follower = WeightFollower(
            dispatcher.routes, dispatcher.context.copies, self.pool, addresses
        )
        self._weighing = asyncio.create_task(follower.run(), name="weights")

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until a ring is known.

        :raises NotAppliedError: none was in time; the message says why, as far as is known.
        """
        try:
            async with asyncio.timeout(timeout_s):
                serial = self.view.serial
                while self.view.ring is None:
                    serial = await self.view.changed(serial)
        except TimeoutError:
            why = self.follower.last_problem or "nobody has told one"
            raise NotAppliedError(f"no ring is known after {timeout_s:g} s: {why}") from None

    async def choose_routes(self) -> None:
        """Stay with the fallbacks where no member can be reached, as from outside a pod network.

        Takes ``probe_us`` at most. To be called once, when a ring is known.
        """
        addresses = sorted({*self.view.addresses.values()} - self.follower.addresses)[:PROBED]
        if not addresses:
            return
        trials = [asyncio.create_task(self._reaches(address)) for address in addresses]
        for trial in asyncio.as_completed(trials):
            if await trial:
                break
        else:
            self.dispatcher.routes.by_fallbacks_only = True
            self.dispatcher.routes.forget()
        for task in trials:
            task.cancel()
        await asyncio.gather(*trials, return_exceptions=True)

    async def _reaches(self, address: str) -> bool:
        try:
            async with asyncio.timeout(self.dispatcher.settings.probe_us / 1e6):
                await self.pool.get(address).channel_ready()
        except (TimeoutError, grpc.aio.UsageError):
            return False
        return True

    async def close(self) -> None:
        """End everything; what is under way is told what is known."""
        if self._weighing is not None:
            self._weighing.cancel()
            await asyncio.gather(self._weighing, return_exceptions=True)
        await self.dispatcher.close()
        await self.follower.close()
        await self.pool.close()

    def _on_lane(self, address: str) -> None:
        self.follower.follow(address)

    def _on_lane_gone(self, address: str) -> None:
        self.follower.leave(address)
