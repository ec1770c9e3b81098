"""A member that others have heard is dialled at once; one of whom nobody knows, after a while."""

from __future__ import annotations

import asyncio

from becket.adapters.dispatch.channel_pool import ChannelPool
from becket.adapters.dispatch.dialing import Dialing
from becket.adapters.dispatch.news import News
from becket.adapters.dispatch.settings import DispatchSettings
from becket.adapters.rpc.ring_view import RingView
from becket.adapters.rpc.rings import epoch_to_proto
from becket.api.v1 import types_pb2
from becket.core.replication.versions import Epoch

HOURS = DispatchSettings(reconnect_least_us=1000, reconnect_most_us=3_600_000_000)
NOBODY = "127.0.0.1:1"


def failed_often(dialing: Dialing) -> None:
    """Its back-off is half an hour by now."""
    for _ in range(24):
        dialing.note_failure()


async def test_hope_ends_the_back_off_and_dials_by_another_channel() -> None:
    pool = ChannelPool()
    dialing = Dialing(NOBODY, pool, HOURS)
    before = dialing.channel
    failed_often(dialing)
    pausing = asyncio.create_task(dialing.pause())
    await asyncio.sleep(0)
    dialing.hope()
    async with asyncio.timeout(20):
        await pausing
    assert dialing.channel is not before
    assert pool.get(NOBODY) is dialing.channel
    assert not await dialing.connect()
    await before.close()
    await pool.close()


async def test_hope_is_used_up_and_ends_with_an_answer() -> None:
    pool = ChannelPool()
    dialing = Dialing(NOBODY, pool, HOURS)
    failed_often(dialing)
    dialing.hope()
    dialing.note_answer()
    before = dialing.channel
    await dialing.pause()  # the shortest one, as it was reached
    assert dialing.channel is before
    failed_often(dialing)
    dialing.hope()
    async with asyncio.timeout(20):
        await dialing.pause()
    pausing = asyncio.create_task(dialing.pause())
    done, _ = await asyncio.wait({pausing}, timeout=0.05)
    assert not done, "what was heard once is no reason to dial twice"
    pausing.cancel()
    await before.close()
    await pool.close()


async def test_who_coordinates_anew_has_been_heard() -> None:
    heard: list[str] = []
    news = News(RingView(), lambda: None, heard.append)
    told = [
        types_pb2.Coordinator(partition=partition, epoch=epoch_to_proto(Epoch(3, disk, 2)))
        for partition, disk in ((0, "a"), (1, "a"), (2, "b"))
    ]
    news.take_coordinators(told)
    assert sorted(heard) == ["a", "b"]
    news.take_coordinators(told)
    assert sorted(heard) == ["a", "b"], "what was known is no sign of life"
