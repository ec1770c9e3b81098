"""Asking members who coordinates a partition, where nobody has told by himself.

Owns the asking: all replicas of the partition in parallel, but those that are silent; few
partitions by ``Locate``, many by one ``GetRing``, which tells every coordinator at once. Must not
attempt operations. Invariants: one question at a time to an address, and a pause between two; what
is answered goes into the ring view, whose epochs decide what is newer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

import grpc

from becket.adapters.dispatch.news import News
from becket.adapters.dispatch.routing import Routes
from becket.adapters.dispatch.settings import DispatchSettings
from becket.api.v1 import ring_pb2
from becket.api.v1.ring_pb2_grpc import RingServiceStub

if TYPE_CHECKING:
    from becket.api.v1.ring_pb2_grpc import RingServiceAsyncStub

FEW = 4
"""So many partitions are asked for one by one."""

_PAUSE_S = 0.03

ChannelTo = Callable[[str], grpc.aio.Channel]


class Locator:
    """Questions under way, by address."""

    def __init__(
        self, routes: Routes, news: News, channel_to: ChannelTo, settings: DispatchSettings
    ) -> None:
        self._routes = routes
        self._news = news
        self._channel_to = channel_to
        self._timeout_s = settings.locate_us / 1e6
        self._wanted: dict[str, set[int]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def ask(self, partition: int, silent: Collection[str] = ()) -> None:
        """Ask the replicas of a partition, but those that answer at a silent address."""
        routes = self._routes
        for disk in routes.view.table.candidates(partition):
            address = routes.address_of(disk)
            if address is None or address in silent:
                continue
            self._wanted.setdefault(address, set()).add(partition)
            if address not in self._tasks:
                task = asyncio.get_running_loop().create_task(self._ask(address))
                self._tasks[address] = task
                task.add_done_callback(partial(self._on_done, address))

    def _on_done(self, address: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(address, None)
        if not task.cancelled() and task.exception() is not None:
            context = {"message": f"asking {address} failed", "exception": task.exception()}
            task.get_loop().call_exception_handler(context)

    async def close(self) -> None:
        """End every question."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, address: str) -> None:
        # What else is asked in this turn of the loop joins.
        await asyncio.sleep(0)
        while partitions := self._wanted.pop(address, None):
            stub = RingServiceStub(self._channel_to(address))
            if len(partitions) <= FEW:
                await asyncio.gather(*(self._locate(stub, each) for each in sorted(partitions)))
            else:
                await self._get_ring(stub)
            await asyncio.sleep(_PAUSE_S)

    async def _locate(self, stub: RingServiceAsyncStub, partition: int) -> None:
        request = ring_pb2.LocateRequest(partition=partition)
        try:
            answer = await stub.Locate(request, timeout=self._timeout_s)
        except grpc.RpcError:
            return  # Whoever waits asks again.
        self._news.take_location(answer)

    async def _get_ring(self, stub: RingServiceAsyncStub) -> None:
        known = self._routes.view.table.version
        request = ring_pb2.GetRingRequest(known_version=known)
        try:
            answer = await stub.GetRing(request, timeout=self._timeout_s)
        except grpc.RpcError:
            return  # As above.
        self._news.take_ring(answer)
