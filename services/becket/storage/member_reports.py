"""What this member sees and wishes, told to the supervisor as it changes.

Owns the report and its pace: a change is told within a few milliseconds, and something is told at
least every second, so that silence means something. Each report replaces the one before.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic

from becket.adapters import clocks
from becket.adapters.engines.damage import Damage
from becket.adapters.rpc.rings import epoch_to_proto
from becket.api.v1 import replica_pb2 as pb
from becket.core.ring.config import Disk
from becket.storage.hellos import Hellos
from becket.storage.latencies import Latencies
from becket.storage.load import LoadMeasure
from becket.storage.shell import Shell

GATHER_S = 0.005
PAUSE_S = 0.1
"""Between two reports: each tells of every partition, and one that moves is not the last."""

AT_LEAST_S = 0.5
USED_EVERY_US = 2_000_000


class MemberReports:
    """The reports of one member, for any number of watchers."""

    def __init__(
        self,
        shell: Shell,
        hellos: Hellos,
        suspects: Callable[[], frozenset[Disk]],
        disk: tuple[Damage, Path],
        *,
        measure: LoadMeasure,
        latencies: Latencies,
    ) -> None:
        self._shell = shell
        self._hellos = hellos
        self._suspects = suspects
        self._damage, self._folder = disk
        self._measure = measure
        self._latencies = latencies
        self._changed = asyncio.Event()
        self._stopped = False
        self._used_at_us = -USED_EVERY_US
        self._used_bytes = 0

    def wake(self) -> None:
        """Something has changed."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def stop(self) -> None:
        """End every watch."""
        self._stopped = True
        self.wake()

    async def watch(self) -> AsyncIterator[pb.WatchMemberResponse]:
        """One report now, then one after each change."""
        while not self._stopped:
            changed = self._changed
            yield self.report()
            told = monotonic()
            try:
                async with asyncio.timeout(AT_LEAST_S):
                    await changed.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(max(GATHER_S, told + PAUSE_S - monotonic()))

    def report(self) -> pb.WatchMemberResponse:
        """What there is to say now."""
        space = shutil.disk_usage(self._folder)
        out = pb.WatchMemberResponse(
            hello=self._hellos.say(),
            suspected_disk_ids=sorted(self._suspects()),
            pid=os.getpid(),
            used_bytes=self._used(),
            total_bytes=space.total,
            damaged_cells=self._damage.found,
            mended_cells=self._damage.mended,
            unreadable_disk=self._damage.unreadable,
        )
        p99_us, out.recent_operations = self._latencies.p99(clocks.monotonic_us())
        out.latency_p99.FromMicroseconds(p99_us)
        figures = self._measure.look()
        out.load.in_flight = figures.in_flight
        out.load.operations_per_second = figures.rate
        out.load.latency.FromNanoseconds(int(figures.latency_s * 1e9))
        out.load.cpu_utilization = figures.cpu
        for certificate in self._shell.certificates.values():
            item = out.certificates.add(
                partition=certificate.partition,
                generation=certificate.gen,
                disk_id=certificate.disk,
            )
            item.epoch.CopyFrom(epoch_to_proto(certificate.epoch))
        parts = self._shell.member.replica.parts.values()
        held = sum(part.record.since is not None for part in parts)
        # Partitions are even by construction; the engine does not tell of single ones.
        share = out.used_bytes // max(1, held)
        for partition, reign in sorted(self._shell.member.reigns().items()):
            entry = out.partitions.add(partition=partition, generation=reign.gen, bytes=share)
            entry.epoch.CopyFrom(epoch_to_proto(reign.epoch))
            if not reign.config.is_joint:
                entry.lagging_disk_ids.extend(
                    disk
                    for disk in reign.config.members
                    if disk != self._shell.identity.disk and reign.levelling.is_behind(disk)
                )
        return out

    def _used(self) -> int:
        now_us = clocks.monotonic_us()
        if now_us - self._used_at_us >= USED_EVERY_US:
            self._used_at_us, self._used_bytes = now_us, self.used_bytes()
        return self._used_bytes

    def used_bytes(self) -> int:
        """Bytes that the engine's files take."""
        total = 0
        for entry in os.scandir(self._folder):
            if entry.is_file(follow_symlinks=False):
                total += _size(entry)
            elif entry.is_dir(follow_symlinks=False) and entry.name == "engine":
                total += sum(_size(inner) for inner in os.scandir(entry.path))
        return total


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # compacted away between the listing and the look
        return 0
