"""The router service: its parts, their wiring, and the order of a life.

Owns nothing but the composition. It knows the ring from the topology and, also while that is away,
from the members, who tell changes of coordinators and their addresses themselves. Stop: not ready
any more, calls are still answered, streams end after their last answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

import grpc
from opentelemetry.metrics import CallbackOptions, Observation

from becket.adapters.dispatch.connection import Connection
from becket.api.v1 import balancer_pb2, key_value_pb2_grpc, ring_pb2_grpc, supervisor_pb2
from becket.core.errors import InvalidRingError
from becket.core.ring.config import Disk
from becket.ports.directory import LearningDirectory
from becket.ports.topology import Topology
from becket.router.forwarding import Forwarder
from becket.router.key_value_service import KeyValueServicer
from becket.router.members import Members
from becket.router.settings import RouterSettings
from becket.runtime.ring_service import RingServicer
from becket.runtime.service import Runtime

END_STREAMS_S = 5.0


async def _nothing() -> None:
    """Close nothing."""


class RouterService:
    """One router. ``close``: gives back what the ports rest on, when the service has stopped."""

    def __init__(
        self,
        runtime: Runtime,
        settings: RouterSettings,
        directory: LearningDirectory,
        topology: Topology | None,
        *,
        close: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        self._runtime = runtime
        self._settings = settings
        self._directory = directory
        self._topology = topology
        self._close = close
        self.connection = Connection(settings.dispatch, settings.limits, self._address_of)
        self._view = self.connection.view
        self._members = Members(directory, self._view, settings.member_addresses)
        default_s = settings.default_deadline_ms / 1000
        self._key_values = KeyValueServicer(self.connection, default_s, settings.pipeline_batches)
        self._rings = RingServicer(
            self._view, directory, settings.limits, stream_age_s=settings.stream_age_s
        )
        self.connection.dispatcher.routes.zone = settings.zone
        pool = self.connection.pool
        self._forwarders = (
            Forwarder(
                supervisor_pb2.DESCRIPTOR.services_by_name["SupervisorService"],
                pool,
                lambda: self._places("supervisor", settings.supervisor_address),
            ),
            Forwarder(
                balancer_pb2.DESCRIPTOR.services_by_name["BalancerService"], pool, self._balancers
            ),
        )
        self._measure()

    # Service

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Register the servicers."""
        key_value_pb2_grpc.add_KeyValueServiceServicer_to_server(self._key_values, server)
        ring_pb2_grpc.add_RingServiceServicer_to_server(self._rings, server)
        server.add_generic_rpc_handlers(self._forwarders)
        return [
            "becket.api.v1.KeyValueService",
            "becket.api.v1.RingService",
            "becket.api.v1.SupervisorService",
            "becket.api.v1.BalancerService",
        ]

    async def start(self, address: str) -> None:
        """Begin to learn the ring; ready once there is one."""
        self._runtime.log.info("routes", address=address)
        if self._view.ring is None:
            self._runtime.health.set_ready(ready=False, reason="waits for a ring")
        self.connection.start(self._members.seeds())
        self.connection.follow_weights(self._balancers)

    async def run(self) -> None:
        """Follow topology, members and weights, for ever."""
        async with asyncio.TaskGroup() as group:
            if self._topology is not None:
                group.create_task(self._follow_topology(self._topology))
            group.create_task(self._follow_directory())
            group.create_task(self._follow_view())

    async def drain(self) -> None:
        """While routes to here vanish everything goes on; then what has begun ends, and streams."""
        await asyncio.sleep(self._settings.pre_stop_s)
        self._rings.end_watches()
        try:
            async with asyncio.timeout(min(END_STREAMS_S, self._settings.stop_grace_s / 2)):
                await self._key_values.end_pipelines()
        except TimeoutError:
            self._runtime.log.warning("streams were cut off")

    async def close(self) -> None:
        """End the connection."""
        self._members.close()
        try:
            await self.connection.close()
        finally:
            await self._close()

    # Knowing who there is

    async def _follow_topology(self, topology: Topology) -> None:
        async for found in topology.watch():
            try:
                self._view.offer_ring(found.ring, found.encoded)
            except InvalidRingError as error:
                self._runtime.log.warning("ring refused", why=str(error))

    async def _follow_directory(self) -> None:
        """Members come, go and change their addresses; any of them tells the ring."""
        while True:
            self.connection.follower.set_seeds(await self._members.first_seeds())
            self._refresh_members()  # A file may name other addresses now.
            await asyncio.sleep(self._settings.directory_ms / 1000)

    async def _follow_view(self) -> None:
        """Ready from the first ring on; every member is dialled, and watched, where it is now."""
        serial, version = -1, 0
        while True:
            serial = await self._view.changed(serial)
            ring = self._view.ring
            if ring is None:
                continue
            if ring.version != version:
                version = ring.version
                self._runtime.health.set_ready(ready=True, reason=f"ring {version}")
            self._refresh_members()

    def _refresh_members(self) -> None:
        ring = self._view.ring
        if ring is not None and self._members.refresh(ring, self.connection.follower):
            self.connection.dispatcher.routes.forget()

    def _balancers(self) -> list[str]:
        return self._places("balancer", self._settings.balancer_address)

    def _places(self, service: str, otherwise: str) -> list[str]:
        places = self._directory.places(service).values()
        known = [place.address for place in places if place.address]
        return known or ([otherwise] if otherwise else [])

    def _address_of(self, disk: Disk) -> str | None:
        return self._members.address_of(disk)

    def _measure(self) -> None:
        counts = self.connection.dispatcher.counts
        meter = self._runtime.meter
        for name, unit, words in (
            ("calls", "{call}", "Operations or calls of one key begun"),
            ("retries", "{attempt}", "Attempts beyond the first"),
            ("hedges", "{attempt}", "Reads tried a second time because they were slow"),
            ("refused_by_budget", "{attempt}", "Attempts that the retry budget did not allow"),
            ("unknown", "{operation}", "Writes that ended with an unknown outcome"),
        ):
            meter.create_observable_counter(
                f"becket.router.{name}",
                callbacks=[_reader(partial(getattr, counts, name))],
                unit=unit,
                description=words,
            )
        copies = self.connection.dispatcher.context.copies
        meter.create_observable_counter(
            "becket.router.answered_from_copy",
            callbacks=[_reader(lambda: copies.answered)],
            unit="{operation}",
            description="Relaxed reads of hot keys that no member was asked for",
        )
        meter.create_observable_gauge(
            "becket.router.pending",
            callbacks=[_reader(lambda: self.connection.dispatcher.pending)],
            unit="{operation}",
            description="Operations that have no result yet",
        )
        meter.create_observable_gauge(
            "becket.router.ring.version",
            callbacks=[_reader(lambda: self._view.table.version)],
            unit="{version}",
            description="Of the newest ring that is known here; 0 where none is",
        )


def _reader(read: Callable[[], int]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(read())]

    return observe
