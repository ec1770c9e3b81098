"""WatchRing: what sends calls astray is told at once, the rest of a change later and together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from becket.adapters.rpc.ring_view import RingView
from becket.api.v1 import ring_pb2 as pb
from becket.core.limits import Limits
from becket.core.replication.versions import Epoch
from becket.ports.directory import Place
from becket.runtime import ring_service
from becket.runtime.ring_service import RingServicer
from tests.properties.placement_checks import cluster, first

RING = first(4, cluster(4))
TURNS = 50
"""Of the loop: a watch that has something to tell now takes far fewer."""


class Addresses:
    """A directory whose members can move."""

    def __init__(self) -> None:
        self.moved = ""

    def address_of(self, name: str) -> str | None:
        return "127.0.0.1:2" if name == self.moved else "127.0.0.1:1"

    def places(self, service: str) -> Mapping[str, Place]:
        del service
        return {}


class Watch:
    """One watch of a view that knows a ring and who coordinates its partitions."""

    def __init__(self) -> None:
        self.view, self.directory = RingView(), Addresses()
        self.view.offer_ring(RING)
        for partition, config in enumerate(RING.configs):
            self.view.offer_coordinator(partition, Epoch(1, config.old[0], 1))
        self.servicer = RingServicer(self.view, self.directory, Limits(), stream_age_s=600)
        self._stream = self.servicer.WatchRing(pb.WatchRingRequest(), None)  # type: ignore[arg-type]
        self._next: asyncio.Task[pb.WatchRingResponse] | None = None

    async def told(self) -> pb.WatchRingResponse | None:
        """The next message, if there is one to be had now."""
        if self._next is None:
            self._next = asyncio.ensure_future(anext(self._stream))
        for _ in range(TURNS):
            await asyncio.sleep(0)
        if not self._next.done():
            return None
        done, self._next = self._next, None
        return done.result()

    async def heard(self) -> pb.WatchRingResponse:
        """The next message, whenever it comes."""
        task, self._next = self._next, None
        async with asyncio.timeout(20):
            return await (task or anext(self._stream))

    def change(self) -> None:
        """A partition begins to move from its last member, and its coordinator takes it up anew."""
        config = RING.configs[0]
        new = next(m.disk for m in RING.members if m.disk not in config.old)
        joint = config.begin((*config.old[:2], new))
        ring = RING.with_configs({0: joint}).succeeding(RING)
        self.view.offer_ring(ring)
        self.view.offer_coordinator(0, Epoch(2, config.old[0], 1))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is gathered, and what may wait waits for ever."""
    monkeypatch.setattr(ring_service, "GATHER_S", 0.0)
    monkeypatch.setattr(ring_service, "PAUSE_S", 0.0)
    monkeypatch.setattr(ring_service, "LATER_S", 3600.0)


@pytest.mark.usefixtures("hasty")
async def test_a_change_waits_for_news_that_send_calls_astray_and_comes_with_them() -> None:
    watch = Watch()
    first_told = await watch.told()
    assert first_told is not None
    assert len(first_told.coordinators) == RING.partitions
    watch.change()
    assert await watch.told() is None, "whom to ask is as it was"
    other = RING.configs[1].old[1]
    watch.view.offer_coordinator(1, Epoch(2, other, 1))
    told = await watch.told()
    assert told is not None
    assert [change.partition for change in told.change.partitions] == [0]
    assert {(c.partition, c.epoch.counter) for c in told.coordinators} == {(0, 2), (1, 2)}
    assert await watch.told() is None


@pytest.mark.usefixtures("hasty")
async def test_a_member_that_answers_elsewhere_is_told_at_once() -> None:
    watch = Watch()
    await watch.told()
    watch.directory.moved = RING.members[1].name
    watch.view.note_address(RING.members[1].disk, "127.0.0.1:2")
    told = await watch.told()
    assert told is not None
    assert [(m.name, m.address) for m in told.change.members] == [("m-1", "127.0.0.1:2")]


@pytest.mark.usefixtures("hasty")
async def test_what_may_wait_is_told_by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_service, "LATER_S", 0.05)
    watch = Watch()
    await watch.told()
    watch.change()
    told = await watch.heard()
    assert told.change.to_version == 2
    assert [(c.partition, c.epoch.counter) for c in told.coordinators] == [(0, 2)]


@pytest.mark.usefixtures("hasty")
async def test_a_watch_that_is_ended_waits_for_nothing() -> None:
    watch = Watch()
    await watch.told()
    watch.change()
    assert await watch.told() is None
    watch.servicer.end_watches()
    with pytest.raises(StopAsyncIteration):
        await watch.heard()
