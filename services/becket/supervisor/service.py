"""The supervisor as a service of the skeleton.

Owns its wiring: ports, rounds, servicers. Must not decide anything. A supervisor on one machine
never imports the Kubernetes client.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import cast

import grpc

from becket.adapters.local.directory import open_directory
from becket.adapters.local.leadership import AlwaysLeader
from becket.adapters.local.notes import FileNotes
from becket.adapters.local.topology import FileTopology
from becket.api.v1 import ring_pb2, ring_pb2_grpc, supervisor_pb2, supervisor_pb2_grpc
from becket.core.errors import InvalidInputError
from becket.runtime.contract import Runtime
from becket.runtime.ring_service import RingServicer
from becket.supervisor.cycle import Cycle, Ports
from becket.supervisor.forwarding import LedServicer
from becket.supervisor.instruments import observe
from becket.supervisor.servicer import SupervisorServicer
from becket.supervisor.settings import SupervisorSettings

Close = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    """There is nothing to give back."""


class SupervisorProcess:
    """One supervisor. The ports are given by tests; a process opens those of its settings.

    ``close`` gives back what the ports stand on.
    """

    def __init__(
        self,
        runtime: Runtime,
        settings: SupervisorSettings,
        ports: Ports,
        *,
        close: Close = _nothing,
    ) -> None:
        new_cluster = f"{settings.cluster_name}-{secrets.token_hex(4)}"
        cycle = self.cycle = Cycle(settings, ports, new_cluster=new_cluster, log=runtime.log)
        observe(runtime.meter, cycle)
        age_s = settings.stream_age_s
        self._close = close
        self._own = SupervisorServicer(cycle, settings.name, stream_age_s=age_s)
        self._servicer = LedServicer(
            self._own, may_act=lambda: cycle.reign.may_act, leader=lambda: cycle.reign.leader
        )
        self._rings = RingServicer(cycle.view, ports.directory, settings.limits, stream_age_s=age_s)

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Register the servicers."""
        # It has every method, made of the service's description.
        servicer = cast("supervisor_pb2_grpc.SupervisorServiceServicer", self._servicer)
        supervisor_pb2_grpc.add_SupervisorServiceServicer_to_server(servicer, server)
        ring_pb2_grpc.add_RingServiceServicer_to_server(self._rings, server)
        names = (supervisor_pb2, "SupervisorService"), (ring_pb2, "RingService")
        return [module.DESCRIPTOR.services_by_name[name].full_name for module, name in names]

    async def start(self, address: str) -> None:
        """Nothing has to be so before calls are taken: a supervisor without a ring says so."""

    async def run(self) -> None:
        """Look after the cluster."""
        await self.cycle.run()

    async def drain(self) -> None:
        """Let another one lead at once, and end the watches."""
        self._rings.end_watches()
        self._own.end_watches()
        await self.cycle.reign.release()

    async def close(self) -> None:
        """Give back what ``run`` has not: the ports, and the way to the leader."""
        await self._servicer.close()
        await self._close()


def build(runtime: Runtime) -> SupervisorProcess | Awaitable[SupervisorProcess]:
    """A supervisor over the ports that its settings name."""
    settings = runtime.settings
    if not isinstance(settings, SupervisorSettings):
        raise TypeError("the supervisor needs SupervisorSettings")
    if settings.kubernetes.is_set:
        from becket.supervisor.on_kubernetes import build_on_kubernetes  # noqa: PLC0415

        return build_on_kubernetes(runtime, settings)
    if not settings.topology_file:
        raise InvalidInputError("topology_file", "must name the file that holds the ring")
    directory = open_directory(settings.addresses_file, settings.address_template)
    file = Path(settings.topology_file)
    notes = FileNotes(file.with_name(f"{file.name}.plan"))
    ports = Ports(FileTopology(file), directory, AlwaysLeader(settings.name), notes=notes)
    return SupervisorProcess(runtime, settings, ports)
