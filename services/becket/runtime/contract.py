"""What a service is to the skeleton, and what the skeleton gives it.

Owns the contract ``Service``, ``Runtime`` and the exit codes. Must not run anything, nor know any
service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import grpc
from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer

from becket.adapters.telemetry.setup import Telemetry
from becket.runtime.guards import Admission
from becket.runtime.health import Health
from becket.runtime.logs import Log
from becket.runtime.orca import LoadMeter
from becket.runtime.settings import ServiceSettings

EXIT_OK = 0
EXIT_FAILED = 70
"""The service failed: it ends at once, without a drain, so that what is broken stops answering."""
EXIT_ADDRESS = 71
"""An address cannot be had."""
EXIT_SETTINGS = 78
"""Settings are wrong. A second signal gives 128 and its number."""


class Service(Protocol):
    """One of the four services, or a test's."""

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Register the servicers; returns their full names, for health and reflection."""
        ...

    async def start(self, address: str) -> None:
        """The server answers at ``address`` (host:port, the real port).

        The process is ready when this returns, unless the service has said something by
        ``Runtime.health``. Raising ends the process with ``EXIT_FAILED``.
        """
        ...

    async def run(self) -> None:
        """The main loop. Returning is an orderly end; raising ends the process at once."""
        ...

    async def drain(self) -> None:
        """SIGTERM: not ready any more; the server still answers and ``run`` still runs.

        Streams end here, after their last answer. Cut off after ``stop_grace_s``.
        """
        ...

    async def close(self) -> None:
        """The server has stopped and ``run`` was cancelled: give back files."""
        ...


@dataclass
class Runtime:
    """What the skeleton gives a service. The addresses are empty until the server is bound."""

    service: str
    settings: ServiceSettings
    log: Log
    telemetry: Telemetry
    health: Health
    admission: Admission
    load: LoadMeter
    address: str = ""
    http_address: str = ""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process begins to stop, before the drain."""

    @property
    def meter(self) -> Meter:
        """Makes instruments. Their callbacks may read numbers, and nothing else."""
        return self.telemetry.meter

    @property
    def tracer(self) -> Tracer:
        """Makes spans; none is recorded unless sampled."""
        return self.telemetry.tracer


Build = Callable[[Runtime], Service | Awaitable[Service]]
"""Makes a service; called inside the event loop, before the server is bound. One that has to wait
is cancelled when the process is told to stop."""
