"""A dispatcher on a fake cluster, with a clock that only the test moves."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from becket.adapters.dispatch.channel_pool import ChannelPool
from becket.adapters.dispatch.dispatcher import Dispatcher, Wiring
from becket.adapters.dispatch.settings import DispatchSettings
from becket.adapters.rpc.errors import from_status
from becket.adapters.rpc.ring_view import RingView
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1 import ring_pb2
from becket.core.errors import BecketError
from tests.unit.dispatch.fakes import FakeClock, FakeCluster

T = TypeVar("T")
S = 1_000_000


class Rig:
    """The dispatcher and what is around it."""

    def __init__(self, cluster: FakeCluster, settings: DispatchSettings) -> None:
        self.cluster = cluster
        self.clock = FakeClock()
        self.view = RingView()
        self.pool = ChannelPool()
        wiring = Wiring(clock=self.clock, rng=random.Random(1), session_id="me")
        self.dispatcher = Dispatcher(self.view, self.pool, settings, wiring)

    def learn_ring(self) -> None:
        """Take ring, addresses and coordinators as they are."""
        self.dispatcher.news.take_ring(
            ring_pb2.GetRingResponse(
                ring=self.cluster.ring_proto(), coordinators=self.cluster.coordinator_protos()
            )
        )

    def start(
        self, *operations: kv.Operation, timeout_s: float = 5
    ) -> asyncio.Task[Sequence[kv.Result]]:
        """Begin a caller's list."""
        run = self.dispatcher.run(list(operations), int(timeout_s * S))
        return asyncio.create_task(run)

    async def during(self, task: asyncio.Task[T], ms: float = 10_000) -> T:
        """Let time pass until the task is done; not while an answer is on its way."""
        async with asyncio.timeout(20):
            await self.passing(ms, task)
            return await task

    async def passing(self, ms: float, task: asyncio.Task[T] | None = None) -> None:
        """Let time pass, not while an answer is on its way; less of it where the task ends."""
        for _ in range(int(ms / 10)):
            if task is not None and task.done():
                return
            self.clock.advance(10)
            await asyncio.sleep(0.002)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    while not self._is_quiet():  # noqa: ASYNC110 - both ends of a socket
                        await asyncio.sleep(0.001)

    def _is_quiet(self) -> bool:
        """Whether every lane has got all the answers that it will get for now."""
        lanes = self.dispatcher.routes.lanes
        for member in self.cluster.members.values():
            lane = lanes.get(member.address)
            if lane is None or not lane.is_reachable:
                continue
            if not member.is_running or len(lane._in_flight) != member.withheld:
                return False
            if lane._queue and not lane.is_full:
                return False
        return True

    async def run(self, *operations: kv.Operation) -> Sequence[kv.Result]:
        """The results of a list that needs no time to pass."""
        async with asyncio.timeout(5):
            return await self.start(*operations)


def error_of(result: kv.Result) -> BecketError:
    """The error that a result tells."""
    assert result.HasField("status"), result
    return from_status(result.status)


@asynccontextmanager
async def rig(
    members: int = 3, settings: DispatchSettings | None = None, *, know: bool = True
) -> AsyncIterator[Rig]:
    """A running cluster with a dispatcher that knows its ring."""
    async with FakeCluster(members) as cluster:
        made = Rig(cluster, settings or DispatchSettings())
        made.dispatcher.start()
        if know:
            made.learn_ring()
        try:
            yield made
        finally:
            await made.dispatcher.close()
            await made.pool.close()
