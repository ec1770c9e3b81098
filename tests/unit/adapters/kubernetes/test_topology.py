"""The ring object beyond the port: the fence, lost answers, what others put into the object."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from becket.adapters.kubernetes.access import Access
from becket.adapters.kubernetes.topology import FENCE, KubernetesTopology
from becket.ports.topology import TopologyObject, TopologyUnavailableError
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
from tests.unit.core.ring.rings import turning_ring

RING = turning_ring()
PATH = f"/api/v1/namespaces/{NAMESPACE}/configmaps/becket-ring"


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi() as api:
        yield api


@pytest.fixture
async def access(api: FakeApi) -> AsyncIterator[Access]:
    async with access_to(api) as access:
        yield access


def topology_of(access: Access) -> KubernetesTopology:
    return KubernetesTopology(access, rng=random.Random(1))


def object_of(api: FakeApi) -> Json:
    found = api.take(PATH)
    assert found is not None
    return found


async def present(topology: KubernetesTopology) -> TopologyObject:
    found = await topology.read()
    assert found is not None
    return found


async def next_of(watch: AsyncIterator[TopologyObject]) -> TopologyObject:
    async with asyncio.timeout(PATIENCE_S):
        return await anext(watch)


# The fence


async def test_a_fence_makes_the_object_which_counts_as_absent(
    api: FakeApi, access: Access
) -> None:
    topology = topology_of(access)
    assert await topology.raise_fence(3)
    assert object_of(api)["metadata"]["annotations"][FENCE] == "3"
    assert await topology.read() is None
    assert await topology.compare_and_swap(None, RING)
    assert (await present(topology)).ring == RING
    assert object_of(api)["metadata"]["annotations"][FENCE] == "3"


async def test_a_fence_keeps_the_ring(access: Access) -> None:
    first, second = topology_of(access), topology_of(access)
    assert await first.compare_and_swap(None, RING)
    assert await second.raise_fence(7)
    assert (await present(second)).ring == RING


async def test_who_is_fenced_off_writes_nothing(access: Access) -> None:
    old, new = topology_of(access), topology_of(access)
    assert await old.raise_fence(1)
    assert await old.compare_and_swap(None, RING)
    before = await present(old)
    assert await new.raise_fence(2)
    later = RING.succeeding(RING)
    # What it read before the fence is another object now.
    assert not await old.compare_and_swap(before.object_version, later)
    now = await present(old)
    with pytest.raises(TopologyUnavailableError, match="term 2 has fenced it off"):
        await old.compare_and_swap(now.object_version, later)
    assert not await old.raise_fence(1)
    assert old.fence == 2
    assert await new.compare_and_swap(now.object_version, later)


async def test_a_term_of_another_leader_is_not_ones_own(access: Access) -> None:
    one, two = topology_of(access), topology_of(access)
    assert await one.raise_fence(1)
    assert await one.raise_fence(1)
    assert not await two.raise_fence(1)
    assert two.fence == 1
    assert await two.raise_fence(2)
    with pytest.raises(TopologyUnavailableError):
        await one.compare_and_swap(None, RING)


@pytest.mark.parametrize("what", ["drop_after", "hold_after"])
async def test_a_fence_whose_answer_was_lost_is_raised(api: FakeApi, what: What) -> None:
    async with access_to(api, settings_for(call_ms=100)) as access:
        topology = topology_of(access)
        api.fail(what, "create")
        with pytest.raises(TopologyUnavailableError):
            await topology.raise_fence(4)
        assert await topology.raise_fence(4)
        assert api.count("create") == 1
        assert api.count("update") == 0


async def test_racing_fences_leave_the_highest(api: FakeApi, access: Access) -> None:
    views = [topology_of(access) for _ in range(5)]
    won = await asyncio.gather(*(view.raise_fence(i + 1) for i, view in enumerate(views)))
    assert won[-1]
    assert object_of(api)["metadata"]["annotations"][FENCE] == "5"


async def test_a_fence_that_is_no_number_is_named(api: FakeApi, access: Access) -> None:
    api.put(PATH, {"metadata": {"annotations": {FENCE: "many"}}})
    with pytest.raises(TopologyUnavailableError, match="is no number; remove it"):
        await topology_of(access).raise_fence(1)


# Lost answers and outages


@pytest.mark.parametrize("what", ["drop_after", "hold_after", "drop_before", "hold"])
async def test_a_write_without_an_answer_is_neither(api: FakeApi, what: What) -> None:
    async with access_to(api, settings_for(call_ms=100)) as access:
        topology = topology_of(access)
        assert await topology.compare_and_swap(None, RING)
        before = await present(topology)
        later = RING.succeeding(RING)
        api.fail(what, "update")
        with pytest.raises(TopologyUnavailableError):
            await topology.compare_and_swap(before.object_version, later)
        took_place = what.endswith("after")
        assert (await present(topology)).ring == (later if took_place else RING)
        assert await topology.compare_and_swap(before.object_version, later) != took_place


@pytest.mark.parametrize("status", [401, 403, 422, 429, 500, 503])
async def test_a_refused_write_is_no_other_object(
    api: FakeApi, access: Access, status: int
) -> None:
    topology = topology_of(access)
    api.fail("refuse", "create").status = status
    with pytest.raises(TopologyUnavailableError, match="create configmaps becket-ring"):
        await topology.compare_and_swap(None, RING)
    assert await topology.compare_and_swap(None, RING)


async def test_a_read_without_an_answer_says_why(api: FakeApi, access: Access) -> None:
    api.forbidden.add(("get", "configmaps"))
    with pytest.raises(TopologyUnavailableError, match="may not get configmaps becket-ring"):
        await topology_of(access).read()


async def test_damage_is_no_answer_and_never_absence(api: FakeApi, access: Access) -> None:
    topology = topology_of(access)
    for data in ("####", "AAAA"):
        api.put(PATH, {"binaryData": {"ring": data}})
        with pytest.raises(TopologyUnavailableError, match="damaged"):
            await topology.read()


async def test_what_others_put_into_the_object_stays(api: FakeApi, access: Access) -> None:
    api.put(PATH, {"metadata": {"labels": {"a": "b"}}, "data": {"note": "mine"}, "extra": 1})
    topology = topology_of(access)
    assert await topology.compare_and_swap(None, RING)
    found = object_of(api)
    assert found["metadata"]["labels"] == {"a": "b"}
    assert found["data"] == {"note": "mine"}
    assert found["extra"] == 1


# The watch


async def test_a_watch_outlives_an_outage(api: FakeApi, access: Access) -> None:
    topology = topology_of(access)
    await topology.compare_and_swap(None, RING)
    later = RING.succeeding(RING)
    async with aclosing(topology.watch()) as watch:
        first = await next_of(watch)
        coming = asyncio.ensure_future(next_of(watch))
        await until(lambda: api.watchers)
        await api.stop()
        await until(lambda: topology.problem)
        await api.start()
        assert await topology.compare_and_swap(first.object_version, later)
        assert (await coming).ring == later
        assert topology.age_s < PATIENCE_S


async def test_a_watch_says_nothing_of_damage_nor_of_others(api: FakeApi, access: Access) -> None:
    topology = topology_of(access)
    api.put(PATH, {"binaryData": {"ring": "####"}})
    api.put(PATH.replace("becket-ring", "other"), {"binaryData": {"ring": "####"}})
    async with aclosing(topology.watch()) as watch:
        coming = asyncio.ensure_future(next_of(watch))
        await until(lambda: api.watchers)
        assert api.asked[-1].query["fieldSelector"] == "metadata.name=becket-ring"
        api.remove(PATH)
        await topology.compare_and_swap(None, RING)
        assert (await coming).ring == RING
