"""The mirror: what it shows after everything that a watch does in the field."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from becket.adapters.kubernetes.access import Access
from becket.adapters.kubernetes.watching import Mirror
from tests.unit.adapters.kubernetes.fake_api import (
    NAMESPACE,
    PATIENCE_S,
    FakeApi,
    What,
    access_to,
    settings_for,
    until,
)
from tests.unit.adapters.kubernetes.fake_store import Json

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


def pod(**labels: str) -> Json:
    return {"kind": "Pod", "metadata": {"labels": labels, "managedFields": [{}]}, "spec": {}}


class Watched:
    """A mirror that runs, and the means to wait for it."""

    def __init__(self, access: Access, **selector: str) -> None:
        self.changes = 0
        self._changed = asyncio.Event()
        self.mirror = Mirror(
            access.lister(access.target("pods")),
            access.settings,
            rng=random.Random(1),
            on_change=self._note,
            **selector,
        )

    def _note(self) -> None:
        self.changes += 1
        self._changed.set()

    @property
    def names(self) -> set[str]:
        return {item["metadata"]["name"] for item in self.mirror.objects.values()}

    async def shows(self, *names: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not self.mirror.is_synced or self.names != set(names):
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def watched(access: Access, **selector: str) -> AsyncIterator[Watched]:
    found = Watched(access, **selector)
    running = asyncio.create_task(found.mirror.run())
    try:
        yield found
    finally:
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi() as api:
        yield api


async def test_it_shows_what_there_is_and_every_change(api: FakeApi) -> None:
    api.put(f"{PODS}/a", pod())
    async with access_to(api) as access, watched(access) as seen:
        await seen.shows("a")
        api.put(f"{PODS}/b", pod())
        await seen.shows("a", "b")
        api.remove(f"{PODS}/a")
        await seen.shows("b")
        assert api.count("list") == 1
        (item,) = seen.mirror.objects.values()
        assert "managedFields" not in item["metadata"]


async def test_the_first_list_is_a_change_though_it_is_empty(api: FakeApi) -> None:
    async with access_to(api) as access, watched(access) as seen:
        await seen.shows()
        assert seen.changes == 1


async def test_an_object_that_was_made_again_is_another_one(api: FakeApi) -> None:
    first = api.put(f"{PODS}/a", pod())["metadata"]["uid"]
    async with access_to(api) as access, watched(access) as seen:
        await seen.shows("a")
        api.remove(f"{PODS}/a")
        second = api.put(f"{PODS}/a", pod())["metadata"]["uid"]
        await until(lambda: set(seen.mirror.objects) == {second})
        assert first != second


async def test_a_selector_is_kept_by_list_and_watch(api: FakeApi) -> None:
    api.put(f"{PODS}/a", pod(app="becket"))
    api.put(f"{PODS}/b", pod())
    async with access_to(api) as access, watched(access, label_selector="app=becket") as seen:
        await seen.shows("a")
        api.put(f"{PODS}/b", pod(app="becket"))
        await seen.shows("a", "b")
        api.put(f"{PODS}/a", pod())
        await seen.shows("b")


async def test_generated_calls_serve_as_well(api: FakeApi) -> None:
    api.put(f"{PODS}/a", pod())
    async with access_to(api) as access:
        call = partial(access.core.list_namespaced_pod, NAMESPACE)
        mirror = Mirror(call, access.settings, rng=random.Random(1))
        running = asyncio.create_task(mirror.run())
        await api.wait_asked("watch", "pods")
        assert [item["metadata"]["name"] for item in mirror.objects.values()] == ["a"]
        running.cancel()


async def test_a_long_list_comes_in_pages(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("becket.adapters.kubernetes.watching.PAGE", 2)
    for name in "abcde":
        api.put(f"{PODS}/{name}", pod())
    async with access_to(api) as access, watched(access) as seen:
        await seen.shows(*"abcde")
        assert api.count("list") == 3


@pytest.mark.parametrize(
    "what", ["gone_status", "gone_event", "ends", "babble", "refuse", "drop_before"]
)
async def test_whatever_a_watch_ends_by_a_list_follows(api: FakeApi, what: What) -> None:
    api.put(f"{PODS}/a", pod())
    fault = api.fail(what, "watch", times=4)
    async with access_to(api) as access, watched(access) as seen:
        await api.wait_asked("watch", times=5)
        assert fault.met.is_set()
        api.put(f"{PODS}/b", pod())
        await seen.shows("a", "b")
        # aiohttp itself asks once more where a connection broke.
        assert api.count("list") >= (3 if what == "drop_before" else 5)
        assert seen.mirror.problem == ""


@pytest.mark.parametrize("what", ["refuse", "drop_before", "drop_after"])
async def test_a_list_that_fails_is_asked_for_again(api: FakeApi, what: What) -> None:
    api.put(f"{PODS}/a", pod())
    api.fail(what, "list", times=3)
    async with access_to(api) as access, watched(access) as seen:
        await seen.shows("a")


async def test_a_list_that_hangs_has_an_end(api: FakeApi) -> None:
    api.put(f"{PODS}/a", pod())
    api.fail("hold", "list")
    async with access_to(api, settings_for(call_ms=50)) as access, watched(access) as seen:
        await seen.shows("a")


async def test_a_watch_that_hangs_is_left(api: FakeApi) -> None:
    async with access_to(api, settings_for(read_s=1)) as access, watched(access) as seen:
        await seen.shows()
        await api.wait_asked("watch")
        await until(lambda: api.watchers)
        api.silence_watches()
        api.put(f"{PODS}/a", pod())
        await seen.shows("a")
        assert seen.mirror.problem == ""


async def test_bookmarks_are_what_a_later_watch_goes_on_from(api: FakeApi) -> None:
    api.bookmark_s = 0.01
    async with access_to(api) as access, watched(access) as seen:
        await seen.shows()
        api.put("/api/v1/namespaces/other/pods/x", pod())  # Moves the version, and is no event.
        version = str(api.store.version)
        await until(lambda: seen.mirror._version >= int(version))
        api.compact()
        api.end_watches()
        await api.wait_asked("watch", times=2)
        assert api.asked[-1].query["resourceVersion"] >= version


async def test_a_list_that_goes_back_in_time_is_not_believed(api: FakeApi) -> None:
    api.keep_list(PODS)
    api.put(f"{PODS}/a", pod())
    async with access_to(api) as access, watched(access) as seen:
        await seen.shows("a")
        await api.wait_asked("watch")
        fault = api.fail("old_list", "list", times=2)
        api.end_watches()
        await api.wait_asked("watch", times=2)
        assert fault.met.is_set()
        assert seen.names == {"a"}
        assert seen.changes == 1
        assert seen.mirror.stale_lists == 2


async def test_a_store_that_was_restored_is_believed_after_a_while(api: FakeApi) -> None:
    api.keep_list(PODS)
    api.put(f"{PODS}/a", pod())
    async with access_to(api, settings_for(relist_s=1)) as access, watched(access) as seen:
        await seen.shows("a")
        api.store.objects.clear()
        api.store.history.clear()
        api.store.version = 50
        api.end_watches()
        await seen.shows()
        assert seen.mirror.stale_lists > 1


async def test_nothing_older_takes_the_place_of_what_is_known(api: FakeApi) -> None:
    api.put(f"{PODS}/a", pod(step="1"))
    old = api.take(f"{PODS}/a")
    async with access_to(api) as access, watched(access) as seen:
        api.put(f"{PODS}/a", pod(step="2"))
        await seen.shows("a")
        api.put(f"{PODS}/b", pod())
        await seen.shows("a", "b")
        api.tell_watchers({"type": "MODIFIED", "object": old})
        api.tell_watchers({"type": "DELETED", "object": old})
        api.put(f"{PODS}/c", pod())
        await seen.shows("a", "b", "c")
        steps = {each["metadata"]["labels"].get("step") for each in seen.mirror.objects.values()}
        assert "2" in steps


async def test_what_a_watch_swallows_a_list_finds(api: FakeApi) -> None:
    settings = settings_for(relist_s=1, read_s=600)
    async with access_to(api, settings) as access, watched(access) as seen:
        await seen.shows()
        await until(lambda: api.watchers)
        api.watchers[0].is_deaf = True
        api.put(f"{PODS}/a", pod())
        await seen.shows("a")
        assert api.count("watch") == 1


async def test_while_the_api_is_away_what_is_known_stays(api: FakeApi) -> None:
    api.put(f"{PODS}/a", pod())
    async with access_to(api) as access, watched(access) as seen:
        await seen.shows("a")
        await api.wait_asked("watch")
        await api.stop()
        await until(lambda: seen.mirror.problem)
        assert seen.names == {"a"}
        assert seen.mirror.age_s() > 0
        api.put(f"{PODS}/b", pod())
        await api.start()
        await seen.shows("a", "b")
        assert seen.mirror.age_s() < PATIENCE_S


async def test_a_missing_right_is_named(api: FakeApi) -> None:
    api.forbidden.add(("list", "pods"))
    async with access_to(api) as access, watched(access, label_selector="x=y") as seen:
        await until(lambda: seen.mirror.problem)
        assert "may not list" in seen.mirror.problem
        api.forbidden.clear()
        await seen.shows()


async def test_an_event_that_is_too_long_is_an_outage(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("becket.adapters.kubernetes.watching.LINE_BYTES", 2000)
    async with access_to(api) as access, watched(access) as seen:
        await seen.shows()
        await api.wait_asked("watch")
        api.put(f"{PODS}/a", {**pod(), "spec": {"text": "x" * (1 << 20)}})
        await seen.shows("a")  # By the list that follows.
        assert api.count("list") == 2


async def test_pauses_grow_with_failures_and_have_a_limit(api: FakeApi) -> None:
    settings = settings_for(backoff_least_ms=100, backoff_most_ms=5000)
    async with access_to(api, settings) as access:
        mirror = Watched(access).mirror
        pauses = []
        for failures in range(40):
            mirror._failures = failures
            pauses.append(mirror._pause_s())
        assert 0.05 <= pauses[0] <= 0.1
        assert all(2.5 <= each <= 5 for each in pauses[6:])
