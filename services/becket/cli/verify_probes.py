"""Probes at a fixed rate: how long keys stand still around a fault.

While a fault is measured, the keys that it concerns are written every ``BEAT_S``, the others now
and then: the machine is to be busy with the fault, not with looking at it.

Owns the probe keys and the moments at which writes to them succeeded. Must not be part of the
judged history. Invariant: a key has one write under way at most; the next begins at the next beat.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable
from typing import NamedTuple

from becket.adapters.clocks import monotonic_us
from becket.cli.readiness import trial_keys
from becket.client.client import Client
from becket.core.errors import BecketError
from becket.core.histories.gaps import longest_gap_us

MOST_KEYS = 32
BEAT_S = 0.04
REST_S = 0.25
"""Between two writes to a key that is not measured now."""

_KEPT = 8_192
_TIMEOUT_S = 10.0


class Success(NamedTuple):
    """When a write began and ended that had an answer."""

    begun_us: int
    ended_us: int


class Probes:
    """Writes to one key of each of some partitions, over and over."""

    def __init__(self, client: Client, partitions: int, run: str) -> None:
        self._client = client
        step = max(1, partitions // MOST_KEYS)
        keys = trial_keys(partitions)[::step][:MOST_KEYS]
        # The braces put a probe key into the partition of the key between them.
        self.keys = [b"verify/%s/probe/{%s}" % (run.encode(), key) for key in keys]
        self._successes: dict[bytes, deque[Success]] = {
            key: deque(maxlen=_KEPT) for key in self.keys
        }
        self._under_way: set[asyncio.Task[None]] = set()
        self._busy: set[bytes] = set()
        self._rest_us: dict[bytes, int] = {}
        self.errors = 0
        """How many probes ended without success."""
        self.focus: Collection[bytes] = ()
        """The keys that are measured now."""

    async def run(self) -> None:
        """Probe until it is cancelled."""
        try:
            while True:
                now_us = monotonic_us()
                for key in self.keys:
                    if key not in self._busy and (
                        key in self.focus or now_us >= self._rest_us.get(key, 0)
                    ):
                        self._rest_us[key] = now_us + int(REST_S * 1e6)
                        self._busy.add(key)
                        task = asyncio.create_task(self._probe(key))
                        self._under_way.add(task)
                        task.add_done_callback(self._under_way.discard)
                await asyncio.sleep(BEAT_S)
        finally:
            for task in list(self._under_way):
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _probe(self, key: bytes) -> None:
        begun_us = monotonic_us()
        try:
            await self._client.put(key, b"probe", timeout=_TIMEOUT_S)
            self._successes[key].append(Success(begun_us, monotonic_us()))
        except BecketError:
            self.errors += 1
        finally:
            self._busy.discard(key)

    async def of_member(self, name: str) -> list[bytes]:
        """The keys that this member coordinates, as far as is known here."""
        found = []
        for key in self.keys:
            coordinator = (await self._client.locate(key)).coordinator
            if coordinator is not None and coordinator.name == name:
                found.append(key)
        return found

    def all_succeeded_since(self, since_us: int) -> bool:
        """Whether every key was written after this moment."""
        return all(times and times[-1].ended_us > since_us for times in self._successes.values())

    def gap_us(self, keys: Iterable[bytes], since_us: int, until_us: int) -> int:
        """The longest time without a success on any of these keys, touching this span."""
        ends = ([each.ended_us for each in self._successes[key]] for key in keys)
        return max((longest_gap_us(each, since_us, until_us) for each in ends), default=0)

    def slowest_us(self, keys: Iterable[bytes], since_us: int, until_us: int) -> int:
        """How long the slowest write to any of these keys took that was open in this span."""
        return max(
            (
                each.ended_us - each.begun_us
                for key in keys
                for each in self._successes[key]
                if each.ended_us >= since_us and each.begun_us <= until_us
            ),
            default=0,
        )
