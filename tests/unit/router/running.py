"""A router in this process, in its real skeleton, before fake members.

Owns its start and its end, and stubs to call it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import grpc

from becket.adapters.local.memory import MemoryDirectory, MemoryTopology
from becket.api.v1 import key_value_pb2_grpc, ring_pb2_grpc, supervisor_pb2_grpc
from becket.ports.directory import Place
from becket.router.service import RouterService
from becket.router.settings import RouterSettings
from becket.runtime.contract import Runtime
from becket.runtime.host import Host
from becket.runtime.logs import open_log

BuildRouter = Callable[[Runtime, RouterSettings], Awaitable[RouterService]]


class RunningRouter:
    """One router."""

    def __init__(
        self,
        addresses: Mapping[str, str],
        topology: MemoryTopology | None = None,
        supervisors: Mapping[str, str] | None = None,
        build: BuildRouter | None = None,
        **settings: object,
    ) -> None:
        self.directory = MemoryDirectory()
        self._build_router = build
        for name, address in addresses.items():
            self.directory.all[name] = Place(name, "storage", address)
        for name, address in (supervisors or {}).items():
            self.directory.all[name] = Place(name, "supervisor", address)
        self.stop = asyncio.Event()
        self.service: RouterService | None = None
        self._topology = topology
        given = {"name": "router-0", "stop_grace_s": 6, "directory_ms": 20, **settings}
        self.settings = RouterSettings(**given)  # type: ignore[arg-type]  # checked by pydantic
        self.host = Host("router", self.settings, self._build, open_log("error", "console"))
        self.task = asyncio.create_task(self.host.run(self.stop))
        self._channel: grpc.aio.Channel | None = None

    async def _build(self, runtime: Runtime) -> RouterService:
        if self._build_router is not None:
            self.service = await self._build_router(runtime, self.settings)
        else:
            self.service = RouterService(runtime, self.settings, self.directory, self._topology)
        return self.service

    @property
    def is_ready(self) -> bool:
        """Whether it says that it is ready."""
        return self.host.runtime.health.ready

    @property
    def running(self) -> RouterService:
        """The service."""
        assert self.service is not None
        return self.service

    @property
    def channel(self) -> grpc.aio.Channel:
        """A channel to it."""
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self.host.runtime.address)
        return self._channel

    @property
    def key_values(self) -> key_value_pb2_grpc.KeyValueServiceAsyncStub:
        """Its KeyValueService."""
        return key_value_pb2_grpc.KeyValueServiceStub(self.channel)

    @property
    def rings(self) -> ring_pb2_grpc.RingServiceAsyncStub:
        """Its RingService."""
        return ring_pb2_grpc.RingServiceStub(self.channel)

    @property
    def supervisors(self) -> supervisor_pb2_grpc.SupervisorServiceAsyncStub:
        """Its SupervisorService."""
        return supervisor_pb2_grpc.SupervisorServiceStub(self.channel)

    async def ready(self) -> None:
        """Wait until it knows a ring."""
        await self.host.listening.wait()
        view = self.running.connection.view
        async with asyncio.timeout(10):
            serial = view.serial
            while view.ring is None or len(view.table.epochs) < view.ring.partitions:
                serial = await view.changed(serial)

    async def end(self) -> int:
        """Stop it in order; returns its exit code."""
        self.stop.set()
        code = await self.task
        if self._channel is not None:
            await self._channel.close()
        return code


@asynccontextmanager
async def router(
    addresses: Mapping[str, str],
    topology: MemoryTopology | None = None,
    supervisors: Mapping[str, str] | None = None,
    build: BuildRouter | None = None,
    **settings: object,
) -> AsyncIterator[RunningRouter]:
    """A router that runs; it may not know a ring yet."""
    made = RunningRouter(addresses, topology, supervisors, build, **settings)
    await made.host.listening.wait()
    try:
        yield made
    finally:
        if not made.task.done():
            await made.end()
