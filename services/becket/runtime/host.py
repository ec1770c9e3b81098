"""The life of one service: bind, announce, start, ready, run, drain, stop.

Owns the order, and the time that each step may take. Must not touch what belongs to the process
(signals, loop, exit), so that a test can have several hosts. Invariants: whoever can find the
address can connect; nothing is ready before ``start`` has returned; while a service drains, its
server answers and its main loop runs; each wait of the way down is bounded; a failed main loop
ends everything at once.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Coroutine
from pathlib import Path
from time import monotonic

import grpc

from becket.adapters.telemetry.interceptors import ServerTelemetry
from becket.adapters.telemetry.setup import Telemetry, TelemetryOptions
from becket.runtime.contract import EXIT_ADDRESS, EXIT_FAILED, EXIT_OK, Build, Runtime, Service
from becket.runtime.guards import Admission, Errors
from becket.runtime.health import Health, HealthServicer
from becket.runtime.logs import Log
from becket.runtime.observing import observe
from becket.runtime.orca import LoadMeter
from becket.runtime.servers import add_health, add_reflection, bind, open_server
from becket.runtime.settings import ServiceSettings
from becket.runtime.web import WebEndpoint

LINGER_S = 0.3
"""What a drained service's streams get to end by themselves."""
LEAST_STOP_S = 1.0
"""What calls in flight get, even when a drain has used up the grace time."""
CLOSE_S = 5.0
ABANDON_S = 0.5


