"""What callers feel when a member is told to stop and comes back: ``python -m bench restarts``.

Owns a cluster of its own, on this machine, and one Python client that writes at a steady rate to
keys in all partitions. One member after the other gets SIGTERM and is started again; the slowest
write of each, from the signal until well after the member has its partitions back, is printed
beside the slowest of as long a span before, in which nothing happens.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from becket.client.client import Client
from becket.core.errors import BecketError
from becket.testing import Cluster
from bench import stopping

BAR_MS = 150
"""No write may take longer after a SIGTERM."""

KEYS = 2000
SPAN_S = 5.0
WARM_UP_S = 3.0
MOST_OPEN = 10_000
"""Writes under way; beyond it the cluster has lost this client long ago."""


class Writing:
    """Writes that begin at their times, whatever became of those before."""

    def __init__(self, client: Client, rate: float, rng: random.Random) -> None:
        self._client, self._rate, self._rng = client, rate, rng
        self._open: set[asyncio.Task[None]] = set()
        self.written = 0
        self.failed: Counter[str] = Counter()
        self.took: list[tuple[float, float]] = []
        """When each write began, and how many seconds it took."""

    async def run(self) -> None:
        """Begin writes until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while len(self._open) < MOST_OPEN:
            due += 1 / self._rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            task = asyncio.create_task(self._one(b"k%05d" % self._rng.randrange(KEYS)))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        raise RuntimeError(f"{MOST_OPEN} writes are unanswered")

    async def _one(self, key: bytes) -> None:
        began = time.perf_counter()
        try:
            await self._client.put(key, b"v" * 100)
        except BecketError as error:
            self.failed[type(error).__name__] += 1
        self.written += 1
        self.took.append((began, time.perf_counter() - began))

    def slowest_ms(self, since: float, until: float) -> float:
        """The slowest write that began then."""
        return 1000 * max((s for began, s in self.took if since <= began < until), default=0.0)

    def forget(self) -> None:
        """What was measured so far is not asked for any more."""
        self.took.clear()


@asynccontextmanager
async def writing(client: Client, rate: float, seed: int) -> AsyncIterator[Writing]:
    """Write in the background."""
    work = Writing(client, rate, random.Random(seed))
    task = asyncio.create_task(work.run())
    try:
        yield work
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def run(given: argparse.Namespace) -> None:
    """All of it."""
    rng = random.Random(given.seed)
    found: list[float] = []
    async with (
        Cluster(given.members, partitions=given.partitions) as cluster,
        cluster.client() as client,
        writing(client, given.rate, given.seed) as work,
    ):
        await asyncio.sleep(WARM_UP_S)
        steady_from = time.perf_counter()
        await asyncio.sleep(SPAN_S)
        steady_ms = work.slowest_ms(steady_from, time.perf_counter() - 1)
        for number in range(given.count):
            work.forget()
            name = rng.choice(cluster.members)
            began = time.perf_counter()
            os.kill(cluster.processes[name].pid, signal.SIGTERM)
            await asyncio.sleep(SPAN_S)
            # What began in the last second may be unanswered still.
            found.append(work.slowest_ms(began, time.perf_counter() - 1))
            print(f"{number + 1}: {name}: slowest write {found[-1]:.0f} ms", flush=True)
            await asyncio.to_thread(cluster.wait_ready)
        failed = dict(work.failed) or "none"
        over = sum(ms > BAR_MS for ms in found)
        ranked = sorted(found)
        print(
            f"{given.count} x SIGTERM, {given.members} members, {work.written:,} writes at"
            f" {given.rate:g}/s, failed: {failed}; slowest write of each: median"
            f" {ranked[len(ranked) // 2]:.0f}, longest {ranked[-1]:.0f} ms, {over} over"
            f" {BAR_MS}; while nothing happened {steady_ms:.0f}",
            flush=True,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=36, help="so many SIGTERMs")
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--partitions", type=int, default=256)
    parser.add_argument("--rate", type=float, default=400.0, help="writes a second")
    parser.add_argument("--seed", type=int, default=1)
    stopping.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
