"""Following the ring and its coordinators by ``WatchRing``, from several processes at once.

Theory of operation. A coordinator tells its change to whoever watches it, so the quickest news of a
partition come from its own members: beside the seeds (a router, any member, a supervisor) every
member that operations are sent to is watched, up to a limit. Each watch lives by itself; one is
enough to know the ring, and any of them may go away. What they tell goes through ``News``, which
keeps what is newer, so their order does not matter.

Owns the watches. Must not choose ways.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

import grpc

from becket.adapters.dispatch.channel_pool import ChannelPool
from becket.adapters.dispatch.news import News
from becket.adapters.dispatch.settings import DispatchSettings
from becket.adapters.rpc.channels import is_asked_to_end
from becket.api.v1 import ring_pb2
from becket.api.v1.ring_pb2_grpc import RingServiceStub
from becket.core.errors import InvalidRingError

if TYPE_CHECKING:
    from becket.api.v1.ring_pb2_grpc import RingServiceAsyncStub


class RingFollower:
    """Watches, by address."""

    def __init__(
        self, news: News, pool: ChannelPool, settings: DispatchSettings, rng: random.Random
    ) -> None:
        self.last_problem = ""
        """Why the latest watch that failed did so, for whoever waits for a first ring in vain."""
        self._news = news
        self._pool = pool
        self._settings = settings
        self._rng = rng
        self._seeds: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def addresses(self) -> frozenset[str]:
        """Who is watched now."""
        return frozenset(self._tasks)

    def set_seeds(self, seeds: Sequence[str]) -> None:
        """Watch these addresses until other seeds are named."""
        gone = self._seeds.difference(seeds)
        self._seeds = set(seeds)
        for address in gone:
            self.leave(address)
        for address in seeds:
            self._watch(address)

    def follow(self, address: str) -> None:
        """Watch a member too, while there are not too many."""
        members = len(self._tasks.keys() - self._seeds)
        if address not in self._tasks and members < self._settings.watched_members:
            self._watch(address)

    def leave(self, address: str) -> None:
        """Stop watching an address that no member has any more."""
        if address not in self._seeds:
            task = self._tasks.pop(address, None)
            if task is not None:
                task.cancel()

    async def close(self) -> None:
        """End every watch."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _watch(self, address: str) -> None:
        if address not in self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks[address] = loop.create_task(self._follow(address))

    async def _follow(self, address: str) -> None:
        settings = self._settings
        backoff_us = settings.reconnect_least_us
        while True:
            stub = RingServiceStub(self._pool.get(address))
            known = self._news.view.table.version
            call = stub.WatchRing(ring_pb2.WatchRingRequest(known_version=known))
            try:
                async for message in call:
                    backoff_us = settings.reconnect_least_us
                    if not self._news.take_watch(message):
                        await self._catch_up(stub)
            except grpc.RpcError as error:
                self.last_problem = f"{address}: {_words(error)}"
            except asyncio.CancelledError:
                if is_asked_to_end():
                    raise
                # Lanes to this address have ended, and closed the channel that they shared.
                self.last_problem = f"{address}: the channel was closed"
            except InvalidRingError as error:
                self.last_problem = f"{address}: {error}"
                backoff_us = settings.reconnect_most_us
            finally:
                call.cancel()
            await asyncio.sleep(backoff_us / 1e6 * self._rng.uniform(0.5, 1.0))
            backoff_us = min(2 * backoff_us, settings.reconnect_most_us)

    async def _catch_up(self, stub: RingServiceAsyncStub) -> None:
        """A change does not lead from what is known: take the whole ring."""
        known = self._news.view.table.version
        request = ring_pb2.GetRingRequest(known_version=known)
        answer = await stub.GetRing(request, timeout=self._settings.connect_us / 1e6)
        self._news.take_ring(answer)


def _words(error: grpc.RpcError) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error)
