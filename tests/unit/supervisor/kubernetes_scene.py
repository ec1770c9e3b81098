"""Supervisors on a fake Kubernetes: its API, and a StatefulSet whose pods are stand-ins.

Owns a controller that does what the StatefulSet's does: it makes and deletes pods as the scale
says, and calls a pod ready when its gate is open. Pods have addresses of their own on loopback.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc

from becket.adapters.kubernetes.topology import KEY
from becket.api.v1 import supervisor_pb2 as pb
from becket.api.v1 import supervisor_pb2_grpc as supervisor_rpc
from becket.core.ring.encoding import decode
from becket.core.ring.ring import Ring
from becket.runtime.contract import Runtime
from becket.runtime.host import Host
from becket.runtime.logs import open_log
from becket.supervisor.on_kubernetes import build_on_kubernetes
from becket.supervisor.service import SupervisorProcess
from becket.supervisor.settings import SupervisorSettings
from tests.unit.adapters.kubernetes.fake_api import FakeApi, settings_for
from tests.unit.adapters.kubernetes.release import RING_PATH, SET, Release
from tests.unit.supervisor.stand_ins import StandIn

PATIENCE_S = 40.0


class Scene:
    """The API, the release, its pods, and the means to wait."""

    def __init__(self, api: FakeApi, folder: Path) -> None:
        self.api = api
        self.release = Release(api)
        self.kubeconfig = api.write_kubeconfig(folder / "kubeconfig")
        self.pods: dict[int, StandIn] = {}
        self.volumes: dict[int, tuple[str, Ring | None, bytes]] = {}
        """What is left of a pod that was removed: disk, ring."""
        self.held: set[int] = set()
        """Ordinals that get no pod, as where no node has room."""
        self.port = 0
        self.offices: list[Office] = []
        self._starts = 0
        self._formatted = 0

    # What the controller of the StatefulSet does

    async def control(self) -> None:
        """Follow the scale for ever."""
        while True:
            wished = self.release.replicas
            for ordinal in range(wished):
                if ordinal not in self.pods and ordinal not in self.held:
                    await self.start(ordinal)
            for ordinal in [each for each in self.pods if each >= wished]:
                await self.stop(ordinal)
            for ordinal in self.pods:
                ready = self.release.gate(ordinal) == "True"
                self.release.ready(ordinal, ready=ready)
            await asyncio.sleep(0.01)

    async def start(self, ordinal: int, *, wiped: bool = False) -> StandIn:
        """A pod comes up, on its volume or on an empty one, at an address of its own."""
        self._starts += 1
        disk, ring, encoded = self.volumes.pop(ordinal, ("", None, b""))
        if wiped or not disk:
            self._formatted += 1
            disk, ring, encoded = f"disk-{ordinal}-{self._formatted}", None, b""
        pod = self.pods[ordinal] = StandIn(disk)
        pod.ring, pod.encoded, pod.incarnation = ring, encoded, self._starts
        await pod.start(self.port, f"127.0.1.{self._starts}")
        host, port = pod.address.rsplit(":", 1)
        self.port = int(port)
        self.release.claim(ordinal)
        self.release.node(f"node-{ordinal}", f"zone-{ordinal % 3}")
        self.release.pod(ordinal, host, node=f"node-{ordinal}")
        return pod

    async def stop(self, ordinal: int) -> None:
        """A pod is gone; its volume stays."""
        pod = self.pods.pop(ordinal)
        self.volumes[ordinal] = (pod.disk, pod.ring, pod.encoded)
        self.release.remove_pod(ordinal)
        await pod.stop()

    # What there is

    @property
    def ring(self) -> Ring | None:
        """The ring in its object."""
        found = self.api.take(RING_PATH)
        data = {} if found is None else found.get("binaryData") or {}
        return _decoded(data[KEY]) if data.get(KEY) else None

    @property
    def has_ring(self) -> bool:
        """Whether there is one."""
        return self.ring is not None

    async def until(self, condition: Callable[[], Any]) -> Any:  # noqa: ANN401
        """What the condition says, once that is true; the error tells what was said meanwhile."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not (found := condition()):  # noqa: ASYNC110 - many things change
                    await asyncio.sleep(0.01)
        except TimeoutError:
            said = [f"{office.name}: {each}" for office in self.offices for each in office.last()]
            raise AssertionError("waited in vain; " + "\n".join(said)) from None
        return found

    async def settled(self, count: int) -> Ring:
        """The ring, once exactly so many members hold everything and nothing is under way."""
        wished = [f"{SET}-{ordinal}" for ordinal in range(count)]

        def look() -> Ring | None:
            ring = self.ring
            if ring is None or ring.joint_partitions:
                return None
            holding = {ring.name_of(d) for c in ring.configs for d in c.members}
            names = sorted(member.name for member in ring.members)
            return ring if names == wished == sorted(holding) else None

        found: Ring = await self.until(look)
        return found

    def notes(self) -> list[str]:
        """The notes of all Events."""
        return [o["note"] for place, o in self.api.store.objects.items() if place.kind == "events"]

    def scales(self) -> Iterator[tuple[int, Ring | None]]:
        """Each scale that was written, with the ring as it was then."""
        ring: Ring | None = None
        for change in self.api.store.history:
            after = change.after
            if after is None:
                continue
            if change.place.kind == "configmaps" and change.place.name == "becket-ring":
                data = (after.get("binaryData") or {}).get(KEY)
                ring = _decoded(data) if data else ring
            if change.place.kind == "statefulsets" and change.before is not None:
                count = after["spec"]["replicas"]
                if count != change.before["spec"]["replicas"]:
                    yield count, ring

    async def close(self) -> None:
        """Stop every pod."""
        for pod in self.pods.values():
            await pod.stop()


