"""Real storage members and a real supervisor under a real keeper: lost disks, scaling, restoring.

Routers and balancers are left out: ring changes need neither.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from becket.adapters.local.commands import Command, Task, becket_command
from becket.adapters.local.keeper import Keeper
from becket.adapters.local.layout import BALANCER, ROUTER, ClusterSpec, Layout
from becket.api.v1 import supervisor_pb2 as pb
from becket.api.v1 import supervisor_pb2_grpc as rpc
from tests.unit.adapters.local.waiting import until

PARTITIONS = 16
PATIENCE_S = 60.0


def without_router(layout: Layout, spec: ClusterSpec, task: Task) -> Command:
    if task.service in (ROUTER, BALANCER):
        return Command(("sleep", "1000"), {"PATH": os.environ["PATH"]})
    return becket_command(layout, spec, task)


class Cluster:
    """A keeper and calls to its supervisor."""

    def __init__(self, keeper: Keeper, channel: grpc.aio.Channel) -> None:
        self.keeper = keeper
        self.supervisor: rpc.SupervisorServiceAsyncStub = rpc.SupervisorServiceStub(channel)

    async def until(self, condition: Callable[[pb.GetStatusResponse], object]) -> None:
        status = pb.GetStatusResponse()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition(status):
                    await asyncio.sleep(0.02)
                    try:
                        status = await self.supervisor.GetStatus(pb.GetStatusRequest(), timeout=5)
                    except grpc.aio.AioRpcError:
                        continue
        except TimeoutError:
            raise AssertionError(f"it does not come about: {status}") from None

    async def whole(self, members: int, least: int = 1) -> None:
        await self.until(
            lambda status: (
                status.whole_partitions == PARTITIONS
                and status.alive_members == members
                and status.ring_version >= least
                and not status.HasField("plan")
                and not status.sentences
            )
        )

    async def copies(self) -> dict[str, int]:
        answer = await self.supervisor.ListMembers(pb.ListMembersRequest(), timeout=5)
        return {status.member.name: status.partitions for status in answer.members}

    async def version(self) -> int:
        return (await self.supervisor.GetStatus(pb.GetStatusRequest(), timeout=5)).ring_version


@asynccontextmanager
async def running(folder: Path, members: int) -> AsyncIterator[Cluster]:
    spec = ClusterSpec(members=members, partitions=PARTITIONS, router_port=0)
    keeper = Keeper(Layout(folder), spec, command_of=without_router)
    await keeper.start()
    options = [("grpc.max_reconnect_backoff_ms", 100), ("grpc.initial_reconnect_backoff_ms", 50)]
    address = keeper.addresses["supervisor-0"]
    try:
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            yield Cluster(keeper, channel)
    finally:
        await keeper.stop()


async def test_a_lost_disk_is_replaced_and_a_lost_ring_restored(tmp_path: Path) -> None:
    async with running(tmp_path, 3) as cluster:
        await cluster.whole(3)
        cluster.keeper.layout.ask_for_wipe("storage-1")
        os.kill(cluster.keeper.processes["storage-1"].pid, signal.SIGKILL)
        # Lost and joined in one write, each partition changed, the old disk forgotten.
        await cluster.until(lambda status: status.ring_version > 2)
        await cluster.whole(3)
        assert await cluster.copies() == dict.fromkeys(["storage-0", "storage-1", "storage-2"], 16)
        ring = cluster.keeper.layout.topology_file
        before = await asyncio.to_thread(ring.read_bytes)
        await asyncio.to_thread(ring.unlink)
        await until(ring.exists)
        after = await asyncio.to_thread(ring.read_bytes)
        assert after.partition(b"\n")[2] == before.partition(b"\n")[2]


async def test_a_cluster_grows_and_shrinks_and_outlives_its_supervisor(tmp_path: Path) -> None:
    async with running(tmp_path, 3) as cluster:
        await cluster.whole(3)
        supervisor = cluster.supervisor
        await supervisor.SetMemberCount(pb.SetMemberCountRequest(count=4), timeout=5)
        await cluster.until(lambda status: status.HasField("plan"))
        os.kill(cluster.keeper.processes["supervisor-0"].pid, signal.SIGKILL)
        await cluster.whole(4, least=3)
        assert set((await cluster.copies()).values()) == {12}
        await supervisor.SetMemberCount(pb.SetMemberCountRequest(count=3), timeout=5)
        await cluster.until(lambda status: status.alive_members == 3 and status.whole_partitions)
        await cluster.whole(3)
        assert set((await cluster.copies()).values()) == {16}
        await until(lambda: "storage-3" not in cluster.keeper.processes)
