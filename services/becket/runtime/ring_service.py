"""RingService, for every process that knows the ring: storage, router, supervisor.

Owns the answers. Must not fetch a ring: each process keeps its own view. Invariant: a watcher is
sent what is newest when it reads, so a slow one holds up nobody and queues nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from time import monotonic
from typing import Any

import grpc

from becket.adapters.rpc.ring_view import RingView
from becket.adapters.rpc.rings import (
    config_to_proto,
    coordinator_to_proto,
    member_to_proto,
    ring_to_proto,
)
from becket.api.v1 import ring_pb2 as pb
from becket.api.v1 import ring_pb2_grpc as rpc
from becket.api.v1 import types_pb2
from becket.core import hashing
from becket.core.errors import InvalidInputError, NotFoundError, RetryLaterError
from becket.core.limits import Limits
from becket.core.placement.planner import place
from becket.core.placement.result import Constraints
from becket.core.replication.versions import Epoch
from becket.core.ring.config import Disk
from becket.core.ring.members import USUAL_WEIGHT, Member
from becket.core.ring.ring import Ring
from becket.ports.directory import Directory

Context = grpc.aio.ServicerContext[Any, Any]

GATHER_S = 0.002
"""After a change a watcher waits so long for others that come with it."""

PAUSE_S = 0.02
"""Between two messages of a watch: when many partitions move, each is news for every watcher."""

LATER_S = 0.5
"""What sends no call astray may be told so late, with all that comes meanwhile; see ``_wait``."""


class RingServicer(rpc.RingServiceServicer):
    """The service."""

    def __init__(
        self, view: RingView, directory: Directory, limits: Limits, *, stream_age_s: float
    ) -> None:
        self._view = view
        self._directory = directory
        self._limits = limits
        self._stream_age_s = stream_age_s
        self._stopping = asyncio.Event()

    def end_watches(self) -> None:
        """Let every watch end: its caller opens another one elsewhere."""
        self._stopping.set()

    async def GetRing(  # noqa: N802
        self, request: pb.GetRingRequest, context: Context
    ) -> pb.GetRingResponse:
        """The whole ring, unless the caller has it."""
        del context
        ring = self._ring()
        answer = pb.GetRingResponse(coordinators=self._coordinators(ring, {}))
        if ring.version > request.known_version:
            answer.ring.CopyFrom(ring_to_proto(ring, self._directory.address_of))
        return answer

    async def WatchRing(  # noqa: N802
        self, request: pb.WatchRingRequest, context: Context
    ) -> AsyncIterator[pb.WatchRingResponse]:
        """The ring and its coordinators, now and after each change."""
        del context
        age_s = self._stream_age_s * random.uniform(0.8, 1.2)  # noqa: S311 - spreads reconnects
        sent: Ring | None = None
        known_version = request.known_version
        told: dict[int, Epoch] = {}
        addresses: dict[str, str | None] = {}
        serial = -1
        try:
            async with asyncio.timeout(age_s):
                while not self._stopping.is_set():
                    serial = self._view.serial
                    ring = self._view.ring
                    if ring is not None:
                        answer = self._change(sent, ring, known_version)
                        self._add_addresses(answer, ring, addresses)
                        answer.coordinators.extend(self._coordinators(ring, told))
                        sent, known_version = ring, ring.version
                        if answer.ByteSize():
                            yield answer
                    await self._wait(serial, told, addresses)
        except TimeoutError:
            return

    async def _wait(
        self, serial: int, told: Mapping[int, Epoch], addresses: Mapping[str, str | None]
    ) -> None:
        """Until there is something to tell now, or every watch is to end.

        A partition that another member coordinates, or a member that answers elsewhere, is told at
        once. The rest of a change of the ring (a replica set that begins to change or has, a reign
        that its coordinator takes up anew) is told later, each watcher at a moment of its own: a
        change is several such news, every process watches several, and those that move a partition
        are busy with it at this very moment.
        """
        earliest = monotonic() + PAUSE_S
        latest: float | None = None
        while not self._stopping.is_set():
            await self._changed(serial, latest)
            serial = self._view.serial
            now = monotonic()
            if latest is None:
                latest = now + random.uniform(0.2, 1.0) * LATER_S  # noqa: S311 - spreads work
            if now >= latest or self._is_urgent(told, addresses):
                await asyncio.sleep(max(GATHER_S, earliest - now))
                return

    async def _changed(self, serial: int, latest: float | None) -> None:
        """Until the view is another, or that moment, or every watch is to end."""
        change = asyncio.ensure_future(self._view.changed(serial))
        stop = asyncio.ensure_future(self._stopping.wait())
        timeout = None if latest is None else max(0.0, latest - monotonic())
        try:
            await asyncio.wait({change, stop}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            change.cancel()
            stop.cancel()

    def _is_urgent(self, told: Mapping[int, Epoch], addresses: Mapping[str, str | None]) -> bool:
        """Whether a watcher that knows no more than this sends calls where nobody takes them."""
        for partition, epoch in self._view.table.epochs.items():
            known = told.get(partition)
            if known is None or known.disk != epoch.disk:
                return True
        ring = self._view.ring
        if ring is None:
            return False
        address_of = self._directory.address_of
        return any(addresses.get(member.name) != address_of(member.name) for member in ring.members)

    def _change(self, sent: Ring | None, ring: Ring, known_version: int) -> pb.WatchRingResponse:
        if sent is None:
            if ring.version <= known_version:
                return pb.WatchRingResponse()
            return pb.WatchRingResponse(ring=ring_to_proto(ring, self._directory.address_of))
        if ring.version == sent.version:
            return pb.WatchRingResponse()
        change = pb.RingChange(from_version=sent.version, to_version=ring.version)
        address_of = self._directory.address_of
        for member in ring.members:
            if sent.by_disk.get(member.disk) != member:
                change.members.append(member_to_proto(member, address_of(member.name)))
        change.removed_disk_ids.extend(sorted(sent.by_disk.keys() - ring.by_disk.keys()))
        for partition, (old, new) in enumerate(zip(sent.configs, ring.configs, strict=True)):
            if old != new:
                change.partitions.append(config_to_proto(partition, new))
        return pb.WatchRingResponse(change=change)

    def _add_addresses(
        self, answer: pb.WatchRingResponse, ring: Ring, told: dict[str, str | None]
    ) -> None:
        """Members that answer elsewhere than the watcher was told; that alone changes no ring."""
        address_of = self._directory.address_of
        now = {member.name: address_of(member.name) for member in ring.members}
        if not answer.HasField("ring"):
            named = {member.disk_id for member in answer.change.members}
            moved = [
                member_to_proto(member, now[member.name])
                for member in ring.members
                if now[member.name] != told.get(member.name) and member.disk not in named
            ]
            if moved and not answer.HasField("change"):
                answer.change.from_version = answer.change.to_version = ring.version
            answer.change.members.extend(moved)
        told.clear()
        told.update(now)

    def _coordinators(self, ring: Ring, told: dict[int, Epoch]) -> list[types_pb2.Coordinator]:
        """Those that are not in ``told`` yet, which is brought up to date."""
        found = []
        for partition, epoch in self._view.table.epochs.items():
            if told.get(partition) != epoch:
                told[partition] = epoch
                found.append(self._coordinator(ring, partition, epoch))
        return found

    def _coordinator(self, ring: Ring, partition: int, epoch: Epoch) -> types_pb2.Coordinator:
        name = ring.name_of(epoch.disk)
        return coordinator_to_proto(partition, epoch, name, self._directory.address_of(name))

    async def Locate(  # noqa: N802
        self, request: pb.LocateRequest, context: Context
    ) -> pb.LocateResponse:
        """Where a key or a partition is."""
        del context
        ring = self._ring()
        target = request.WhichOneof("target")
        if target is None:
            raise InvalidInputError("target", "has none of key and partition set")
        if target == "key":
            self._limits.check_key(request.key)
            partition = ring.partition_of(request.key)
        else:
            partition = request.partition
            if partition >= ring.partitions:
                problem = f"{partition} is not in 0..{ring.partitions - 1}"
                raise InvalidInputError("partition", problem)
        answer = pb.LocateResponse(
            partition=partition,
            replicas=self._members(ring, ring.configs[partition].members),
            ring_version=ring.version,
        )
        table = self._view.table
        if table.coordinator(partition) is not None:
            epoch = table.epochs[partition]
            answer.coordinator.CopyFrom(self._coordinator(ring, partition, epoch))
        return answer

    async def Explain(  # noqa: N802
        self, request: pb.ExplainRequest, context: Context
    ) -> pb.ExplainResponse:
        """Why a key is where it is, and what if members came or went."""
        del context
        ring = self._ring()
        self._limits.check_key(request.key)
        slot = hashing.slot(request.key)
        partition = ring.partition_of(request.key)
        config = ring.configs[partition]
        hashed = hashing.hashed_part(request.key)
        tag = "" if hashed == request.key else f" of its hash tag {hashed!r}"
        holders = ", ".join(ring.name_of(disk) for disk in config.old)
        answer = pb.ExplainResponse(
            slot=slot,
            partition=partition,
            replicas=self._members(ring, config.members),
            ring_version=ring.version,
        )
        upper = f"its upper bits are partition {partition} of {ring.partitions}"
        answer.sentences.append(f"the hash{tag} is {slot}, and {upper}")
        kept = f"keeps this partition on {holders}, under generation {config.gen}"
        answer.sentences.append(f"ring version {ring.version} {kept}")
        if config.new is not None:
            names = ", ".join(ring.name_of(d) for d in config.new)
            answer.sentences.append(f"a change to {names} is under way")
        coordinator = self._view.table.coordinator(partition)
        if coordinator is not None:
            epoch = self._view.table.epochs[partition]
            name = ring.name_of(coordinator)
            answer.sentences.append(f"{name} coordinates it under epoch {epoch.counter}")
        if request.joining or request.leaving:
            await self._what_if(ring, request, answer)
        return answer

    async def _what_if(
        self, ring: Ring, request: pb.ExplainRequest, answer: pb.ExplainResponse
    ) -> None:
        names = {member.name for member in ring.members}
        for name in request.leaving:
            if name not in names:
                raise NotFoundError(f"leaving: there is no member {name}")
        members = [member for member in ring.members if member.name not in request.leaving]
        for place_ in request.joining:
            if not place_.name:
                raise InvalidInputError("joining.name", "must not be empty")
            weight = place_.weight or USUAL_WEIGHT
            disk = f"(new) {place_.name}"
            members.append(Member(disk, place_.name, place_.zone, place_.node, weight))
        # Planning takes some 50 ms for a large ring: not in the loop that serves calls.
        placement = await asyncio.to_thread(place, ring, members, Constraints(ring.replicas))
        after = placement.replicas[answer.partition]
        known = {member.disk: member for member in members}
        answer.replicas_after.extend(member_to_proto(known[disk]) for disk in after)
        answer.moved_copies = len(placement.moves)
        answer.sentences.extend(placement.sentences)

    def _ring(self) -> Ring:
        ring = self._view.ring
        if ring is None:
            raise RetryLaterError("no ring is known here yet", after_ms=200)
        return ring

    def _members(self, ring: Ring, disks: tuple[Disk, ...]) -> list[types_pb2.Member]:
        found = []
        for disk in disks:
            member = ring.by_disk.get(disk)
            if member is not None:
                found.append(member_to_proto(member, self._directory.address_of(member.name)))
        return found
