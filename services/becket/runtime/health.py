"""Whether this process lives and whether it is ready: one state, told by gRPC and by HTTP.

Owns the state and the standard service ``grpc.health.v1.Health``. Must not judge: a service says
when it is ready. Invariants: "" and "live" are SERVING while the event loop turns (an answer is the
proof); "ready" and each service's full name are SERVING exactly when ready; a watcher that does not
read holds up nobody, and sees the newest state when it reads again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import grpc
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

SERVICE = "grpc.health.v1.Health"
LIVE = frozenset(("", "live"))
READY = "ready"
STARTING = "starting"


class Health:
    """The state. ``reason`` says in a word or sentence why it is as it is."""

    def __init__(self) -> None:
        self.ready = False
        self.reason = STARTING
        self.names = {*LIVE, READY}
        self._stopping = False
        self._changed = asyncio.Event()

    @property
    def decided(self) -> bool:
        """Whether a service has said anything yet."""
        return self.reason != STARTING

    def add_names(self, names: Iterable[str]) -> None:
        """Take in full service names, which are as ready as the process is."""
        self.names.update(names)

    def set_ready(self, ready: bool, reason: str = "") -> None:
        """Say whether calls should be sent here. A process that stops is never ready again."""
        if not self._stopping:
            self._set(ready=ready, reason=reason or ("ready" if ready else "not ready"))

    def stop(self) -> None:
        """Not ready, for good."""
        self._set(ready=False, reason="stopping")
        self._stopping = True

    def _set(self, *, ready: bool, reason: str) -> None:
        self.ready, self.reason = ready, reason
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def status(self, name: str) -> pb.HealthCheckResponse.ServingStatus:
        """What the standard protocol says of ``name``."""
        if name not in self.names:
            return pb.HealthCheckResponse.SERVICE_UNKNOWN
        serving = name in LIVE or self.ready
        return pb.HealthCheckResponse.SERVING if serving else pb.HealthCheckResponse.NOT_SERVING

    async def until_ready(self) -> None:
        """Wait until the process is ready."""
        while not self.ready:
            await self._changed.wait()

    async def changed(self) -> None:
        """Wait until something was set since this call."""
        await self._changed.wait()


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc] # it has no types
    """The standard service. The library's own holds a lock while a watcher reads its answer."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def Check(  # noqa: N802 - named by the protocol
        self,
        request: pb.HealthCheckRequest,
        context: grpc.aio.ServicerContext[pb.HealthCheckRequest, pb.HealthCheckResponse],
    ) -> pb.HealthCheckResponse:
        status = self._health.status(request.service)
        if status == pb.HealthCheckResponse.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service[:100]!r}")
        return pb.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 - named by the protocol
        self,
        request: pb.HealthCheckRequest,
        context: grpc.aio.ServicerContext[pb.HealthCheckRequest, pb.HealthCheckResponse],
    ) -> None:
        told: int | None = None
        while True:
            status = self._health.status(request.service)
            if status == told:
                await self._health.changed()
                continue
            await context.write(pb.HealthCheckResponse(status=status))
            told = status
