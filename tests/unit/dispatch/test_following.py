"""Following the ring: several watches, one of which is enough; addresses; news within a turn."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from becket.adapters.dispatch.channel_pool import ChannelPool
from becket.adapters.dispatch.news import News
from becket.adapters.dispatch.ring_follower import RingFollower
from becket.adapters.dispatch.settings import DispatchSettings
from becket.adapters.rpc.ring_view import RingView
from becket.adapters.rpc.rings import config_to_proto, member_to_proto, ring_to_proto
from becket.api.v1 import ring_pb2
from becket.core.errors import InvalidRingError
from becket.core.ring.members import Member
from tests.unit.dispatch.fakes import FakeCluster, eventually

FAST = DispatchSettings(reconnect_most_us=100_000)


@asynccontextmanager
async def following(*seeds: str) -> AsyncIterator[RingFollower]:
    pool = ChannelPool()
    follower = RingFollower(
        News(RingView(), lambda: None, lambda _disk: None), pool, FAST, random.Random(1)
    )
    follower.set_seeds(seeds)
    try:
        yield follower
    finally:
        await follower.close()
        await pool.close()


def view_of(follower: RingFollower) -> RingView:
    return follower._news.view


async def test_one_address_is_enough_to_know_ring_addresses_and_coordinators() -> None:
    async with FakeCluster() as cluster, following(cluster.addresses[0]) as follower:
        view = view_of(follower)
        async with asyncio.timeout(5):
            await view.changed(0)
        await eventually(lambda: len(view.table.epochs) == 8)
        assert view.table.version == 1
        assert sorted(view.addresses.values()) == sorted(cluster.addresses)


async def test_a_change_of_coordinator_is_pushed() -> None:
    async with FakeCluster() as cluster, following(*cluster.addresses) as follower:
        view = view_of(follower)
        await eventually(lambda: len(view.table.epochs) == 8)
        cluster.move(0, "disk-1")
        await eventually(lambda: view.table.target(0) == "disk-1")


async def test_any_one_that_is_left_tells_the_news() -> None:
    async with FakeCluster() as cluster, following(*cluster.addresses) as follower:
        view = view_of(follower)
        await eventually(lambda: len(view.table.epochs) == 8)
        await cluster.members["disk-0"].stop()
        await cluster.members["disk-1"].stop()
        cluster.move(0, "disk-2")
        await eventually(lambda: view.table.target(0) == "disk-2")
        await cluster.members["disk-0"].start()
        await cluster.members["disk-2"].stop()
        cluster.move(0, "disk-1")
        await eventually(lambda: view.table.target(0) == "disk-1")


async def test_a_watch_whose_channel_was_closed_is_opened_again() -> None:
    async with FakeCluster() as cluster, following(cluster.addresses[0]) as follower:
        view = view_of(follower)
        await eventually(lambda: len(view.table.epochs) == 8)
        await follower._pool.drop(cluster.addresses[0])
        cluster.move(0, "disk-1")
        await eventually(lambda: view.table.target(0) == "disk-1")


async def test_why_no_ring_comes_is_known() -> None:
    async with FakeCluster(), following("127.0.0.1:1") as follower:
        await eventually(lambda: follower.last_problem)
        assert "127.0.0.1:1" in follower.last_problem


def told() -> tuple[FakeCluster, News]:
    cluster, news = FakeCluster(), News(RingView(), lambda: None, lambda _disk: None)
    ring = ring_to_proto(cluster.ring, lambda name: f"{name}:1")
    assert news.take_watch(ring_pb2.WatchRingResponse(ring=ring))
    return cluster, news


async def test_a_change_is_applied_to_the_version_that_it_starts_from() -> None:
    cluster, news = told()
    config = cluster.ring.configs[0].begin(("disk-1", "disk-2", "disk-new"))
    member = member_to_proto(Member("disk-new", "storage-3"), "new:1")
    change = ring_pb2.RingChange(
        from_version=1, to_version=2, members=[member], partitions=[config_to_proto(0, config)]
    )
    assert news.take_watch(ring_pb2.WatchRingResponse(change=change))
    ring = news.view.ring
    assert ring is not None
    assert ring.version == 2
    assert ring.configs[0] == config
    assert ring.name_of("disk-new") == "storage-3"
    assert news.view.addresses["disk-new"] == "new:1"
    assert news.take_watch(ring_pb2.WatchRingResponse(change=change)), "known already"
    change.from_version, change.to_version = 5, 6
    assert not news.take_watch(ring_pb2.WatchRingResponse(change=change))


async def test_what_is_not_valid_leaves_everything_as_it_was() -> None:
    cluster, news = told()
    config = config_to_proto(77, cluster.ring.configs[0])
    change = ring_pb2.RingChange(from_version=1, to_version=2, partitions=[config])
    with pytest.raises(InvalidRingError):
        news.take_watch(ring_pb2.WatchRingResponse(change=change))
    other = ring_to_proto(cluster.ring, lambda _: None)
    other.cluster_id, other.version = "other", 9
    with pytest.raises(InvalidRingError):
        news.take_watch(ring_pb2.WatchRingResponse(ring=other))
    assert news.view.table.version == 1


def test_a_name_takes_no_numeric_address_away() -> None:
    cluster = FakeCluster()
    moved: list[str] = []
    view = RingView()
    news = News(view, lambda: moved.append(view.addresses["disk-0"]), lambda _disk: None)
    told = ("s-0.svc:7400", "s-0.ns.svc:7400", "10.0.0.1:7400", "s-0.svc:7400", "10.0.0.2:7400")
    for address in told:
        ring = ring_to_proto(cluster.ring, {"storage-0": address}.get)
        news.take_ring(ring_pb2.GetRingResponse(ring=ring))
    assert moved == ["s-0.svc:7400", "s-0.ns.svc:7400", "10.0.0.1:7400", "10.0.0.2:7400"]
