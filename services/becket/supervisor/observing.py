"""Hears every storage process: one stream each, opened again whenever it ends.

Owns the streams, the last report of each process, and what is sent to it over the same connection.
Must not judge: a report is kept as it came, and stays, marked as not connected, when its stream has
ended. Invariants: one stream and one call a process at most; every wait is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import grpc

from becket.adapters import clocks
from becket.adapters.rpc.channels import open_channel
from becket.adapters.rpc.rings import config_to_proto
from becket.api.v1 import disk_pb2, disk_pb2_grpc
from becket.api.v1 import replica_pb2 as pb
from becket.api.v1 import replica_pb2_grpc as rpc
from becket.core.errors import EncodingError
from becket.core.ring.config import Disk
from becket.core.ring.encoding import decode
from becket.core.ring.ring import Ring
from becket.core.supervision.snapshot import Seen
from becket.ports.directory import Directory
from becket.supervisor.parsing import seen_from_proto

Answer = TypeVar("Answer")

LEAST_PAUSE_S, MOST_PAUSE_S = 0.03, 0.5
PAUSE_SHARE = 0.1
"""The pause between two attempts is this share of the time since the process was heard: who is
just being started is found at once, who is away for long costs little."""


@dataclass(frozen=True)
class Times:
    """In seconds: how long a stream may be silent, and a call may take."""

    silence_s: float = 3.0
    call_s: float = 2.0


class _Line:
    """One process: its stream, and calls beside it."""

    def __init__(self, name: str, observer: Observer) -> None:
        self.name = name
        self.seen: Seen | None = None
        self.problem = ""
        self.is_calling = False
        self._observer = observer
        self._channel: grpc.aio.Channel | None = None
        self.task = asyncio.create_task(self._run(), name=f"watch {name}")

    async def _run(self) -> None:
        heard_us = clocks.monotonic_us()
        while True:
            address = self._observer.directory.address_of(self.name)
            if address is not None and await self._watch(address):
                heard_us = clocks.monotonic_us()
            away_s = (clocks.monotonic_us() - heard_us) / 1e6
            pause_s = min(MOST_PAUSE_S, max(LEAST_PAUSE_S, PAUSE_SHARE * away_s))
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load

    async def _watch(self, address: str) -> bool:
        """Listen until the stream ends; whether anything was heard."""
        # A channel of its own: one that failed before would wait before it dials again.
        channel = self._channel = open_channel(address)
        heard = False
        try:
            request = pb.WatchMemberRequest(cluster_id=self._observer.cluster())
            stream = aiter(rpc.ReplicaServiceStub(channel).WatchMember(request))
            while True:
                async with asyncio.timeout(self._observer.times.silence_s):
                    report = await anext(stream, None)
                if report is None:
                    break
                if report.hello.disk_id:
                    heard = True
                    self._take(report, address)
                if self._observer.directory.address_of(self.name) not in (address, None):
                    break  # Another process has the name now.
        except grpc.aio.AioRpcError as error:
            self.problem = error.details() or error.code().name
        except TimeoutError:
            self.problem = f"no report for {self._observer.times.silence_s} s"
        finally:
            self._channel = None
            if self.seen is not None and self.seen.is_connected:
                self.seen = replace(self.seen, is_connected=False)
                self._observer.changed()
            with contextlib.suppress(asyncio.CancelledError):
                await channel.close()
        return heard

    def _take(self, report: pb.WatchMemberResponse, address: str) -> None:
        before, self.problem = self.seen, ""
        now = seen_from_proto(self.name, report, clocks.monotonic_us())
        now = replace(now, address=address)
        if before is not None and before.disk == now.disk and before.cluster == now.cluster:
            # What a call has told of it since it wrote this report.
            version = max(now.ring_version, before.ring_version) if before.is_connected else 0
            now = replace(now, ring=before.ring, ring_version=max(now.ring_version, version))
        self.seen = now
        self._observer.changed()

    async def _ask(self, ask: Callable[[grpc.aio.Channel], Awaitable[Answer]]) -> Answer | None:
        """One call at a time, beside the stream; None where it failed, or cannot be made now."""
        channel = self._channel
        if channel is None or self.is_calling:
            return None
        self.is_calling = True
        try:
            return await ask(channel)
        except (grpc.aio.AioRpcError, grpc.aio.UsageError) as error:
            self.problem = str(error)
            return None
        finally:
            self.is_calling = False

    async def give_up(self, request: disk_pb2.GiveUpDiskRequest) -> None:
        """Let the process give its disk up; failures are tried again by whoever still sees it."""
        call_s = self._observer.times.call_s
        await self._ask(
            lambda channel: disk_pb2_grpc.DiskServiceStub(channel).GiveUpDisk(
                request, timeout=call_s
            )
        )

    async def call(self, request: pb.OfferRingRequest) -> None:
        """Offer, or ask for, a ring; failures are tried again by whoever looks at ``seen``."""
        call_s = self._observer.times.call_s
        answer = await self._ask(
            lambda channel: rpc.ReplicaServiceStub(channel).OfferRing(request, timeout=call_s)
        )
        if answer is None:
            # Whoever refuses is asked again with the next report, not in a circle.
            return
        if self.seen is not None and self.seen.is_connected:
            ring = _decoded(answer.encoded_ring) or self.seen.ring
            version = max(answer.ring_version, self.seen.ring_version)
            self.seen = replace(self.seen, ring_version=version, ring=ring)
            self._observer.changed()


def _decoded(encoded: bytes) -> Ring | None:
    try:
        return decode(encoded) if encoded else None
    except EncodingError:
        return None


class Observer:
    """All storage processes. ``changed`` is called after every change of what is seen."""

    def __init__(
        self,
        directory: Directory,
        *,
        cluster: Callable[[], str],
        changed: Callable[[], None],
        times: Times | None = None,
    ) -> None:
        self.directory = directory
        self.cluster = cluster
        self.changed = changed
        self.times = times or Times()
        self._lines: dict[str, _Line] = {}
        self._calls: set[asyncio.Task[None]] = set()

    def follow(self, names: Iterable[str]) -> None:
        """Hear exactly these processes."""
        wished = set(names)
        for name in self._lines.keys() - wished:
            self._lines.pop(name).task.cancel()
        for name in sorted(wished - self._lines.keys()):
            self._lines[name] = _Line(name, self)

    def seen(self) -> tuple[Seen, ...]:
        """The last report of each process that has ever reported."""
        return tuple(line.seen for line in self._lines.values() if line.seen is not None)

    def problems(self) -> dict[str, str]:
        """Why a process is not heard, by name."""
        return {
            name: line.problem
            for name, line in self._lines.items()
            if line.problem and not (line.seen is not None and line.seen.is_connected)
        }

    def ask_for_ring(self, name: str) -> None:
        """Let this process tell the ring that it holds."""
        self._call(name, pb.OfferRingRequest(cluster_id=self.cluster()))

    def offer(self, name: str, ring: Ring, encoded: bytes, partitions: Sequence[int]) -> None:
        """Tell this process of the ring, and at once of these replica sets."""
        configs = [config_to_proto(partition, ring.configs[partition]) for partition in partitions]
        request = pb.OfferRingRequest(
            cluster_id=ring.cluster, encoded_ring=encoded, configs=configs
        )
        self._call(name, request)

    def give_up(self, name: str, disk: Disk) -> None:
        """Tell this process that nobody needs its disk."""
        request = disk_pb2.GiveUpDiskRequest(cluster_id=self.cluster(), disk_id=disk)
        self._begin(name, lambda line: line.give_up(request))

    def _call(self, name: str, request: pb.OfferRingRequest) -> None:
        self._begin(name, lambda line: line.call(request))

    def _begin(self, name: str, call: Callable[[_Line], Coroutine[Any, Any, None]]) -> None:
        line = self._lines.get(name)
        if line is not None and not line.is_calling:
            task = asyncio.create_task(call(line))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    async def close(self) -> None:
        """End every stream and call."""
        tasks = [*self._calls, *(line.task for line in self._lines.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lines.clear()
