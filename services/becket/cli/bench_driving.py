"""Drives a store: so many calls in flight (closed loop), or so many a second (open loop).

Owns the loops. Must not know which store it is: anything with the five calls of ``BenchStore`` will
do. In an open loop a call's time counts from the moment at which it was due, so that a store which
stands still is not flattered by the calls that were never made (coordinated omission). Invariants:
every call that was begun is waited for, and memory is bounded.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from becket.cli.bench_keys import Action, Kind, key_bytes
from becket.cli.bench_recording import Recording

now_ns = time.perf_counter_ns
_LEAST_SLEEP_S = 0.0005


class BenchStore(Protocol):
    """What is measured. Every call raises an error of ``failures`` where it was not done."""

    failures: tuple[type[Exception], ...]

    def outcome_of(self, error: Exception) -> str:
        """What the error means: ``unknown``, ``not done``, or what the store says."""
        ...

    async def get(self, key: bytes) -> bytes | None:
        """The value; None where the key is absent."""
        ...

    async def put(self, key: bytes, value: bytes) -> None:
        """Write."""
        ...

    async def get_many(self, keys: Sequence[bytes]) -> int:
        """Read at once; how many were there."""
        ...

    async def put_many(self, keys: Sequence[bytes], value: bytes) -> None:
        """Write at once."""
        ...

    async def scan(self, start: bytes, count: int) -> int:
        """Read the ``count`` entries from ``start`` on; how many there were."""
        ...


@dataclass(frozen=True)
class Drive:
    """How a store is driven. ``batch`` over 1: so many operations of one kind in a call.

    ``rate`` over 0 makes it an open loop of so many calls a second, ``in_flight`` of them at most.
    ``operations`` over 0 ends the run before ``seconds`` have passed.
    """

    seconds: float
    in_flight: int = 64
    batch: int = 1
    rate: float = 0.0
    operations: int = 0
    value_bytes: int = 100
    scan_entries: int = 100
    seed: int = 1
    warm_up_s: float = 0.0


class Driver:
    """One run."""

    def __init__(
        self, store: BenchStore, drive: Drive, plan: Callable[[str], Iterator[Action]]
    ) -> None:
        self._store = store
        self._drive = drive
        self._plan = plan
        self._value = random.Random(drive.seed).randbytes(drive.value_bytes)  # noqa: S311
        self._recording = Recording()
        self._until_ns = 0
        self._begun = 0

    async def run(self) -> Recording:
        """Drive the store; the warm-up is not in what is returned."""
        drive = self._drive
        loop = self._open if drive.rate else self._closed
        if drive.warm_up_s:
            await self._round(loop, drive.warm_up_s, "warm")
            self._recording = Recording()
        await self._round(loop, drive.seconds, "run")
        return self._recording

    async def _round(
        self, loop: Callable[[str], Coroutine[Any, Any, None]], seconds: float, name: str
    ) -> None:
        self._begun = 0
        began_ns = now_ns()
        self._until_ns = began_ns + int(seconds * 1e9)
        await loop(name)
        self._recording.seconds = (now_ns() - began_ns) / 1e9

    # Closed

    async def _closed(self, name: str) -> None:
        drive = self._drive
        plans = [self._plan(f"{drive.seed}/{name}/{i}") for i in range(drive.in_flight)]
        await asyncio.gather(*(self._work(plan) for plan in plans))

    async def _work(self, plan: Iterator[Action]) -> None:
        limit, batch = self._drive.operations, self._drive.batch
        while (began_ns := now_ns()) < self._until_ns:
            if limit:
                if self._begun >= limit:
                    return
                self._begun += batch
            await self._one(plan, began_ns)

    # Open

    async def _open(self, name: str) -> None:
        """Calls at random moments (Poisson); one that finds no room waits, and its time counts."""
        drive = self._drive
        plan = self._plan(f"{drive.seed}/{name}/open")
        rng = random.Random(f"{drive.seed}/{name}/arrivals")  # noqa: S311 - a workload
        room = asyncio.Semaphore(drive.in_flight)
        running: set[asyncio.Task[None]] = set()
        due_ns = now_ns()

        def done(task: asyncio.Task[None]) -> None:
            running.discard(task)
            room.release()

        while due_ns < self._until_ns and not (
            drive.operations and self._begun >= drive.operations
        ):
            ahead_s = (due_ns - now_ns()) / 1e9
            if ahead_s > 0:
                await asyncio.sleep(max(ahead_s, _LEAST_SLEEP_S))
            await room.acquire()
            self._begun += drive.batch
            task = asyncio.create_task(self._one(plan, due_ns))
            running.add(task)
            task.add_done_callback(done)
            due_ns += int(rng.expovariate(drive.rate) * 1e9)
        if running:
            await asyncio.wait(running)

    # Both

    async def _one(self, plan: Iterator[Action], began_ns: int) -> None:
        batch = self._drive.batch
        kind, number = next(plan)
        try:
            if batch > 1:
                await self._many(kind, number, plan)
            elif kind is Kind.GET:
                if await self._store.get(key_bytes(number)) is None:
                    self._recording.absent += 1
            elif kind is Kind.SCAN:
                await self._store.scan(key_bytes(number), self._drive.scan_entries)
            else:
                if kind is Kind.MODIFY:
                    await self._store.get(key_bytes(number))
                await self._store.put(key_bytes(number), self._value)
        except self._store.failures as error:
            self._recording.fail(self._store.outcome_of(error), error, batch)
            return
        self._recording.note(now_ns() - began_ns, batch)

    async def _many(self, kind: Kind, number: int, plan: Iterator[Action]) -> None:
        numbers = [number, *(next(plan).number for _ in range(self._drive.batch - 1))]
        keys = list(dict.fromkeys(key_bytes(each) for each in numbers))
        if kind is Kind.GET:
            self._recording.absent += len(keys) - await self._store.get_many(keys)
        else:
            await self._store.put_many(keys, self._value)
