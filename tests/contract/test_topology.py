"""The topology port: one suite, run against every adapter."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from becket.adapters.kubernetes.topology import KubernetesTopology
from becket.adapters.local.memory import MemoryTopology
from becket.adapters.local.topology import FileTopology
from becket.core.errors import InvalidRingError
from becket.core.ring.encoding import encode
from becket.ports.topology import Topology, TopologyObject
from tests.unit.adapters.kubernetes.fake_api import NAMESPACE, FakeApi, access_to
from tests.unit.core.ring.rings import ring_of, turning_ring

RING = turning_ring()
PATIENCE_S = 5.0

Adapter = MemoryTopology | FileTopology | KubernetesTopology


class Store:
    """An adapter under test, a second process's view of the same object, and a hand to delete."""

    def __init__(self, view: Callable[[], Adapter], delete: Callable[[], None]) -> None:
        self.view = view
        self.delete = delete
        self.mine = view()


@pytest.fixture(params=["memory", "file", "kubernetes"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        memory = MemoryTopology()
        yield Store(lambda: memory, memory.delete)
    elif request.param == "file":
        path = tmp_path / "topology" / "ring"
        yield Store(lambda: FileTopology(path, watch_s=0.001), path.unlink)
    else:
        ring = f"/api/v1/namespaces/{NAMESPACE}/configmaps/becket-ring"
        async with FakeApi() as api, access_to(api) as access:
            rng = random.Random(1)
            yield Store(lambda: KubernetesTopology(access, rng=rng), lambda: api.remove(ring))


async def present(topology: Topology) -> TopologyObject:
    found = await topology.read()
    assert found is not None
    return found


async def next_of(watch: AsyncIterator[TopologyObject]) -> TopologyObject:
    async with asyncio.timeout(PATIENCE_S):
        return await anext(watch)


async def test_absent_at_first(store: Store) -> None:
    assert await store.mine.read() is None


async def test_what_is_written_is_read_to_the_letter_by_everybody(store: Store) -> None:
    assert await store.mine.compare_and_swap(None, RING)
    for view in (store.mine, store.view()):
        found = await present(view)
        assert found.ring == RING
        assert found.encoded == encode(RING)


async def test_a_write_takes_place_only_on_the_version_that_it_expects(store: Store) -> None:
    assert not await store.mine.compare_and_swap("1", RING)
    assert await store.mine.read() is None
    assert await store.mine.compare_and_swap(None, RING)
    first = await present(store.mine)
    later = RING.succeeding(RING)
    assert not await store.mine.compare_and_swap(None, later)
    assert await present(store.mine) == first
    assert await store.mine.compare_and_swap(first.object_version, later)
    assert not await store.mine.compare_and_swap(first.object_version, RING)
    assert (await present(store.mine)).ring == later


async def test_the_same_ring_written_again_is_another_object(store: Store) -> None:
    await store.mine.compare_and_swap(None, RING)
    first = await present(store.mine)
    assert await store.mine.compare_and_swap(first.object_version, RING)
    assert (await present(store.mine)).object_version != first.object_version


async def test_an_object_made_again_is_not_the_one_that_was_deleted(store: Store) -> None:
    await store.mine.compare_and_swap(None, RING)
    first = await present(store.mine)
    store.delete()
    assert await store.mine.read() is None
    assert not await store.mine.compare_and_swap(first.object_version, RING)
    assert await store.mine.compare_and_swap(None, RING)
    assert (await present(store.mine)).object_version != first.object_version
    assert not await store.mine.compare_and_swap(first.object_version, RING)


async def test_an_invalid_ring_is_never_written(store: Store) -> None:
    with pytest.raises(InvalidRingError):
        await store.mine.compare_and_swap(None, ring_of(version=0))
    assert await store.mine.read() is None


async def test_of_writers_that_race_one_wins_each_round(store: Store) -> None:
    await store.mine.compare_and_swap(None, RING)
    for _ in range(10):
        before = await present(store.mine)
        views = [store.view() for _ in range(8)]
        after = before.ring.succeeding(before.ring)
        won = await asyncio.gather(
            *(view.compare_and_swap(before.object_version, after) for view in views)
        )
        assert won.count(True) == 1
        assert (await present(store.mine)).ring == after


async def test_writers_that_read_again_after_a_conflict_all_get_their_turn(store: Store) -> None:
    async def raise_version(view: Adapter) -> None:
        for _ in range(5):
            while True:
                found = await present(view)
                after = found.ring.succeeding(found.ring)
                if await view.compare_and_swap(found.object_version, after):
                    break

    await store.mine.compare_and_swap(None, RING)
    await asyncio.gather(*(raise_version(store.view()) for _ in range(4)))
    assert (await present(store.mine)).ring.version == RING.version + 20


async def test_a_watch_tells_the_present_and_every_last_change(store: Store) -> None:
    await store.mine.compare_and_swap(None, RING)
    watch = store.view().watch()
    seen = await next_of(watch)
    assert seen == await present(store.mine)
    later = RING.succeeding(RING)
    await store.mine.compare_and_swap(seen.object_version, later)
    assert (await next_of(watch)).ring == later
    await watch.aclose()


async def test_a_watch_waits_for_an_object_and_outlives_its_deletion(store: Store) -> None:
    async with aclosing(store.view().watch()) as watch:
        waiting = asyncio.ensure_future(next_of(watch))
        await asyncio.sleep(0)
        assert not waiting.done()
        await store.mine.compare_and_swap(None, RING)
        assert (await waiting).ring == RING
        store.delete()
        later = RING.succeeding(RING)
        await store.mine.compare_and_swap(None, later)
        assert (await next_of(watch)).ring == later


async def test_a_slow_watcher_gets_the_newest_only(store: Store) -> None:
    async with aclosing(store.view().watch()) as watch:
        await store.mine.compare_and_swap(None, RING)
        await next_of(watch)
        for _ in range(5):
            found = await present(store.mine)
            after = found.ring.succeeding(found.ring)
            await store.mine.compare_and_swap(found.object_version, after)
        newest = await present(store.mine)
        seen = await next_of(watch)
        while seen != newest:  # What is told may be late, but never goes back nor stops short.
            later = await next_of(watch)
            assert later.ring.version > seen.ring.version
            seen = later


async def test_a_watch_ends_when_its_reader_is_cancelled(store: Store) -> None:
    async def read() -> None:
        async for _ in store.view().watch():
            pass

    reader = asyncio.ensure_future(read())
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
