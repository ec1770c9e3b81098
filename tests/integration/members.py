"""Real storage services in one process, on loopback, each on a volume of its own.

Owns a small cluster without a supervisor: the first ring is offered by hand, and so is each change.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from becket.adapters.local.memory import MemoryDirectory
from becket.adapters.rpc.errors import from_rpc_error
from becket.api.v1 import key_value_pb2_grpc as kv_rpc
from becket.api.v1 import replica_pb2 as pb
from becket.api.v1 import replica_pb2_grpc as rpc
from becket.api.v1 import ring_pb2, ring_pb2_grpc
from becket.core.errors import NotAppliedError, WrongMemberError
from becket.core.placement.result import Constraints
from becket.core.plans.recovery import first_ring
from becket.core.replication.settings import Settings
from becket.core.ring.encoding import encode
from becket.core.ring.members import Member
from becket.core.ring.ring import Ring
from becket.ports.directory import Place
from becket.runtime.contract import Runtime
from becket.runtime.host import Host
from becket.runtime.logs import open_log
from becket.storage.disk import open_disk
from becket.storage.service import StorageService
from becket.storage.settings import StorageSettings

PARTITIONS = 8


class RunningMember:
    """One member in this process."""

    def __init__(self, cluster: Members, name: str, **settings: object) -> None:
        self.name = name
        self.stop = asyncio.Event()
        self.service: StorageService | None = None
        self._cluster = cluster
        given = {
            "name": name,
            "listen": "127.0.0.1:0",
            "data_folder": cluster.folder / name,
            "stop_grace_s": 6,
            # Coordinators stay where they are, so that a test can name them.
            "replication": Settings(return_us=3_600_000_000),
            **settings,
        }
        self.settings = StorageSettings(**given)  # type: ignore[arg-type]
        self.host = Host("storage", self.settings, self._build, open_log("error", "console"))
        self.task = asyncio.create_task(self.host.run(self.stop))

    def _build(self, runtime: Runtime) -> StorageService:
        disk = open_disk(self.settings.data_folder, self.settings.rocks)
        self.service = StorageService(runtime, self.settings, self._cluster.directory, disk)
        return self.service

    @property
    def disk(self) -> str:
        """The disk's id."""
        assert self.service is not None
        return self.service.shell.identity.disk

    @property
    def address(self) -> str:
        """Where it answers."""
        return self.host.runtime.address

    async def end(self) -> int:
        """Stop it in order, also when whoever waits for that is cancelled."""
        self.stop.set()
        return await asyncio.shield(self.task)


class Members:
    """Several members, and channels to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.directory = MemoryDirectory()
        self.running: dict[str, RunningMember] = {}
        self.ring: Ring | None = None
        self.coordinators: dict[int, str] = {}
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def start(self, *names: str, **settings: object) -> None:
        """Start members and let the others find them."""
        for name in names:
            self.running[name] = RunningMember(self, name, **settings)
        for name in names:
            await self.running[name].host.listening.wait()
        for name, member in self.running.items():
            self.directory.all[name] = Place(name, "storage", member.address)

    def channel(self, name: str) -> grpc.aio.Channel:
        """A channel to a member."""
        address = self.running[name].address
        if address not in self._channels:
            options = [("grpc.max_receive_message_length", 16 << 20)]
            self._channels[address] = grpc.aio.insecure_channel(address, options=options)
        return self._channels[address]

    def key_values(self, name: str) -> kv_rpc.KeyValueServiceAsyncStub:
        """A member's KeyValueService."""
        return kv_rpc.KeyValueServiceStub(self.channel(name))

    def replicas(self, name: str) -> rpc.ReplicaServiceAsyncStub:
        """A member's ReplicaService."""
        return rpc.ReplicaServiceStub(self.channel(name))

    async def offer(self, ring: Ring, *names: str) -> None:
        """Tell members of a ring."""
        self.ring = ring
        for name in names or tuple(self.running):
            request = pb.OfferRingRequest(cluster_id=ring.cluster, encoded_ring=encode(ring))
            await self.replicas(name).OfferRing(request)

    async def found(self, names: Sequence[str]) -> None:
        """Make the first ring of these members, and wait until all of it is coordinated."""
        disks = [Member(self.running[name].disk, name) for name in names]
        await self.offer(first_ring("c", disks, PARTITIONS, Constraints(min(3, len(disks)))))
        await self.coordinated(names[0])

    async def coordinated(self, by: str, *, without: str = "") -> None:
        """Wait until this member knows all coordinators, and none of them is ``without``."""
        stub = ring_pb2_grpc.RingServiceStub(self.channel(by))
        known: dict[int, tuple[int, str]] = {}
        async with asyncio.timeout(20):
            async for answer in stub.WatchRing(ring_pb2.WatchRingRequest()):
                for item in answer.coordinators:
                    told = (item.epoch.counter, item.name)
                    known[item.partition] = max(told, known.get(item.partition, told))
                self.coordinators = {p: name for p, (_, name) in known.items()}
                names = set(self.coordinators.values())
                if len(self.coordinators) == PARTITIONS and without not in names:
                    return

    def owner(self, key: bytes) -> str:
        """Who coordinates a key's partition."""
        assert self.ring is not None
        return self.coordinators[self.ring.partition_of(key)]

    def stub_for(self, key: bytes) -> Owner:
        """The KeyValueService that serves this key, wherever it moves."""
        return Owner(self, key)

    def note_moved(self, refused: WrongMemberError) -> None:
        """A member has said who coordinates instead."""
        for name, member in self.running.items():
            if member.service is not None and member.disk == refused.coordinator:
                self.coordinators[refused.partition] = name

    async def end(self) -> None:
        """Stop everything."""
        for channel in self._channels.values():
            await channel.close()
        await asyncio.gather(*(member.end() for member in self.running.values()))


class Owner:
    """Calls about one key, made again after a definite no, as every client does.

    On a busy machine a member may be suspected at any moment, and another one take over.
    """

    def __init__(self, cluster: Members, key: bytes) -> None:
        self._cluster = cluster
        self._key = key

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        async def call(request: object, **options: object) -> Any:  # noqa: ANN401 - any answer
            for _ in range(100):
                stub = self._cluster.key_values(self._cluster.owner(self._key))
                try:
                    return await getattr(stub, method)(request, **options)
                except grpc.aio.AioRpcError as error:
                    refused = from_rpc_error(error)
                    if isinstance(refused, WrongMemberError):
                        self._cluster.note_moved(refused)
                    elif not isinstance(refused, NotAppliedError):
                        raise
                    await asyncio.sleep(0.02)
            raise AssertionError(f"nobody serves {self._key!r}")

        return call


@asynccontextmanager
async def members(folder: Path, *names: str, **settings: object) -> AsyncIterator[Members]:
    """Members that have their first ring."""
    cluster = Members(folder)
    try:
        await cluster.start(*names, **settings)
        await cluster.found(names)
        yield cluster
    finally:
        await cluster.end()
