"""Ring changes in figures: ``python -m bench ring-change [--keys N]``.

Owns a cluster of its own, on this machine. Five members become six and five again, twice:

* throttled, beside a foreground of reads and writes: what was moved by what had to be, how even
  copies lie, the foreground's p99 during the change by that of steady spans just before it and just
  after, and the time to finish;
* unthrottled, with nobody else there: keys and megabytes copied a second, and that as a share of
  what a plain gRPC stream carries in the same run.

All figures are of one run; the bars are those of ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from becket import Put
from becket.adapters.local.topology import FileTopology
from becket.api.v1 import supervisor_pb2 as pb
from becket.api.v1.supervisor_pb2_grpc import SupervisorServiceStub
from becket.client.client import Client
from becket.core.errors import BecketError
from becket.core.ring.ring import Ring
from becket.testing import Cluster
from bench import stopping
from bench.foreground import beside, key
from bench.sink import stream_rate

if TYPE_CHECKING:
    from becket.api.v1.supervisor_pb2_grpc import SupervisorServiceAsyncStub

FEW, MANY, REPLICAS = 5, 6, 3
BATCH, LOADERS = 500, 3
LOOK_S, ASK_S = 0.25, 1.0
"""How often the ring is read and the supervisor is asked, also while nothing changes: looking has a
cost of its own, which is not to be counted as that of a change."""
STREAM_S = 3.0
CALM_S = 3.0
"""After a change, before the next steady span: what was disturbed is over."""


async def load(client: Client, keys: int, value: bytes) -> float:
    """Write every key; keys a second."""
    starts = iter(range(0, keys, BATCH))

    async def loader() -> None:
        for start in starts:
            some = range(start, min(start + BATCH, keys))
            for answer in await client.batch([Put(key(n), value) for n in some]):
                if isinstance(answer, BecketError):
                    raise answer

    began = time.perf_counter()
    await asyncio.gather(*(loader() for _ in range(LOADERS)))
    return keys / (time.perf_counter() - began)


@dataclass
class Change:
    """One change of the ring, as it was seen."""

    before: Ring
    after: Ring
    began: float
    ended: float
    copying_s: float = 0.0
    """From the first partition that began to change to the last one that had."""
    brought: set[tuple[int, str]] = field(default_factory=set)
    """Every copy that was begun, by partition and disk, also those that were given up."""
    frozen_s: float = 0.0
    freezes: set[str] = field(default_factory=set)
    """Why nothing moved in that time."""

    def note(self, status: pb.GetStatusResponse, since_s: float) -> None:
        """What the supervisor says, ``since_s`` after the last time."""
        if status.frozen:
            self.frozen_s += since_s
            self.freezes |= {s for s in status.sentences if "frozen" in s}

    @property
    def seconds(self) -> float:
        """From the wish to the end."""
        return self.ended - self.began

    def moved(self, sizes: Mapping[int, int]) -> int:
        """Copies of keys that were made."""
        return sum(sizes.get(partition, 0) for partition, _ in self.brought)

    @property
    def least(self) -> int:
        """Copies of partitions that any planner has to move for this change."""
        was, now = self.before.partitions_by_disk, self.after.partitions_by_disk
        gone = sum(len(held) for disk, held in was.items() if disk not in now)
        total = self.after.partitions * REPLICAS
        came = sum(disk not in was for disk in now)
        return gone + came * (total // len(now))

    @property
    def evenness(self) -> float:
        """Copies of the fullest member by the mean."""
        held = [len(partitions) for partitions in self.after.partitions_by_disk.values()]
        return max(held) * len(held) / sum(held)


class Scaler:
    """Changes the number of members and watches the ring meanwhile."""

    def __init__(self, cluster: Cluster, limit_s: float) -> None:
        self._cluster, self._limit_s = cluster, limit_s
        self._topology = FileTopology(cluster.layout.topology_file)

    async def ring(self) -> Ring:
        """The ring object."""
        found = await self._topology.read()
        assert found is not None
        return found.ring

    async def steady(self, seconds: float) -> None:
        """Look as during a change, for so long."""
        ends = asked = time.perf_counter()
        ends += seconds
        async with grpc.aio.insecure_channel(self._cluster.address) as channel:
            stub: SupervisorServiceAsyncStub = SupervisorServiceStub(channel)
            while (now := time.perf_counter()) < ends:
                await self.ring()
                if now - asked >= ASK_S:
                    asked = now
                    await _status(stub)
                await asyncio.sleep(LOOK_S)

    async def to(self, count: int) -> Change:
        """Wish for so many members, wait for the end of what follows.

        :raises TimeoutError: it does not end within the limit.
        """
        before, began = await self.ring(), time.perf_counter()
        change = Change(before, before, began, began)
        asked = first = last = 0.0
        async with (
            grpc.aio.insecure_channel(self._cluster.address) as channel,
            asyncio.timeout(self._limit_s),
        ):
            stub: SupervisorServiceAsyncStub = SupervisorServiceStub(channel)
            await stub.SetMemberCount(pb.SetMemberCountRequest(count=count), timeout=10)
            while True:
                await asyncio.sleep(LOOK_S)
                ring, now = await self.ring(), time.perf_counter()
                for partition in ring.joint_partitions:
                    news = {(partition, disk) for disk in ring.configs[partition].newcomers}
                    change.brought |= news
                if ring.joint_partitions:
                    first, last = first or now, now
                if now - asked < ASK_S:
                    continue
                asked, status = now, await _status(stub)
                change.note(status, ASK_S)
                if _is_over(ring, count) and _is_whole(status):
                    break
        for partition, (was, now_) in enumerate(zip(before.configs, ring.configs, strict=True)):
            # What came and was done between two looks.
            change.brought |= {(partition, disk) for disk in now_.old if disk not in was.old}
        change.after, change.ended, change.copying_s = ring, time.perf_counter(), last - first
        return change


async def _status(stub: SupervisorServiceAsyncStub) -> pb.GetStatusResponse:
    try:
        return await stub.GetStatus(pb.GetStatusRequest(), timeout=5)
    except grpc.aio.AioRpcError:
        return pb.GetStatusResponse(partitions=1)


def _is_over(ring: Ring, count: int) -> bool:
    """Whether nothing changes, and everybody who has joined has been given something."""
    held = ring.partitions_by_disk
    are_filled = all(held.get(member.disk) for member in ring.members)
    return not ring.joint_partitions and len(ring.members) == count and are_filled


def _is_whole(status: pb.GetStatusResponse) -> bool:
    is_busy: bool = status.HasField("plan")
    return not is_busy and status.whole_partitions == status.partitions


def sizes_of(ring: Ring, keys: int) -> Counter[int]:
    """How many keys each partition has."""
    return Counter(ring.partitions_of([key(number) for number in range(keys)]))


def tell(change: Change, sizes: Mapping[int, int]) -> str:
    """What was moved, and how even it lies."""
    copies, least = len(change.brought), change.least
    return (
        f"{len(change.before.members)} -> {len(change.after.members)} members:"
        f" {copies} copies moved, {copies / least:.3f} x the least ({least});"
        f" copies max/mean {change.evenness:.4f}; {change.moved(sizes):,} copies of keys;"
        f" {change.seconds:.1f} s"
        + (f", frozen for {change.frozen_s:.1f} s of it: {change.freezes}" * bool(change.freezes))
    )


async def throttled(cluster: Cluster, given: argparse.Namespace) -> None:
    """Both changes beside a foreground."""
    scaler = Scaler(cluster, given.limit)
    sizes = sizes_of(await scaler.ring(), given.keys)
    working = beside(
        cluster.address, keys=given.keys, value_bytes=given.value_bytes, rate=given.rate
    )
    async with working as foreground:

        async def steady() -> float:
            await asyncio.sleep(CALM_S)
            since = time.perf_counter()
            await scaler.steady(given.steady)
            return foreground.p99_ms(since, time.perf_counter())

        before = await steady()
        for count in (MANY, FEW):
            change = await scaler.to(count)
            during = foreground.p99_ms(change.began, change.ended)
            after = await steady()
            # A member more has a cost of its own on a machine that all of them share.
            print(
                f"throttled, {tell(change, sizes)}; foreground p99 {during:.1f} ms,"
                f" {before:.1f} ms before: {during / before:.2f} x, {after:.1f} ms after:"
                f" {during / after:.2f} x",
                flush=True,
            )
            before = after
    done = len(foreground.took)
    print(f"foreground: {done:,} calls, failed: {dict(foreground.failed) or 'none'}", flush=True)


async def unthrottled(cluster: Cluster, given: argparse.Namespace, stream: float) -> None:
    """Both changes with nobody else there."""
    scaler = Scaler(cluster, given.limit)
    sizes = sizes_of(await scaler.ring(), given.keys)
    for count in (MANY, FEW):
        await asyncio.sleep(CALM_S)
        change = await scaler.to(count)
        moved = change.moved(sizes)
        size = moved * (given.value_bytes + len(key(given.keys)))
        rate = size / max(change.copying_s, LOOK_S)
        print(
            f"unthrottled, {tell(change, sizes)}, of them {change.copying_s:.1f} s copying:"
            f" {moved / max(change.copying_s, LOOK_S):,.0f} keys/s, {rate / 1e6:.2f} MB/s,"
            f" {100 * rate / stream:.2f} % of a plain stream's {stream / 1e6:.0f} MB/s",
            flush=True,
        )


async def run(given: argparse.Namespace) -> None:
    """All of it."""
    with tempfile.TemporaryDirectory() as folder:
        stream = await stream_rate(Path(folder), STREAM_S)
    settings = dict(text.split("=", 1) for text in given.set)
    cluster = Cluster(
        FEW, partitions=given.partitions, replicas=REPLICAS, settings=settings, ready_s=120
    )
    async with cluster, cluster.client(timeout=60) as client:
        rate = await load(client, given.keys, bytes(given.value_bytes))
        print(
            f"{given.keys:,} keys of {given.value_bytes} B in {given.partitions} partitions,"
            f" loaded at {rate:,.0f}/s",
            flush=True,
        )
        if "throttled" in given.parts:
            await throttled(cluster, given)
        if "unthrottled" in given.parts:
            await unthrottled(cluster, given, stream)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--partitions", type=int, default=256)
    parser.add_argument("--rate", type=float, default=200.0, help="foreground operations a second")
    parser.add_argument("--steady", type=float, default=15.0, help="seconds before each change")
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds of one change at most")
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE, of every process")
    parts = ("throttled", "unthrottled")
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    stopping.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
