"""Stand-ins of storage members, and a supervisor process among them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc

from becket.adapters.local.leadership import AlwaysLeader
from becket.adapters.local.memory import MemoryDirectory, MemoryTopology
from becket.adapters.rpc.rings import epoch_to_proto
from becket.api.v1 import disk_pb2, disk_pb2_grpc
from becket.api.v1 import replica_pb2 as replica
from becket.api.v1 import replica_pb2_grpc as replica_rpc
from becket.api.v1 import ring_pb2_grpc as ring_rpc
from becket.api.v1 import supervisor_pb2_grpc as supervisor_rpc
from becket.core.replication.versions import Epoch
from becket.core.ring.encoding import decode
from becket.core.ring.ring import Ring
from becket.ports.directory import Place
from becket.runtime.contract import Runtime
from becket.runtime.host import Host
from becket.runtime.logs import open_log
from becket.supervisor.cycle import Ports
from becket.supervisor.service import SupervisorProcess
from becket.supervisor.settings import SupervisorSettings

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]
PATIENCE_S = 20.0


class StandIn(replica_rpc.ReplicaServiceServicer, disk_pb2_grpc.DiskServiceServicer):
    """A member that takes rings, coordinates where it stands first, and certifies at once."""

    def __init__(self, disk: str) -> None:
        self.disk = disk
        self.incarnation = 1
        self.ring: Ring | None = None
        self.encoded = b""
        self.offers: list[replica.OfferRingRequest] = []
        self.suspects: set[str] = set()
        self.certifies = True
        self.unreadable = ""
        self.given_up: list[tuple[str, str]] = []
        """The cluster and the disk of each call that allowed it to give its disk up."""
        self.address = ""
        self._server: grpc.aio.Server | None = None
        self._changed = asyncio.Event()

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        server = self._server = grpc.aio.server()
        replica_rpc.add_ReplicaServiceServicer_to_server(self, server)
        disk_pb2_grpc.add_DiskServiceServicer_to_server(self, server)
        self.address = f"{host}:{server.add_insecure_port(f'{host}:{port}')}"
        await server.start()

    async def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(None)

    def suspect(self, *disks: str) -> None:
        self.suspects = set(disks)
        self.wake()

    def wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _unused(self, request_iterator: object, context: Context) -> AsyncIterator[Any]:
        raise NotImplementedError

    Exchange = Copy = Beat = _unused

    async def OfferRing(  # noqa: N802
        self, request: replica.OfferRingRequest, context: Context
    ) -> replica.OfferRingResponse:
        del context
        self.offers.append(request)
        if request.encoded_ring:
            ring = decode(request.encoded_ring)
            if self.ring is None or ring.version > self.ring.version:
                self.ring, self.encoded = ring, request.encoded_ring
                self.wake()
        version = 0 if self.ring is None else self.ring.version
        asked = b"" if request.encoded_ring else self.encoded
        return replica.OfferRingResponse(ring_version=version, encoded_ring=asked)

    async def GiveUpDisk(  # noqa: N802
        self, request: disk_pb2.GiveUpDiskRequest, context: Context
    ) -> disk_pb2.GiveUpDiskResponse:
        del context
        self.given_up.append((request.cluster_id, request.disk_id))
        return disk_pb2.GiveUpDiskResponse()

    async def WatchMember(  # noqa: N802
        self, request: replica.WatchMemberRequest, context: Context
    ) -> AsyncIterator[replica.WatchMemberResponse]:
        del request, context
        while True:
            changed = self._changed
            yield self.report()
            try:
                await asyncio.wait_for(changed.wait(), 0.3)
            except TimeoutError:
                continue

    def report(self) -> replica.WatchMemberResponse:
        ring = self.ring
        answer = replica.WatchMemberResponse(
            suspected_disk_ids=sorted(self.suspects), pid=77, unreadable_disk=self.unreadable
        )
        answer.hello.disk_id, answer.hello.incarnation = self.disk, self.incarnation
        if ring is None:
            return answer
        answer.hello.cluster_id, answer.hello.ring_version = ring.cluster, ring.version
        for partition, config in enumerate(ring.configs):
            living = [disk for disk in config.old if disk not in self.suspects]
            if not living or living[0] != self.disk:
                continue
            epoch = epoch_to_proto(Epoch(config.gen, self.disk, self.incarnation))
            answer.partitions.add(
                partition=partition, generation=config.gen, epoch=epoch, bytes=1000
            )
            if config.is_joint and self.certifies:
                answer.certificates.add(
                    partition=partition,
                    generation=config.gen,
                    epoch=epoch,
                    disk_id=self.disk,
                )
        return answer


class Scene:
    """Members, their directory and the topology; supervisors come and go."""

    def __init__(self) -> None:
        self.topology = MemoryTopology()
        self.directory = MemoryDirectory()
        self.members: dict[str, StandIn] = {}

    async def add(self, name: str, disk: str = "", ring: Ring | None = None) -> StandIn:
        member = self.members[name] = StandIn(disk or f"disk-of-{name}")
        member.ring = ring
        await member.start()
        self.directory.all[name] = Place(name, "storage", member.address)
        return member

    async def add_all(self, count: int) -> None:
        for ordinal in range(count):
            await self.add(f"storage-{ordinal}")

    async def ring(self) -> Ring | None:
        found = await self.topology.read()
        return None if found is None else found.ring

    async def until(self, condition: Callable[[Ring], T | None]) -> T:
        """What ``condition`` says of the ring object, once that is true."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                ring = await self.ring()
                found = None if ring is None else condition(ring)
                if found:
                    return found
                await asyncio.sleep(0.01)

    async def settled(self, names: Iterable[str], least: int = 1) -> Ring:
        """The ring, once exactly these members hold everything and no change is under way."""
        wished = sorted(names)

        def is_settled(ring: Ring) -> Ring | None:
            holding = {ring.name_of(disk) for config in ring.configs for disk in config.members}
            known = sorted(member.name for member in ring.members)
            if ring.joint_partitions or ring.version < least:
                return None
            return ring if known == wished == sorted(holding) else None

        return await self.until(is_settled)

    async def close(self) -> None:
        for member in self.members.values():
            await member.stop()


