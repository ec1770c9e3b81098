"""Real processes are killed, paused, wiped and starved while clients record what they see.

Starts clusters of its own and hurts only their processes. Each test is bounded in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from becket.adapters.clocks import monotonic_us
from becket.core.errors import DiskFullError
from becket.testing import Cluster
from tests.probe.loaded import under_load

SLOW_MS = 10_000
"""No machine is so slow that a gap like this is its fault alone."""


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster() as cluster, asyncio.timeout(120):
        yield cluster


async def test_killed_coordinator_loses_no_acknowledged_write(cluster: Cluster) -> None:
    async with under_load(cluster) as loaded:
        for _ in range(3):
            name, keys = await loaded.coordinator()
            began_us = monotonic_us()
            cluster.kill(name)
            await loaded.recovered()
            assert loaded.tell_gap(f"kill -9 {name}", keys, began_us) < SLOW_MS
            await asyncio.to_thread(cluster.wait_ready)


async def test_member_that_is_asked_to_stop_causes_no_error(cluster: Cluster) -> None:
    async with under_load(cluster) as loaded:
        for name in cluster.members:
            held = await loaded.probes.of_member(name)
            began_us = monotonic_us()
            await asyncio.to_thread(cluster.restart, name)
            await loaded.recovered()
            assert loaded.tell_gap(f"SIGTERM {name}", held, began_us) < SLOW_MS
        assert (loaded.counts.unknown, loaded.counts.refused, loaded.probes.errors) == (0, 0, 0)


async def test_member_that_stands_still_for_longer_than_a_lease_answers_nothing_stale(
    cluster: Cluster,
) -> None:
    async with under_load(cluster) as loaded:
        for _ in range(3):
            name, keys = await loaded.coordinator()
            began_us = monotonic_us()
            cluster.pause(name)
            await asyncio.sleep(1.2)
            cluster.resume(name)
            await loaded.recovered()
            assert loaded.tell_gap(f"pause {name}", keys, began_us) < SLOW_MS


async def test_wiped_disks_are_replaced_one_after_the_other(cluster: Cluster) -> None:
    async with under_load(cluster) as loaded:
        await loaded.whole()
        for name in cluster.members:
            await asyncio.to_thread(cluster.wipe, name)
            await loaded.recovered()
            await loaded.whole()


async def test_all_processes_killed_at_once_come_back_with_everything(cluster: Cluster) -> None:
    async with under_load(cluster) as loaded:
        began_us = monotonic_us()
        cluster.kill_all()
        await loaded.recovered()
        assert loaded.tell_gap("kill -9 of all", loaded.probes.keys, began_us) < SLOW_MS


async def test_keys_are_served_while_supervisor_and_router_are_killed(cluster: Cluster) -> None:
    async with under_load(cluster) as loaded:
        for name in ("supervisor-0", "router-0") * 2:
            cluster.kill(name)
            await loaded.recovered()
        assert (loaded.counts.unknown, loaded.counts.refused, loaded.probes.errors) == (0, 0, 0)
        await asyncio.to_thread(cluster.wait_ready)


async def test_full_disk_refuses_writes_and_serves_reads() -> None:
    # No disk has so much room, so to the members theirs look full.
    full = Cluster(settings={"BECKET_FULL_MIB": str(1 << 40)})
    async with asyncio.timeout(60), full as cluster, cluster.client() as client:
        with pytest.raises(DiskFullError):
            await client.put("key", b"value")
        assert await client.get("key") is None
        assert await client.delete("key") is False
