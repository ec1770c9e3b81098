"""How long a key stands still while a process is killed.

Owns the workload: each worker has one key, which it writes and reads in turn; a key's gap is the
longest time between two of its successes, or between its last one and the end.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from becket.cli.bench_driving import BenchStore, now_ns
from becket.cli.bench_keys import key_bytes
from becket.cli.bench_recording import Recording
from bench.systems import System

KEYS = 32
FIRST = 900_000_000
"""Numbers of keys that nobody else uses."""

CALM_S = 2.0
_PAUSE_S = 0.02
_CALL_S = 2.0
"""A call that takes longer is given up and made anew, so that one lost packet is no long gap."""


class Gap(NamedTuple):
    """The longest gap of all keys, the median one, both in ms; and the same before the kill."""

    longest_ms: float
    median_ms: float
    calm_ms: float


class _Key:
    def __init__(self, number: int) -> None:
        self.key = key_bytes(FIRST + number)
        self.last_ns = now_ns()
        self.longest_ns = 0

    def succeeded(self) -> None:
        """An operation of it has just been acknowledged."""
        moment = now_ns()
        self.longest_ns = max(self.longest_ns, moment - self.last_ns)
        self.last_ns = moment


async def drive_gaps(system: System, store: BenchStore, seconds: float) -> dict[str, Any]:
    """Run, kill one, run on; the report."""
    recording, keys = Recording(), [_Key(number) for number in range(KEYS)]
    stopping = asyncio.Event()

    async def work(key: _Key) -> None:
        failures: tuple[type[Exception], ...] = (*store.failures, TimeoutError)

        async def write() -> None:
            await store.put(key.key, b"x" * 100)

        async def read() -> None:
            await store.get(key.key)

        while not stopping.is_set():
            for call in (write, read):
                began_ns = now_ns()
                try:
                    async with asyncio.timeout(_CALL_S):
                        await call()
                except failures as error:
                    recording.fail(store.outcome_of(error), error)
                    await asyncio.sleep(_PAUSE_S)
                else:
                    key.succeeded()
                    recording.note(now_ns() - began_ns)
                await asyncio.sleep(_PAUSE_S)

    began_ns = now_ns()
    tasks = [asyncio.create_task(work(key)) for key in keys]
    await asyncio.sleep(CALM_S)
    calm_ns = max(key.longest_ns for key in keys)
    for key in keys:
        key.longest_ns = 0
    await system.kill_one()
    await asyncio.sleep(seconds - CALM_S)
    end_ns = now_ns()
    found = sorted(max(key.longest_ns, end_ns - key.last_ns) for key in keys)
    stopping.set()
    await asyncio.gather(*tasks)
    recording.seconds = (end_ns - began_ns) / 1e9
    gap = Gap(found[-1] / 1e6, found[len(found) // 2] / 1e6, calm_ns / 1e6)
    return recording.row() | {f"gap_{name}": round(ms, 1) for name, ms in gap._asdict().items()}
