"""The readers and writers of a verification.

Owns what they ask for: unique values, conditions on versions that were seen, counters, deletes; in
batches for volume, and one by one for sharp times. Must not judge. Deterministic under a seed as
far as answers are.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from becket.adapters.clocks import monotonic_us
from becket.cli.verify_recording import Recorder, ended, to_model
from becket.client import values
from becket.client.client import Client
from becket.core.errors import BecketError
from becket.core.histories.entries import Entry

VALUE_BYTES = 64
_COUNTERS = 4
"""Every fourth key is a counter."""

_DELTA_BITS, _DELTAS = 10, 6
"""Each writer adds a power of two of its own, so that a sum tells who is missing in it."""

_SINGLE = 0.2
"""The share of calls with one operation: their times are sharper than those of a batch."""

_SEEN_LIMIT = 4_096

_EASY_BATCH = 10
"""While a fault is measured: many small calls see more of it than few large ones."""


@dataclass(frozen=True)
class Load:
    """How much is asked for at once. Rates: operations a second of all workers; 0: no limit."""

    writers: int = 4
    readers: int = 4
    keys: int = 4_000
    batch: int = 100
    timeout_s: float = 5.0
    rate: int = 0
    fault_rate: int = 300
    """While a fault is measured: probes should wait for the cluster, not for a processor."""


class Workers:
    """Runs until it is told to stop; every call that was begun is waited for."""

    def __init__(self, recorder: Recorder, load: Load, seed: int, run: str) -> None:
        self._recorder, self._load, self._seed = recorder, load, seed
        self._prefix = f"verify/{run}/"
        self._stopping = False
        self._rate, self._is_easy = load.rate, False

    async def run(self, clients: Sequence[Client]) -> None:
        """Work until ``stop``; workers are dealt over the clients.

        :raises BecketError: an operation ended with an error that no correct call meets.
        """
        count = self._load.writers + self._load.readers
        try:
            async with asyncio.TaskGroup() as group:
                for worker in range(count):
                    client = clients[worker % len(clients)]
                    drawing = _Drawing(self._seed, worker, self._load.writers)
                    group.create_task(self._work(client, drawing, f"w{worker}", count))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    def go_easy(self, *, easy: bool) -> None:
        """Hold the rate that goes with faults, or the usual one again."""
        self._rate, limit = self._load.rate, self._load.fault_rate
        self._is_easy = easy and limit > 0
        if self._is_easy:
            self._rate = min(limit, self._rate or limit)

    def stop(self) -> None:
        """Begin no further call."""
        self._stopping = True

    async def read_back(self, client: Client, keys: Sequence[bytes]) -> list[Entry]:
        """Read these keys; entries without results were not answered."""
        found = []
        for at in range(0, len(keys), self._load.batch):
            some = keys[at : at + self._load.batch]
            found += await self._call(client, [values.Get(key) for key in some], "reader")
        return found

    async def _work(self, client: Client, drawing: _Drawing, name: str, workers: int) -> None:
        load = self._load
        while not self._stopping:
            began_us = monotonic_us()
            most = min(load.batch, load.keys, _EASY_BATCH if self._is_easy else load.batch)
            count = 1 if drawing.rng.random() < _SINGLE else most
            numbers = drawing.rng.sample(range(load.keys), count)
            operations = [drawing.operation(number, self._key) for number in numbers]
            for entry in await self._call(client, operations, name):
                drawing.see(entry)
            if self._rate:
                pause_s = count * workers / self._rate - (monotonic_us() - began_us) / 1e6
                await asyncio.sleep(max(0.0, pause_s))

    async def _call(
        self, client: Client, operations: list[values.Operation], name: str
    ) -> list[Entry]:
        began_us = monotonic_us()
        token = self._recorder.open(began_us)
        entries = [
            Entry(name, _bytes(operation.key), (to_model(operation),), began_us)
            for operation in operations
        ]
        try:
            answers: Sequence[values.Answer | BecketError] = await client.batch(
                operations, timeout=self._load.timeout_s
            )
        except BecketError as error:
            answers = [error] * len(operations)
        now_us = monotonic_us()
        for entry, answer in zip(entries, answers, strict=True):
            ended(entry, answer, now_us)
            self._recorder.note(answer)
        self._recorder.close(token, entries)
        return entries

    def _key(self, number: int) -> bytes:
        kind = "c" if number % _COUNTERS == 0 else "r"
        return f"{self._prefix}{kind}{number}".encode()


class _Drawing:
    """What one worker asks for next."""

    def __init__(self, seed: int, worker: int, writers: int) -> None:
        self.rng = random.Random(f"{seed}/{worker}")  # noqa: S311 - a workload, no secret
        self._worker, self._writes = worker, worker < writers
        self._delta = 1 << (_DELTA_BITS * (worker % _DELTAS))
        self._made = 0
        self._seen: dict[bytes, bytes] = {}

    def operation(self, number: int, key_of: Callable[[int], bytes]) -> values.Operation:
        key = key_of(number)
        if not self._writes:
            return values.Get(key)
        if number % _COUNTERS == 0:
            return values.Increment(key, self._delta)
        drawn = self.rng.random()
        if drawn < 0.08:
            return values.Get(key)
        if drawn < 0.16:
            return values.Delete(key)
        self._made += 1
        value = f"{self._worker}.{self._made}".encode().ljust(VALUE_BYTES, b".")
        if drawn < 0.24:
            return values.Put(key, value, if_absent=True)
        if drawn < 0.36 and key in self._seen:
            return values.Put(key, value, if_version=self._seen[key])
        return values.Put(key, value)

    def see(self, entry: Entry) -> None:
        """Remember versions for later conditions."""
        if self._writes and entry.results is not None and entry.results[0].version is not None:
            if len(self._seen) >= _SEEN_LIMIT:
                self._seen.clear()
            self._seen[entry.key] = bytes.fromhex(entry.results[0].version.epoch.disk)


def _bytes(key: values.Key) -> bytes:
    return key.encode() if isinstance(key, str) else key