def _decoded(text: str) -> Ring:
    return decode(base64.b64decode(text))


class Office:
    """A supervisor process, and a stub to call it."""

    def __init__(self, host: Host, process: SupervisorProcess, channel: grpc.aio.Channel) -> None:
        self.host = host
        self.process = process
        self.cycle = process.cycle
        self.name = host.runtime.settings.name
        self.calls: Any = supervisor_rpc.SupervisorServiceStub(channel)
        self.stop = asyncio.Event()
        self.running: asyncio.Task[int] | None = None

    async def status(self) -> pb.GetStatusResponse:
        answer: pb.GetStatusResponse = await self.calls.GetStatus(pb.GetStatusRequest())
        return answer

    def sentences(self) -> list[str]:
        return [event.sentence for event in self.cycle.events.after(0)]

    def last(self) -> list[str]:
        """What was said last, and the state as of now."""
        return [*self.sentences()[-30:], *(each.sentence for each in self.cycle.decision.said)]

    def said(self, text: str) -> bool:
        return any(text in sentence for sentence in self.sentences())

    async def kill(self) -> None:
        """It is gone as a killed process is: nothing is released."""
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
            # The end of a process gives its sockets back.
            await self.process.close()

    async def terminate(self) -> None:
        """SIGTERM, and the end of what follows."""
        self.stop.set()
        if self.running is not None:
            await self.running


@asynccontextmanager
async def installed(replicas: int = 3) -> AsyncIterator[Scene]:
    """A release of which nothing runs but its pods."""
    with TemporaryDirectory() as folder:
        async with FakeApi() as api:
            scene = Scene(api, Path(folder))
            scene.release.install(replicas)
            controller = asyncio.create_task(scene.control())
            try:
                await scene.until(lambda: scene.pods)
                yield scene
            finally:
                controller.cancel()
                await asyncio.gather(controller, return_exceptions=True)
                await scene.close()


@asynccontextmanager
async def supervising(
    scene: Scene,
    name: str = "supervisor-0",
    **settings: Any,  # noqa: ANN401
) -> AsyncIterator[Office]:
    """A supervisor of the release, until the block ends."""
    port = await _free_port()
    chosen: dict[str, Any] = {
        "name": name,
        "listen": f"127.0.0.1:{port}",
        "partitions": 16,
        "look_ms": 30,
        "gather_ms": 5,
        "refresh_ms": 50,
        "stop_grace_s": 5,
        # Longer than a busy machine stands still.
        "kubernetes": settings_for(storage_port=scene.port, lease_ms=2000, renew_ms=100),
        **settings,
    }
    made: list[SupervisorProcess] = []

    async def build(runtime: Runtime) -> SupervisorProcess:
        given = SupervisorSettings(**chosen)
        made.append(await build_on_kubernetes(runtime, given, kubeconfig=str(scene.kubeconfig)))
        return made[0]

    host = Host("supervisor", SupervisorSettings(**chosen), build, open_log("error", "json"))
    stop = asyncio.Event()
    running = asyncio.create_task(host.run(stop))
    listening = asyncio.create_task(host.listening.wait())
    await asyncio.wait({running, listening}, return_when=asyncio.FIRST_COMPLETED)
    listening.cancel()
    if running.done():
        running.result()
    async with grpc.aio.insecure_channel(host.runtime.address) as channel:
        office = Office(host, made[0], channel)
        office.running, office.stop = running, stop
        scene.offices.append(office)
        try:
            yield office
        finally:
            await office.kill()


async def _free_port() -> int:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port
