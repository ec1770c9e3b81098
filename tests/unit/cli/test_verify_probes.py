"""Probes: the keys that a fault concerns are written often, the others now and then."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from becket.cli import verify_probes
from becket.cli.verify_probes import Probes


class FakeClient:
    """Counts the writes of each key."""

    def __init__(self) -> None:
        self.writes: Counter[bytes] = Counter()
        self.reached = asyncio.Event()
        self.enough = 20

    async def put(self, key: bytes, value: bytes, timeout: float) -> None:  # noqa: ASYNC109
        del value, timeout
        self.writes[key] += 1
        if self.writes[key] >= self.enough:
            self.reached.set()


async def test_only_keys_in_the_focus_are_written_at_every_beat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verify_probes, "BEAT_S", 0.001)
    monkeypatch.setattr(verify_probes, "REST_S", 3600.0)
    client: Any = FakeClient()
    probes = Probes(client, 8, "r")
    probes.focus = frozenset(probes.keys[:2])
    running = asyncio.create_task(probes.run())
    async with asyncio.timeout(10):
        await client.reached.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [client.writes[key] for key in probes.keys[2:]] == [1] * 6, "once, at the beginning"
    assert min(client.writes[key] for key in probes.keys[:2]) >= 19
