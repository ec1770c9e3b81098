"""The router service: its parts, their wiring, and the order of a life.

Owns nothing but the composition. It knows the ring from the topology and, also while that is away,
from the members of the directory, who tell changes of coordinators themselves. Stop: not ready any
more, calls are still answered, streams end after their last answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import grpc
from opentelemetry.metrics import CallbackOptions, Observation

from becket.adapters.dispatch.connection import Connection
from becket.api.v1 import key_value_pb2_grpc, ring_pb2_grpc, supervisor_pb2
from becket.core.errors import InvalidRingError
from becket.core.ring.config import Disk
from becket.ports.directory import Directory
from becket.ports.topology import Topology
from becket.router.balance import WeightFollower
from becket.router.forwarding import Forwarder
from becket.router.key_value_service import KeyValueServicer
from becket.router.settings import RouterSettings
from becket.runtime.ring_service import RingServicer
from becket.runtime.service import Runtime

END_STREAMS_S = 5.0
MOST_SEEDS = 16


class RouterService:
    """One router."""

    def __init__(
        self,
        runtime: Runtime,
        settings: RouterSettings,
        directory: Directory,
        topology: Topology | None,
    ) -> None:
        self._runtime = runtime
        self._settings = settings
        self._directory = directory
        self._topology = topology
        self.connection = Connection(settings.dispatch, settings.limits, self._address_of)
        self._view = self.connection.view
        default_s = settings.default_deadline_ms / 1000
        self._key_values = KeyValueServicer(self.connection, default_s, settings.pipeline_batches)
        self._rings = RingServicer(
            self._view, directory, settings.limits, stream_age_s=settings.stream_age_s
        )
        self._weights = WeightFollower(
            self.connection.dispatcher.routes,
            self.connection.pool,
            lambda: self._places("balancer", settings.balancer_address),
        )
        self._forwarder = Forwarder(
            supervisor_pb2.DESCRIPTOR.services_by_name["SupervisorService"],
            self.connection.pool,
            lambda: self._places("supervisor", settings.supervisor_address),
        )
        self._measure()

    # Service

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Register the servicers."""
        key_value_pb2_grpc.add_KeyValueServiceServicer_to_server(self._key_values, server)
        ring_pb2_grpc.add_RingServiceServicer_to_server(self._rings, server)
        server.add_generic_rpc_handlers((self._forwarder,))
        return [
            "becket.api.v1.KeyValueService",
            "becket.api.v1.RingService",
            "becket.api.v1.SupervisorService",
        ]

    async def start(self, address: str) -> None:
        """Begin to learn the ring; ready once there is one."""
        self._runtime.log.info("routes", address=address)
        if self._view.ring is None:
            self._runtime.health.set_ready(ready=False, reason="waits for a ring")
        self.connection.start(self._seeds())

    async def run(self) -> None:
        """Follow topology, members and weights, for ever."""
        async with asyncio.TaskGroup() as group:
            if self._topology is not None:
                group.create_task(self._follow_topology(self._topology))
            group.create_task(self._follow_directory())
            group.create_task(self._follow_view())
            group.create_task(self._weights.run())

    async def drain(self) -> None:
        """Answer what has begun, and end the streams."""
        self._rings.end_watches()
        try:
            async with asyncio.timeout(min(END_STREAMS_S, self._settings.stop_grace_s / 2)):
                await self._key_values.end_pipelines()
        except TimeoutError:
            self._runtime.log.warning("streams were cut off")

    async def close(self) -> None:
        """End the connection."""
        await self.connection.close()

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
            self.connection.follower.set_seeds(self._seeds())
            await asyncio.sleep(self._settings.directory_ms / 1000)

    async def _follow_view(self) -> None:
        """Ready from the first ring on; every member's own news are followed."""
        serial, version = -1, 0
        while True:
            serial = await self._view.changed(serial)
            ring = self._view.ring
            if ring is None or ring.version == version:
                continue
            version = ring.version
            self._runtime.health.set_ready(ready=True, reason=f"ring {version}")
            for member in ring.members:
                address = self._directory.address_of(member.name)
                if address:
                    self._view.addresses[member.disk] = address
                    self.connection.follower.follow(address)
            self.connection.dispatcher.routes.forget()

    def _seeds(self) -> list[str]:
        known = [place.address for place in self._directory.places("storage").values()]
        addresses = (*known, *self._settings.member_addresses)
        # Members tell each other of coordinators, so some of many are enough.
        return [address for address in addresses if address][:MOST_SEEDS]

    def _places(self, service: str, otherwise: str) -> list[str]:
        places = self._directory.places(service).values()
        known = [place.address for place in places if place.address]
        return known or ([otherwise] if otherwise else [])

    def _address_of(self, disk: Disk) -> str | None:
        ring = self._view.ring
        if ring is None or disk not in ring.by_disk:
            return None
        return self._directory.address_of(ring.name_of(disk))

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
        meter.create_observable_gauge(
            "becket.router.pending",
            callbacks=[_reader(lambda: self.connection.dispatcher.pending)],
            unit="{operation}",
            description="Operations that have no result yet",
        )


def _reader(read: Callable[[], int]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(read())]

    return observe
