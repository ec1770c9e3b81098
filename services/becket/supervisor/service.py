"""The supervisor as a service of the skeleton.

Owns its wiring: ports, rounds, servicers. Must not decide anything.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import grpc

from becket.adapters.local.directory import open_directory
from becket.adapters.local.topology import FileTopology
from becket.api.v1 import ring_pb2, ring_pb2_grpc, supervisor_pb2, supervisor_pb2_grpc
from becket.core.errors import InvalidInputError
from becket.ports.directory import Directory
from becket.ports.topology import Topology
from becket.runtime.contract import Runtime
from becket.runtime.ring_service import RingServicer
from becket.supervisor.cycle import Cycle
from becket.supervisor.instruments import observe
from becket.supervisor.servicer import SupervisorServicer
from becket.supervisor.settings import SupervisorSettings


class SupervisorProcess:
    """One supervisor. The ports are given by tests; a process opens those of its settings."""

    def __init__(
        self,
        runtime: Runtime,
        settings: SupervisorSettings,
        topology: Topology,
        directory: Directory,
    ) -> None:
        new_cluster = f"{settings.cluster_name}-{secrets.token_hex(4)}"
        self.cycle = Cycle(settings, topology, directory, new_cluster=new_cluster, log=runtime.log)
        observe(runtime.meter, self.cycle)
        age_s = settings.stream_age_s
        self._servicer = SupervisorServicer(self.cycle, settings.name, stream_age_s=age_s)
        self._rings = RingServicer(self.cycle.view, directory, settings.limits, stream_age_s=age_s)

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Register the servicers."""
        supervisor_pb2_grpc.add_SupervisorServiceServicer_to_server(self._servicer, server)
        ring_pb2_grpc.add_RingServiceServicer_to_server(self._rings, server)
        names = (supervisor_pb2, "SupervisorService"), (ring_pb2, "RingService")
        return [module.DESCRIPTOR.services_by_name[name].full_name for module, name in names]

    async def start(self, address: str) -> None:
        """Nothing has to be so before calls are taken: a supervisor without a ring says so."""

    async def run(self) -> None:
        """Look after the cluster."""
        await self.cycle.run()

    async def drain(self) -> None:
        """End the watches; a supervisor that stops changes nothing by that."""
        self._rings.end_watches()
        self._servicer.end_watches()

    async def close(self) -> None:
        """Nothing is open any more: ``run`` has closed what it opened."""


def build(runtime: Runtime) -> SupervisorProcess:
    """A supervisor over the ports that its settings name."""
    settings = runtime.settings
    if not isinstance(settings, SupervisorSettings):
        raise TypeError("the supervisor needs SupervisorSettings")
    if not settings.topology_file:
        raise InvalidInputError("topology_file", "must name the file that holds the ring")
    directory = open_directory(settings.addresses_file, settings.address_template)
    topology = FileTopology(Path(settings.topology_file))
    return SupervisorProcess(runtime, settings, topology, directory)