class Host:
    """One service and its server. ``run`` once; ``listening`` is set when it can be reached."""

    def __init__(self, name: str, settings: ServiceSettings, build: Build, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._admission = Admission(
            max_unary=settings.max_in_flight,
            max_streams=settings.max_streams,
            default_deadline_ms=settings.default_deadline_ms,
        )
        telemetry = Telemetry(
            TelemetryOptions(
                service=name,
                instance=settings.name,
                cluster=settings.cluster_name,
                otlp_endpoint=settings.otlp_endpoint,
                otlp_interval_s=settings.otlp_interval_s,
                trace_ratio=settings.trace_ratio,
            )
        )
        self._meter = LoadMeter()
        self.runtime = Runtime(
            name, settings, log, telemetry, Health(), self._admission, self._meter
        )
        self.listening = asyncio.Event()
        self._build = build
        self._web: WebEndpoint | None = None
        observe(telemetry.meter, self._admission, self.runtime.health)

    async def run(self, stop: asyncio.Event) -> int:
        """Serve until ``stop`` is set or the service ends; returns the exit code.

        Cancelled, or after a failure, it ends as a killed process does: without a drain, every
        call broken off.
        """
        service = await self._built(stop)
        if service is None:
            await self.runtime.telemetry.close()
            return EXIT_OK
        server = self._prepare(service)
        try:
            self._bind(server)
        except OSError as error:
            self._log.error("cannot_listen", problem=str(error))
            await self.runtime.telemetry.close()
            return EXIT_ADDRESS
        await server.start()
        self._announce()
        started = asyncio.Event()
        main = asyncio.create_task(self._main(service, started), name="main")
        told = asyncio.create_task(stop.wait(), name="stop")
        metering = asyncio.create_task(self._meter.run(), name="load")
        try:
            await asyncio.wait((main, told), return_when=asyncio.FIRST_COMPLETED)
            if _failed(main):
                return self._fail(main)
            self._log.info("stopping", ended=main.done())
            return await self._stop(service, server, main, drain=started.is_set())
        finally:
            told.cancel()
            metering.cancel()
            main.cancel()
            # Nothing to wait for after an orderly stop; after a failure, nobody is answered.
            await asyncio.wait((asyncio.create_task(server.stop(None)),), timeout=ABANDON_S)

    async def _built(self, stop: asyncio.Event) -> Service | None:
        """The service; None where the process was told to stop before there was one."""
        made = self._build(self.runtime)
        if not isinstance(made, Awaitable):
            return made
        making, told = asyncio.ensure_future(made), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((making, told), return_when=asyncio.FIRST_COMPLETED)
            if making.done():
                return making.result()
            self._log.info("stopping", ended=False)
            return None
        finally:
            told.cancel()
            making.cancel()

    def _prepare(self, service: Service) -> grpc.aio.Server:
        runtime = self.runtime
        server = open_server(
            self._settings,
            [ServerTelemetry(runtime.telemetry), self._meter, Errors(self._log), self._admission],
        )
        names = list(service.add_to(server))
        runtime.health.add_names(names)
        add_health(server, HealthServicer(runtime.health))
        if self._settings.reflection:
            add_reflection(server, names)
        return server

    def _bind(self, server: grpc.aio.Server) -> None:
        runtime = self.runtime
        runtime.address = bind(server, self._settings.listen)
        if self._settings.http_listen:
            self._web = WebEndpoint(
                self._settings.http_listen, runtime.health, runtime.telemetry.exposition
            )
            self._web.open()
            runtime.http_address = self._web.address

    def _announce(self) -> None:
        runtime = self.runtime
        told = {
            "name": self._settings.name,
            "service": runtime.service,
            "address": runtime.address,
            "http_address": runtime.http_address,
            "pid": os.getpid(),
        }
        if self._settings.announce_file:
            write_atomically(Path(self._settings.announce_file), json.dumps(told))
        self._log.info("listening", address=runtime.address, http_address=runtime.http_address)
        self.listening.set()

    async def _main(self, service: Service, started: asyncio.Event) -> None:
        await service.start(self.runtime.address)
        started.set()
        if not self.runtime.health.decided:
            self.runtime.health.set_ready(True)
        await service.run()

    def _fail(self, task: asyncio.Task[None]) -> int:
        self.runtime.health.stop()
        self._log.critical("failed", exc_info=task.exception())
        return EXIT_FAILED

    async def _stop(
        self, service: Service, server: grpc.aio.Server, main: asyncio.Task[None], *, drain: bool
    ) -> int:
        answering_until = monotonic() + self._settings.pre_stop_s
        until = answering_until + self._settings.stop_grace_s
        self.runtime.health.stop()
        self.runtime.stopping.set()
        code = EXIT_OK
        if drain:
            code = await self._drain(service, main)
        await asyncio.wait((main,), timeout=max(0.0, answering_until - monotonic()))
        if _failed(main):
            return self._fail(main)
        grace = max(LEAST_STOP_S, until - monotonic())
        stopping = asyncio.create_task(server.stop(grace), name="server-stop")
        ended = await self._admission.end_streams(min(LINGER_S, grace / 2))
        await stopping
        self._log.debug("server_stopped", streams_ended=ended)
        main.cancel()
        await asyncio.wait((main,), timeout=CLOSE_S)
        if not await self._within(CLOSE_S, service.close(), "close"):
            code = EXIT_FAILED
        if self._web is not None:
            await self._web.close()
        await self.runtime.telemetry.close()
        self._log.info("stopped", code=code)
        return code

    async def _drain(self, service: Service, main: asyncio.Task[None]) -> int:
        """Drain, but not for longer than the main loop lives."""
        draining = asyncio.create_task(
            self._within(
                self._settings.pre_stop_s + self._settings.stop_grace_s, service.drain(), "drain"
            ),
            name="drain",
        )
        watched = (draining, main) if not main.done() else (draining,)
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        if _failed(main):
            draining.cancel()
            return EXIT_FAILED
        return EXIT_OK if await draining else EXIT_FAILED

    async def _within(self, limit_s: float, step: Coroutine[None, None, None], name: str) -> bool:
        """Whether a step ended without a failure; one that takes too long is cut off and logged."""
        timeout = asyncio.timeout(limit_s)
        try:
            async with timeout:
                await step
        except TimeoutError as error:
            if not timeout.expired():
                self._log.error(f"{name}_failed", exc_info=error)
                return False
            self._log.warning(f"{name}_overdue", limit_s=limit_s)
        except Exception as error:  # noqa: BLE001 - the stop goes on whatever a step does
            self._log.error(f"{name}_failed", exc_info=error)
            return False
        return True


def _failed(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


def write_atomically(path: Path, text: str) -> None:
    """Write a file that a reader sees whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
