"""What an operation costs as the cluster grows: ``python -m bench cluster-size``.

Owns clusters of its own, one after the other, on this machine: with 3, 6, 9 and 12 members the same
partitions, keys and rate. Each is first left alone, then worked with at a steady rate by a process
of its own (``bench.foreground``, an open loop). Told are the processor time of a member at rest as
a share of a core (beats, leases, ticks), and that of an operation over all members: what they used
while they worked, less what they use at rest, by the operations.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from becket.testing import Cluster
from bench import stopping
from bench.foreground import beside
from bench.measuring import processor_s
from bench.ring_change import load

SIZES = (3, 6, 9, 12)
PARTITIONS, VALUE_BYTES = 128, 100
SETTLE_S = 5.0
"""After the first ring and after the load, before anything is measured."""


class Cost(NamedTuple):
    """Of one size: a member at rest, in hundredths of a core; an operation, over all members."""

    members: int
    rest_percent: float
    operation_us: float
    operations: int
    failed: int


async def used_s(pids: Sequence[int], seconds: float) -> float:
    """What these processes use a second, measured over so many."""
    before, since = processor_s(pids), time.perf_counter()
    await asyncio.sleep(seconds)
    return (processor_s(pids) - before) / (time.perf_counter() - since)


async def cost(members: int, given: argparse.Namespace) -> Cost:
    """One size."""
    cluster = Cluster(members, partitions=PARTITIONS, ready_s=120)
    async with cluster:
        async with cluster.client(timeout=60) as client:
            await load(client, given.keys, bytes(VALUE_BYTES))
        await asyncio.sleep(SETTLE_S)
        pids = [cluster.processes[name].pid for name in cluster.members]
        rest = await used_s(pids, given.seconds)
        working = beside(cluster.address, keys=given.keys, value_bytes=VALUE_BYTES, rate=given.rate)
        async with working as foreground:
            await asyncio.sleep(SETTLE_S)
            since = time.perf_counter()
            busy = await used_s(pids, given.seconds)
            until = time.perf_counter()
        done = sum(since <= due < until for due, _ in foreground.took)
        rate = done / (until - since)
        operation_us = 1e6 * (busy - rest) / max(rate, 1e-9)
        failed = sum(foreground.failed.values())
    return Cost(members, 100 * rest / members, operation_us, done, failed)


async def run(given: argparse.Namespace) -> None:
    """Every size, and each beside the mean."""
    costs = []
    for members in given.sizes:
        found = await cost(members, given)
        costs.append(found)
        print(
            f"{found.members:2} members: {found.operation_us:6.0f} us of members' processor an"
            f" operation over {found.operations:,}, {found.failed} failed; a member at rest"
            f" {found.rest_percent:.1f} % of a core",
            flush=True,
        )
    mean = fmean(each.operation_us for each in costs)
    spread = max(abs(each.operation_us / mean - 1) for each in costs)
    print(f"furthest from the mean of {mean:.0f} us: {100 * spread:.0f} % (bar 10 %)")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="members")
    parser.add_argument("--keys", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=100.0, help="operations a second, 4 reads: 1")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    stopping.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