class Office:
    """A supervisor process, and stubs to call it."""

    def __init__(self, host: Host, process: SupervisorProcess, channel: grpc.aio.Channel) -> None:
        self.host = host
        self.cycle = process.cycle
        self.calls: Any = supervisor_rpc.SupervisorServiceStub(channel)
        self.rings: Any = ring_rpc.RingServiceStub(channel)

    async def until(self, condition: Callable[[], T]) -> T:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = condition()
                if found:
                    return found
                await asyncio.sleep(0.01)

    def sentences(self) -> list[str]:
        return [event.sentence for event in self.cycle.events.after(0)]

    async def said(self, text: str) -> str:
        """The first event that says this."""
        return await self.until(lambda: next((s for s in self.sentences() if text in s), ""))


@asynccontextmanager
async def supervising(scene: Scene, **settings: Any) -> AsyncIterator[Office]:  # noqa: ANN401
    """A supervisor over the scene, until the block ends; then it is gone as a killed one is."""
    chosen = {"partitions": 16, "look_ms": 50, "gather_ms": 5, "refresh_ms": 50, **settings}
    made: list[SupervisorProcess] = []

    def build(runtime: Runtime) -> SupervisorProcess:
        given = SupervisorSettings(name="supervisor-0", **chosen)
        ports = Ports(scene.topology, scene.directory, AlwaysLeader(given.name))
        made.append(SupervisorProcess(runtime, given, ports))
        return made[0]

    loaded = SupervisorSettings(name="supervisor-0", **chosen)
    host = Host("supervisor", loaded, build, open_log("error", "json"))
    running = asyncio.create_task(host.run(asyncio.Event()))
    listening = asyncio.create_task(host.listening.wait())
    await asyncio.wait({running, listening}, return_when=asyncio.FIRST_COMPLETED)
    listening.cancel()
    async with grpc.aio.insecure_channel(host.runtime.address) as channel:
        try:
            yield Office(host, made[0], channel)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
