"""Events: what they say, how many there may be, and that nobody waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from becket.adapters.kubernetes import events as events_module
from becket.adapters.kubernetes.events import BURST, MOST_QUEUED, Events, Regarding
from becket.ports.platform import Notice
from tests.unit.adapters.kubernetes.fake_api import FakeApi, access_to, until
from tests.unit.adapters.kubernetes.fake_store import Json

STORAGE = Regarding("apps/v1", "StatefulSet", "becket-storage", "uid-set")
POD = Regarding("v1", "Pod", "becket-storage-1", "uid-pod")


@asynccontextmanager
async def writing(api: FakeApi, *, is_known: bool = True) -> AsyncIterator[Events]:
    known = {"": STORAGE, "becket-storage-1": POD} if is_known else {}
    async with access_to(api) as access:
        events = Events(access, "becket-supervisor-abc", known.get)
        task = asyncio.create_task(events.run())
        try:
            yield events
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi() as made:
        yield made


def written(api: FakeApi) -> list[Json]:
    return [item for place, item in api.store.objects.items() if place.kind == "events"]


async def test_an_event_tells_what_happened_to_whom(api: FakeApi) -> None:
    async with writing(api) as events:
        events.tell(Notice("Member", "m is drained", "becket-storage-1"))
        events.tell(Notice("RingChanges", "frozen", is_warning=True))
        events.tell(Notice("Member", "of one without a pod", "becket-storage-9"))
        await until(lambda: len(written(api)) == 3)
    first, second, third = written(api)
    assert first["note"] == "m is drained"
    assert first["regarding"]["kind"] == "Pod"
    assert first["regarding"]["uid"] == "uid-pod"
    assert first["type"] == "Normal"
    assert first["reportingInstance"] == "becket-supervisor-abc"
    assert first["eventTime"].endswith("Z")
    assert first["metadata"]["name"].startswith("becket-storage-1-"), "no name may end in a point"
    assert (second["type"], second["regarding"]["kind"]) == ("Warning", "StatefulSet")
    assert third["regarding"]["name"] == "becket-storage"


async def test_the_same_is_not_told_twice_in_a_row(api: FakeApi) -> None:
    async with writing(api) as events:
        for _ in range(3):
            events.tell(Notice("Ring", "the same"))
        events.tell(Notice("Ring", "another"))
        await until(lambda: len(written(api)) == 2)


async def test_long_sentences_are_cut(api: FakeApi) -> None:
    async with writing(api) as events:
        events.tell(Notice("Ring", "ä" * 5000))
        await until(lambda: written(api))
    assert written(api)[0]["note"] == "ä" * 500


async def test_no_more_is_written_than_the_rate_allows(api: FakeApi) -> None:
    async with writing(api) as events:
        for number in range(BURST + 20):
            events.tell(Notice("Ring", f"number {number}"))
        await until(lambda: len(written(api)) == BURST)
        for number in range(2 * MOST_QUEUED):
            events.tell(Notice("Ring", f"later {number}"))
        assert events.dropped >= MOST_QUEUED
        assert len(written(api)) == BURST


async def test_an_api_that_refuses_or_is_away_holds_up_nobody(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "RATE_S", 0.001)
    monkeypatch.setattr(events_module, "FORBIDDEN_S", 0.001)
    api.forbidden.add(("create", "events"))
    async with writing(api) as events:
        events.tell(Notice("Ring", "one"))
        await until(lambda: events.problem)
        assert "may not create events" in events.problem
        api.forbidden.clear()
        api.fail("refuse", "create", "events").status = 422
        events.tell(Notice("Ring", "two"))
        await until(lambda: events.dropped == 2)
        assert "a Kubernetes Event is not taken" in events.problem
        events.tell(Notice("Ring", "three"))
        await until(lambda: written(api))
        assert [event["note"] for event in written(api)] == ["three"]
        await until(lambda: not events.problem)


async def test_what_regards_nothing_is_dropped(api: FakeApi) -> None:
    async with writing(api, is_known=False) as events:
        events.tell(Notice("Ring", "one"))
        await until(lambda: events.dropped == 1)
