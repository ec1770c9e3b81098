"""Who takes part in a ring change is killed amid it: the change ends, and nothing is lost.

A cluster grows from three members to four and shrinks again, over and over, while clients work on
it. At moments that a seed draws, the supervisor, the balancer, the member that copies from or the
one that is copied to is killed (SIGKILL), and started again by its keeper.

``BECKET_PLAN_KILLS`` is the number of kills, ``BECKET_PLAN_SEED`` draws the moments.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import grpc

from becket.adapters.local.topology import FileTopology
from becket.api.v1 import supervisor_pb2 as pb
from becket.api.v1.supervisor_pb2_grpc import SupervisorServiceStub
from becket.cli.verify_workload import Load
from becket.core.membership.settings import MembershipSettings
from becket.core.plans.throttle import ThrottleSettings
from becket.core.ring.config import Disk
from becket.core.ring.members import MemberState
from becket.core.ring.ring import Ring
from becket.testing import Cluster
from tests.probe.loaded import Loaded, under_load

KILLS = int(os.environ.get("BECKET_PLAN_KILLS", "4"))
SEED = int(os.environ.get("BECKET_PLAN_SEED", "1"))
KILLS_A_PLAN = 2
PARTITIONS = 32
FEW, MANY = 3, 4

SUPERVISOR, BALANCER, SOURCE, TARGET = "supervisor", "balancer", "source", "target"
PARTIES = (SUPERVISOR, BALANCER, SOURCE, TARGET)

SLOWEST = ThrottleSettings()
PLAN_S = (
    60.0
    + MembershipSettings().flap_window_us / 1e6
    + 24 * SLOWEST.interval_ms / 1000 / (SLOWEST.least_percent / 100)
)
"""A plan ends within this, on a slow machine too: 24 partitions, one after the other at the
smallest budget. A member that was killed three times within a minute flaps, and for the rest of it
nothing moves."""

LIGHT = Load(writers=2, readers=1, keys=60, batch=8, timeout_s=10.0, rate=200)
LOOK_S = 0.01
SENTENCES = 20


class Moment(NamedTuple):
    """Kill ``party`` once this share of the partitions that change has at least begun to."""

    share: float
    party: str
    later_s: float


def moments(rng: random.Random) -> Iterator[list[Moment]]:
    """The moments of one plan after the other; each party is hit as often as the others."""
    parties: list[str] = []
    while True:
        found = []
        for _ in range(KILLS_A_PLAN):
            parties = parties or rng.sample(PARTIES, len(PARTIES))
            found.append(Moment(rng.random(), parties.pop(), rng.uniform(0, 0.1)))
        yield sorted(found)


@dataclass
class Killed:
    """What was done to a cluster, told at the end and where it fails."""

    story: list[str]
    count: int = 0


class Changing:
    """A cluster whose number of members changes while its processes are killed."""

    def __init__(self, cluster: Cluster, loaded: Loaded, rng: random.Random) -> None:
        self._cluster, self._loaded, self._rng = cluster, loaded, rng
        self._topology = FileTopology(cluster.layout.topology_file)
        self.killed = Killed([])
        self._began = 0.0

    async def ring(self) -> Ring:
        """The ring object."""
        found = await self._topology.read()
        assert found is not None
        return found.ring

    async def scale(self, count: int, plan: list[Moment]) -> None:
        """Wish for ``count`` members, kill at the moments, wait until the change has ended.

        Fails where that takes longer than ``PLAN_S``, or where no moment of it could be hit.
        """
        before = await self.ring()
        self._began = time.monotonic()
        try:
            async with asyncio.timeout(PLAN_S):
                await self._wish(count)
                for moment in plan:
                    await self._reached(before, count, moment)
                    await asyncio.sleep(moment.later_s)
                    await self._kill(moment)
                await self._ended(count)
        except TimeoutError:
            raise AssertionError(
                f"the change to {count} does not end: {self.killed.story}"
            ) from None
        self.killed.story.append(f"{count} members after {time.monotonic() - self._began:.1f} s")

    async def _wish(self, count: int) -> None:
        async with grpc.aio.insecure_channel(self._cluster.address) as channel:
            request = pb.SetMemberCountRequest(count=count)
            await SupervisorServiceStub(channel).SetMemberCount(request, timeout=10)

    async def _reached(self, before: Ring, count: int, moment: Moment) -> None:
        """Wait until the plan is where the moment is, and copying."""
        while True:
            ring = await self.ring()
            moving = moving_disk(before, ring, count)
            if moving is not None:
                total, begun = progress(before, ring, moving)
                if begun >= max(1, math.floor(moment.share * total)) and ring.joint_partitions:
                    return
                assert begun < total, f"the plan was over before {moment}: {self.killed.story}"
            await asyncio.sleep(LOOK_S)

    async def _kill(self, moment: Moment) -> None:
        ring = await self.ring()
        name = await self._name_of(moment.party, ring)
        info = self._cluster.processes[name]
        self._cluster.kill(name)
        joint = len(ring.joint_partitions)
        self.killed.count += 1
        self.killed.story.append(
            f"{time.monotonic() - self._began:.1f} s: {moment.party} {name} is killed at"
            f" {moment.share:.2f}, {joint} under way"
        )
        # Two processes that are away at the same time are not what is tried here.
        while True:
            now = self._cluster.processes.get(name)
            if now is not None and now.restarts > info.restarts:
                return
            await asyncio.sleep(LOOK_S)

    async def _name_of(self, party: str, ring: Ring) -> str:
        if party in (SUPERVISOR, BALANCER):
            return f"{party}-0"
        # What was under way may have ended within the milliseconds before this look.
        partitions = ring.joint_partitions or range(ring.partitions)
        partition = self._rng.choice(partitions)
        config = ring.configs[partition]
        if party == TARGET and config.newcomers:
            return ring.name_of(config.newcomers[0])
        probed = {ring.partition_of(key): key for key in self._loaded.probes.keys}
        found = (await self._loaded.client.locate(probed[partition])).coordinator
        return ring.name_of(config.old[0]) if found is None else found.name

    async def _ended(self, count: int) -> None:
        """Wait until the ring is whole with so many members and no plan is under way."""
        async with grpc.aio.insecure_channel(self._cluster.address) as channel:
            stub, told = SupervisorServiceStub(channel), set[str]()
            while True:
                await asyncio.sleep(5 * LOOK_S)
                try:
                    status = await stub.GetStatus(pb.GetStatusRequest(), timeout=5)
                except grpc.aio.AioRpcError:
                    continue
                self._tell(status, told)
                is_whole = status.whole_partitions == PARTITIONS and not status.HasField("plan")
                members = (await self.ring()).members
                if is_whole and len(members) == count == status.alive_members:
                    return

    def _tell(self, status: pb.GetStatusResponse, told: set[str]) -> None:
        """Each kind of sentence once a plan, so that a slow end explains itself."""
        for sentence in status.sentences:
            kind = re.sub("[0-9]+", "N", sentence)
            if kind not in told and len(told) < SENTENCES:
                told.add(kind)
                self.killed.story.append(f"  {time.monotonic() - self._began:.1f} s: {sentence}")


def moving_disk(before: Ring, ring: Ring, count: int) -> Disk | None:
    """The disk that comes or goes; None while the ring does not show it yet."""
    if count == MANY:
        known = before.by_disk
        return next((m.disk for m in ring.members if m.disk not in known), None)
    leaving = (m.disk for m in ring.members if m.state is not MemberState.ACTIVE)
    return next(leaving, None)


def progress(before: Ring, ring: Ring, disk: Disk) -> tuple[int, int]:
    """How many partitions change, and how many of these have at least begun to."""
    if disk in before.by_disk:
        held = [p for p in range(ring.partitions) if disk in before.configs[p].target]
        return len(held), sum(disk not in ring.configs[p].target for p in held)
    held = [p for p in range(ring.partitions) if disk in ring.configs[p].target]
    return PARTITIONS * 3 // MANY, len(held)


async def test_plans_end_and_lose_nothing_whoever_is_killed_amid_them() -> None:
    rng = random.Random(SEED)
    made = moments(rng)
    cluster = Cluster(FEW, partitions=PARTITIONS, balancer=True, ready_s=60)
    async with cluster, under_load(cluster, LIGHT, is_measured=False) as loaded:
        changing = Changing(cluster, loaded, rng)
        count = FEW
        try:
            while changing.killed.count < KILLS:
                count = FEW + MANY - count
                await changing.scale(count, next(made))
            if count != FEW:
                await changing.scale(FEW, [])
            await loaded.recovered()
        finally:
            print(*changing.killed.story, sep="\n")
            print(f"{loaded.counts}")
