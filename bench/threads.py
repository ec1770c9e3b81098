"""A closed loop by threads, for a client that blocks.

Owns the threads. Each keeps its own figures, so that none waits for another to count.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator

from becket import sync
from becket.cli.bench_driving import Drive, now_ns
from becket.cli.bench_keys import Action, Kind, key_bytes
from becket.cli.bench_recording import Recording
from becket.core.errors import BecketError

Plan = Callable[[str], Iterator[Action]]


class _Worker(threading.Thread):
    """One caller."""

    def __init__(
        self, client: sync.Client, plan: Iterator[Action], value: bytes, until_ns: int
    ) -> None:
        super().__init__()
        self._client, self._plan, self._value, self._until_ns = client, plan, value, until_ns
        self.samples: list[int] = []
        self.errors: list[BecketError] = []

    def run(self) -> None:
        """One call after the other."""
        for kind, number in self._plan:
            began_ns = now_ns()
            if began_ns >= self._until_ns:
                return
            try:
                if kind is Kind.GET:
                    self._client.get(key_bytes(number))
                else:
                    self._client.put(key_bytes(number), self._value)
            except BecketError as error:
                self.errors.append(error)
            else:
                self.samples.append(now_ns() - began_ns)


def drive_threads(client: sync.Client, drive: Drive, plan: Plan) -> Recording:
    """Drive a blocking client with ``in_flight`` threads; operations one at a time."""
    recording = Recording()
    for seconds, name in ((drive.warm_up_s, "warm"), (drive.seconds, "run")):
        if seconds:
            recording = _round(client, drive, plan, (seconds, name))
    return recording


def _round(client: sync.Client, drive: Drive, plan: Plan, of: tuple[float, str]) -> Recording:
    seconds, name = of
    value = random.Random(drive.seed).randbytes(drive.value_bytes)
    until_ns = now_ns() + int(seconds * 1e9)
    workers = [
        _Worker(client, plan(f"{drive.seed}/{name}/{number}"), value, until_ns)
        for number in range(drive.in_flight)
    ]
    recording = Recording()
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    recording.seconds = time.perf_counter() - began
    for worker in workers:
        for took_ns in worker.samples:
            recording.note(took_ns)
        for error in worker.errors:
            recording.fail("error", error)
    return recording
