"""The storage service: its parts, their wiring, and the order of a life.

Owns nothing but the composition. Start: open the disk (incarnation raised durably), recover the
core, take up the kept ring, link to the peers. Stop: hand every partition over, answer what is in
flight, end the streams (PROTOCOL R24). A failed write or sync ends the process at once.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence

import grpc

from becket.adapters import clocks
from becket.adapters.rpc.ring_view import RingView
from becket.api.v1 import disk_pb2_grpc, key_value_pb2_grpc, replica_pb2_grpc, ring_pb2_grpc
from becket.api.v1 import replica_pb2 as pb
from becket.core.membership.detector import HealthChange
from becket.core.replication.member import Member
from becket.core.replication.messages import Message
from becket.core.replication.versions import Epoch, Identity
from becket.core.ring.config import Disk as DiskId
from becket.core.ring.ring import Ring
from becket.ports.directory import LearningDirectory
from becket.ports.engine import EngineFailedError
from becket.runtime.ring_service import RingServicer
from becket.runtime.service import Runtime
from becket.storage.addresses import Addresses
from becket.storage.beats import Beats
from becket.storage.calls import Calls, Space
from becket.storage.commits import Commits
from becket.storage.copy_pace import CopyPace
from becket.storage.damaged_disk import DamagedDisk, DiskGivenUpError
from becket.storage.disk import Disk
from becket.storage.disk_service import DiskServicer
from becket.storage.hellos import Hellos
from becket.storage.instruments import observe
from becket.storage.key_value_service import KeyValueServicer
from becket.storage.links import Links
from becket.storage.load import LoadMeasure, LoadReports
from becket.storage.member_reports import MemberReports
from becket.storage.replica_service import ReplicaServicer
from becket.storage.ring_keeper import RingKeeper
from becket.storage.scans import Scans
from becket.storage.settings import MIB, StorageSettings
from becket.storage.shell import Shell
from becket.storage.traces import Traces

HAND_OVER_S = 3.0
"""A stop waits so long for successors; whoever is not taken over by then is taken over later."""

HAND_OVER_IDLE_S = 0.4
"""A stop waits no longer than this for somebody to hand over to."""

HAND_OVER_STEP_S = 0.01
"""How often a stop looks which partitions have been taken over, to hand over the next ones."""

LOOK_EVERY_S = 1.0
"""How often the disk is looked at: its room, and whether all of it has read."""


class StorageService:
    """One member."""

    def __init__(
        self, runtime: Runtime, settings: StorageSettings, directory: LearningDirectory, disk: Disk
    ) -> None:
        self._runtime = runtime
        self._settings = settings
        self._directory = directory
        self._disk = disk
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.space = Space()
        self._damaged = DamagedDisk(disk, runtime.log)
        self._told: dict[int, Epoch] = {}
        identity, view = disk.identity, RingView()
        durable = settings.durability == "fsync"
        commits = Commits(disk.engine, self._fail, durable=durable)
        member = Member(
            settings.replication, identity, (disk.cells, disk.recovered), clocks.monotonic_us()
        )
        self._view = view
        self._addresses = Addresses(view, directory)
        self.shell = Shell(member, disk.cells, commits)
        self._hellos = Hellos(identity)
        if settings.advertise:
            self._hellos.address = settings.advertise
            directory.learn(settings.name, settings.advertise)
        self._keeper = RingKeeper(view, self.shell, self._hellos)
        self._beats = Beats(settings.membership, identity, view)
        self._links = Links(self._hellos, self, self._beats, self._addresses.of)
        self._calls = Calls(self.shell, view, self.space, answer_bytes=settings.limits.batch_bytes)
        scans = Scans(self.shell, view, disk.cells, self._calls, settings.limits)
        measure = LoadMeasure(self._calls, lambda: runtime.load.loop_wait_s)
        self._reports = MemberReports(
            self.shell,
            self._hellos,
            lambda: self._beats.suspects,
            (disk.cells.damage, settings.data_folder),
            measure=measure,
            latencies=self._calls.latencies,
        )
        self.load = LoadReports(identity, self._calls, measure, settings.data_folder)
        runtime.load.shares = lambda: {"disk": self.load.disk_used()}
        self._pace = CopyPace(settings.copying, self._calls.latencies)
        self._traces = Traces(runtime.tracer, commits)
        self._key_values = KeyValueServicer(
            self._calls,
            scans,
            self._traces,
            settings.limits,
            default_s=settings.default_deadline_ms / 1000,
        )
        self._rings = RingServicer(
            view, directory, settings.limits, stream_age_s=settings.stream_age_s
        )
        self._wire()

    def _wire(self) -> None:
        parts = (self._links, self._keeper, self._disk.cells.damage)
        observe(self._runtime.meter, self.shell, self._calls, parts)
        self.shell.network = self._links
        self.shell.on_change = self._on_change
        self.shell.on_failure = self._fail
        self._keeper.on_ring = self._on_ring
        self._beats.beat = self._links.beat
        self._beats.suspect = self.shell.suspect
        self._beats.on_change = self._on_health
        self._links.on_error = self._on_link_error
        self._links.on_fault = self._fail

    # Service

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Register the servicers."""
        replicas = ReplicaServicer(
            self._links, self, self._beats, self._keeper, self._reports.watch
        )
        replica_pb2_grpc.add_ReplicaServiceServicer_to_server(replicas, server)
        key_value_pb2_grpc.add_KeyValueServiceServicer_to_server(self._key_values, server)
        ring_pb2_grpc.add_RingServiceServicer_to_server(self._rings, server)
        disk_pb2_grpc.add_DiskServiceServicer_to_server(DiskServicer(self._give_up), server)
        return [
            "becket.api.v1.DiskService",
            "becket.api.v1.KeyValueService",
            "becket.api.v1.RingService",
            "becket.api.v1.ReplicaService",
        ]

    async def start(self, address: str) -> None:
        """Take up the kept ring; ready once there is one."""
        log, identity = self._runtime.log, self._disk.identity
        if self._disk.lost:
            log.error("disk lost, a new one begins", why=self._disk.lost)
        log.info("disk open", disk=identity.disk, incarnation=identity.incarnation, address=address)
        self._watch_space()
        if self._view.ring is None:
            self._runtime.health.set_ready(ready=False, reason="waits for a ring")
        self._keeper.restore(self._disk.cells.ring())

    async def run(self) -> None:
        """Let time pass, until the disk fails."""
        tick_s = self._settings.tick_ms / 1000
        loop = asyncio.get_running_loop()
        reporting = asyncio.create_task(
            self.load.run(self._directory, self._settings.balancer_address)
        )
        watching = asyncio.create_task(self._keep_watching_disk())
        try:
            due = loop.time()
            while not self._failure.done():
                self.shell.tick(self._pace.copies(clocks.monotonic_us()))
                if self._damaged.is_known:
                    # Lists of its own would never end here, and others can tell what it lacks.
                    self.shell.hand_over()
                self._beats.tick()
                due = max(due + tick_s, loop.time())
                await asyncio.wait({self._failure}, timeout=due - loop.time())
            raise self._failure.result()
        finally:
            reporting.cancel()
            watching.cancel()
            await asyncio.gather(reporting, watching, return_exceptions=True)

    async def drain(self) -> None:
        """Hand every partition over; what is parked is answered with its new coordinator."""
        loop = asyncio.get_running_loop()
        end = loop.time() + min(HAND_OVER_S, self._settings.stop_grace_s / 2)
        left, moved = self.shell.hand_over(), loop.time()
        while left and loop.time() < min(end, moved + HAND_OVER_IDLE_S):
            await asyncio.sleep(HAND_OVER_STEP_S)
            before, left = left, self.shell.hand_over()
            # None is under way and none has gone: nobody is there who could take over.
            if not left == before == len(self.shell.member.reigns()):
                moved = loop.time()
        if left:
            self._runtime.log.warning("partitions were not taken over", count=left)
        # Callers that were parked learn of their new coordinator, and are answered.
        park_s = self._settings.replication.park_us / 1_000_000
        await asyncio.sleep(park_s + 2 * self._settings.tick_ms / 1000)
        self._key_values.end_pipelines()
        self._rings.end_watches()
        self._reports.stop()

    async def close(self) -> None:
        """Close the links, then the disk."""
        self.shell.stop()
        await self._keeper.close()
        await self._links.close()
        self.shell.commits.close()
        self._disk.close()

    # What the parts tell each other

    def receive(self, sender: Identity, messages: Sequence[Message]) -> None:
        """Messages of a peer."""
        self.shell.receive(sender, messages)

    def traced(self, parents: Sequence[str], entries: int) -> None:
        """An envelope belongs to sampled traces."""
        self._traces.envelope(parents, entries)

    def heard(self, sender: Identity) -> None:
        """A sign of life of a peer."""
        self._beats.heard(sender)

    def closed(self, disk: DiskId) -> None:
        """A stream to this peer has broken."""
        self._beats.closed(disk)

    def greeted(self, peer: Identity, hello: pb.Hello) -> None:
        """A peer has told of its ring and its address."""
        if hello.address:
            self._addresses.said(peer.disk, hello.address)
        self._links.redial(peer)
        self._keeper.fetch(self._addresses.of(peer.disk), hello.ring_version)

    def _on_ring(self, ring: Ring) -> None:
        disks = frozenset(ring.by_disk)
        own = self._disk.identity.disk
        self._hellos.forget_others(disks)
        self._addresses.set_ring(ring)
        self._links.set_peers(disks - {own})
        self._beats.set_members(disks)
        self._pace.set_ring(ring)
        self._reports.wake()
        if own in disks:
            self._runtime.health.set_ready(ready=True, reason=f"ring {ring.version}")
        else:
            self._runtime.health.set_ready(ready=False, reason="waits to be in the ring")

    def _on_change(self) -> None:
        """A reign has begun or ended here, or a copy is complete."""
        reigns = {p: reign.epoch for p, reign in self.shell.member.reigns().items()}
        news = {p: epoch for p, epoch in reigns.items() if self._told.get(p) != epoch}
        self._told = reigns
        for partition, epoch in news.items():
            self._view.offer_coordinator(partition, epoch)
        ring = self._view.ring
        if news and ring is not None:
            peers = [member.disk for member in ring.members]
            self._beats.tell(news, peers)
            self._links.beat(peers)
        self._reports.wake()

    def _on_health(self, change: HealthChange) -> None:
        ring = self._view.ring
        name = ring.name_of(change.identity.disk) if ring is not None else change.identity.disk
        self._runtime.log.info(
            "health",
            member=name,
            before=change.before.value,
            after=change.after.value,
            why=change.sentence,
        )
        self._reports.wake()

    def _on_link_error(self, disk: DiskId, error: BaseException) -> None:
        self._runtime.log.debug("link broken", peer=disk, why=str(error))

    def _give_up(self, cluster: str, disk: DiskId) -> None:
        """The supervisor's word; raises as ``DamagedDisk.give_up``."""
        self._damaged.give_up(self._hellos.cluster, cluster, disk)
        self._fail(DiskGivenUpError(f"disk {disk} is given up for an empty one"))

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, EngineFailedError) and error.is_corrupt:
            # The next process must not try what this one has failed at.
            self._damaged.note(str(error))
        if not self._failure.done():
            self._failure.set_result(error)

    def _watch_space(self) -> None:
        free = shutil.disk_usage(self._settings.data_folder).free
        full = free < self._settings.full_mib * MIB
        if full != self.space.full:
            self.space.full = full
            self._runtime.log.warning("disk space", full=full, free_mib=free // MIB)

    async def _keep_watching_disk(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._watch_space()
            if self._damaged.look():
                self._reports.wake()
