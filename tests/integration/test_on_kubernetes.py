"""Real members under supervisors on a fake Kubernetes: scaled up and down while a client writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from becket.api.v1 import supervisor_pb2 as pb
from becket.client.client import Client
from becket.core.membership.settings import SECOND, MembershipSettings
from becket.core.plans.throttle import ThrottleSettings
from becket.core.replication.settings import Settings
from becket.core.supervision import deciding
from becket.core.supervision.pacing import PacingSettings
from becket.ports.directory import Place
from tests.integration.members import Members, RunningMember
from tests.unit.adapters.kubernetes.fake_api import FakeApi
from tests.unit.adapters.kubernetes.release import SET
from tests.unit.supervisor.kubernetes_scene import Scene, supervising


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "CALM_US", 100_000)


PATIENT = MembershipSettings(suspicion_us=2 * SECOND, report_us=20 * SECOND)
"""Nobody is suspected here because one loop, on a busy machine, stands still for all of them."""

RULES = Settings(return_us=3600 * SECOND, suspicion_us=PATIENT.suspicion_us)

UNHURT = PacingSettings(ThrottleSettings(p99_limit_ms=60_000))
"""What a plan does to callers slows none down here: in one loop they all wait for everybody."""

BEAT_S = 0.01
"""Between two writes: one loop does the work of everybody."""


class RealPods(Scene):
    """A scene whose pods are storage services in this process, each on a volume of its own."""

    def __init__(self, api: FakeApi, folder: Path) -> None:
        super().__init__(api, folder)
        self.members = Members(folder)
        self._addresses = 0

    async def control(self) -> None:
        """What the StatefulSet's controller does, and the kubelet."""
        while True:
            wished = self.release.replicas
            for ordinal in range(wished):
                if f"{SET}-{ordinal}" not in self.members.running:
                    await self.run(ordinal)
            for name in [n for n in self.members.running if ordinal_of(n) >= wished]:
                await self.end(name)
            for name in self.members.running:
                ordinal = ordinal_of(name)
                self.release.ready(ordinal, ready=self.release.gate(ordinal) == "True")
            await asyncio.sleep(0.02)

    async def run(self, ordinal: int) -> None:
        """A pod comes up on its volume, at another address."""
        self._addresses += 1
        name, host = f"{SET}-{ordinal}", f"127.0.2.{self._addresses}"
        where, rules = f"{host}:{self.port}", {"membership": PATIENT, "replication": RULES}
        member = RunningMember(self.members, name, listen=where, **rules)
        self.members.running[name] = member  # From now on it is ended with the others.
        await member.host.listening.wait()
        self.port = int(member.address.rpartition(":")[2])
        self.members.directory.all[name] = Place(name, "storage", member.address)
        self.release.claim(ordinal)
        self.release.node(f"node-{ordinal}")
        self.release.pod(ordinal, host, node=f"node-{ordinal}")

    async def end(self, name: str) -> None:
        """A pod is told to stop, and is gone when it has."""
        await self.members.running[name].end()
        del self.members.running[name]
        self.release.remove_pod(ordinal_of(name))
        del self.members.directory.all[name]


def ordinal_of(name: str) -> int:
    return int(name.rpartition("-")[2])


@asynccontextmanager
async def installed(folder: Path, replicas: int) -> AsyncIterator[RealPods]:
    async with FakeApi() as api:
        scene = RealPods(api, folder)
        scene.release.install(replicas)
        controller = asyncio.create_task(scene.control())
        try:
            await scene.until(lambda: scene.members.running)
            yield scene
        finally:
            controller.cancel()
            await asyncio.gather(controller, return_exceptions=True)
            await scene.members.end()


class Writer:
    """Writes all the time, and remembers what was acknowledged."""

    def __init__(self, client: Client) -> None:
        self.acknowledged: dict[str, bytes] = {}
        self._client = client
        self._task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        number = 0
        while True:
            number += 1
            key, value = f"key-{number % 200}", str(number).encode()
            await self._client.put(key, value, timeout=20)
            self.acknowledged[key] = value
            await asyncio.sleep(BEAT_S)

    async def end(self) -> None:
        """Stop, and find everything that was acknowledged."""
        self._task.cancel()
        results = await asyncio.gather(self._task, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError), results
        assert len(self.acknowledged) == 200
        for key, value in self.acknowledged.items():
            entry = await self._client.get(key, timeout=20)
            assert entry is not None
            # The write that was cut off may have taken place.
            assert int(entry.value) - int(value) in (0, 200)


async def test_scale_up_and_down_under_load_with_a_leader_killed_in_the_middle(
    tmp_path: Path,
) -> None:
    async with (
        installed(tmp_path, 3) as scene,
        supervising(scene, "supervisor-a", membership=PATIENT, pacing=UNHURT) as one,
        supervising(scene, "supervisor-b", membership=PATIENT, pacing=UNHURT) as two,
    ):
        await scene.settled(3)
        addresses = [member.address for member in scene.members.running.values()]
        async with Client(*addresses, timeout=20) as client:
            writer = Writer(client)
            await scene.until(lambda: len(writer.acknowledged) == 200)
            leader, other = (one, two) if one.cycle.reign.may_act else (two, one)
            await other.calls.SetMemberCount(pb.SetMemberCountRequest(count=5))
            await scene.settled(5)
            await scene.until(lambda: all(scene.release.gate(i) == "True" for i in range(5)))
            await leader.calls.SetMemberCount(pb.SetMemberCountRequest(count=3))
            await scene.until(lambda: scene.ring is not None and scene.ring.joint_partitions)
            await leader.kill()
            await scene.settled(3)
            await scene.until(lambda: scene.release.replicas == 3)
            await scene.until(lambda: len(scene.members.running) == 3)
            await writer.end()
        up, down = list(scene.scales())[:2], list(scene.scales())[2:]
        assert [count for count, _ in up] == [3, 5]
        # A pod may go as soon as its member is out of the ring, before the next one is empty.
        counts = [count for count, _ in down]
        assert counts in ([3], [4, 3])
        for count, ring in down:
            assert ring is not None
            assert len(ring.members) <= count
