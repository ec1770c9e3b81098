"""Whoever works with a cluster while it is changed: ``python -m bench.foreground ADDRESS``.

Owns one process of its own, so that what the bench does beside it delays no call: single reads and
writes at a steady rate (an open loop), a line for each on the standard output, until its standard
input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from becket.client.client import Client
from becket.core.errors import BecketError
from bench.balance import percentile

READS = 0.8
END_S = 30.0
"""So long after its input has ended a foreground may take for the calls that are open."""


def key(number: int) -> bytes:
    """The key of a number."""
    return b"bench/%d" % number


class Foreground:
    """A foreground in another process, as far as it has told; see ``beside``."""

    def __init__(self) -> None:
        self.took: list[tuple[float, float]] = []
        """When each call was due, by ``perf_counter``, and the seconds until it was answered."""
        self.failed: Counter[str] = Counter()
        """Errors of calls by their name."""

    def p99_ms(self, since: float, until: float) -> float:
        """Of the calls that were due in this span."""
        return percentile([took for due, took in self.took if since <= due < until], 0.99)

    async def listen(self, lines: asyncio.StreamReader) -> None:
        """Take in what the process tells, until it ends."""
        async for line in lines:
            due, told = line.decode().split()
            if told.isidentifier():
                self.failed[told] += 1
            else:
                self.took.append((float(due), float(told)))


@asynccontextmanager
async def beside(
    address: str, *, keys: int, value_bytes: int, rate: float
) -> AsyncIterator[Foreground]:
    """A foreground of ``rate`` calls a second for as long as the block runs."""
    given = ("--keys", str(keys), "--value-bytes", str(value_bytes), "--rate", str(rate))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.foreground", address, *given),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    foreground = Foreground()
    listening = asyncio.create_task(foreground.listen(process.stdout))
    try:
        yield foreground
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), END_S)
        except TimeoutError:
            process.kill()
            await process.wait()
        await listening


async def work(given: argparse.Namespace) -> None:
    """An open loop, until the input ends."""
    rng, value = random.Random(1), bytes(given.value_bytes)
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    async with Client(given.address, timeout=60) as client:

        async def call(due: float) -> None:
            name = key(rng.randrange(given.keys))
            try:
                if rng.random() < READS:
                    await client.get(name)
                else:
                    await client.put(name, value)
            except BecketError as error:
                print(due, type(error).__name__, flush=True)
            else:
                # From when it was due: a call that had to wait for its turn has waited.
                print(due, time.perf_counter() - due, flush=True)

        due, calls = time.perf_counter(), set[asyncio.Task[None]]()
        while not ended.done():
            task = asyncio.create_task(call(due))
            calls.add(task)
            task.add_done_callback(calls.discard)
            due += 1 / given.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await asyncio.gather(*calls)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--rate", type=float, default=200.0, help="operations a second")
    asyncio.run(work(parser.parse_args()))


if __name__ == "__main__":
    main()
