"""A bit flips on one disk: it is found in the background, told, and mended from the other replicas.

Below the checksum of a cell: the member is killed, its RocksDB is opened in its place while its
lock is held here, and one bit of one value is turned round. No client reads the key before it is
mended. Below the checksum of a block: one bit of a file is turned round under a running member,
and nothing tells it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import grpc
import pytest

import becket
from becket.adapters.engines.rocks import RocksEngine
from becket.adapters.engines.volume import VolumeLockedError, open_volume
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1 import key_value_pb2_grpc, supervisor_pb2
from becket.cli.calling import services_at
from becket.core.errors import NotFoundError
from becket.core.hashing import partition_of
from becket.core.replication.encoding import decode_cell
from becket.ports.engine import Put
from becket.testing import Cluster
from tests.flipping import flip_a_bit

KEY, VALUE = b"damaged", b"a value whose bits matter"
PATIENCE_S = 60
SETTINGS = {
    # Damage is looked for, and replicas compare themselves, more often than in earnest.
    "BECKET_REPLICATION__SWEEP_US": "50000",
    "BECKET_REPLICATION__COMPARE_US": "1000000",
}


@contextmanager
def engine_of(cluster: Cluster, name: str) -> Iterator[RocksEngine]:
    """The engine of a member that was killed; its successor waits for the lock."""
    folder = cluster.layout.member_folder(name)
    until, again = time.monotonic() + PATIENCE_S, 0.0
    volume = None
    while volume is None:
        if time.monotonic() > again:
            # A successor takes much longer to get to its lock than this process to a free one.
            with suppress(NotFoundError):
                cluster.kill(name)
            again = time.monotonic() + 1.0
        try:
            volume = open_volume(folder, "not-used")
        except VolumeLockedError:
            assert time.monotonic() < until, "its successor was always faster"
            time.sleep(0.005)
    engine = RocksEngine(volume.engine_folder)
    try:
        yield engine
    finally:
        engine.sync()
        engine.close()
        volume.close()


def cell_key(partitions: int) -> bytes:
    """Where the cell lies in the engine: see ``adapters.engines.cells``."""
    return b"k" + partition_of(KEY, partitions).to_bytes(4, "big") + KEY


async def until_it_holds(address: str) -> None:
    """Wait until this replica has the value: two of three acknowledge a put, the third may not."""
    request = kv.GetRequest(key=KEY, consistency=kv.CONSISTENCY_ANY)
    async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(PATIENCE_S):
        stub = key_value_pb2_grpc.KeyValueServiceStub(channel)
        found = await stub.Get(request)
        while found.entry.value != VALUE:
            await asyncio.sleep(0.02)
            found = await stub.Get(request)


async def status(cluster: Cluster) -> supervisor_pb2.GetStatusResponse:
    """What the supervisor says at the moment."""
    async with services_at(cluster.address, 5.0) as services:
        return await services.ask(services.supervisor.GetStatus, supervisor_pb2.GetStatusRequest())


async def happened(cluster: Cluster, *words: str) -> bool:
    """Whether the supervisor remembers an event with all of these words."""
    async with services_at(cluster.address, 5.0) as services:
        watch = services.supervisor.WatchEvents(supervisor_pb2.WatchEventsRequest(), timeout=5)
        known = await anext(aiter(watch))
    return any(all(word in event.sentence for word in words) for event in known.events)


async def whole(cluster: Cluster) -> None:
    """Wait until every partition has all of its replicas, alive and level."""
    async with asyncio.timeout(PATIENCE_S):
        found = await status(cluster)
        while not found.partitions or found.whole_partitions < found.partitions:
            await asyncio.sleep(0.1)
            found = await status(cluster)


async def told(cluster: Cluster, condition: Callable[[str], bool]) -> str:
    """The first sentence of the supervisor's status for which the condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for sentence in (await status(cluster)).sentences:
                if condition(sentence):
                    return sentence
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("is_coordinator", [True, False])
async def test_a_flipped_bit_is_found_told_and_mended(*, is_coordinator: bool) -> None:
    async with Cluster(settings=SETTINGS) as cluster, asyncio.timeout(180):
        async with cluster.client() as client:
            await client.put(KEY, VALUE)
            location = await client.locate(KEY)
            partitions = (await client.ring()).partitions
        assert location.coordinator is not None
        leader = location.coordinator.name
        others = [place for place in location.replicas if place.name != leader]
        place = location.coordinator if is_coordinator else others[0]
        victim = place.name
        await until_it_holds(place.address)

        def damage() -> None:
            with engine_of(cluster, victim) as engine:
                raw = engine.get(cell_key(partitions))
                assert raw is not None
                at = raw.index(VALUE)
                flipped = raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]
                engine.apply([Put(cell_key(partitions), flipped)])

        await asyncio.to_thread(damage)
        await asyncio.to_thread(cluster.wait_ready)
        sentence = await told(cluster, lambda text: "mended from other replicas" in text)
        assert sentence.startswith(f"{victim}: 1 damaged cell was found on its disk")

        def mended() -> bytes | None:
            with engine_of(cluster, victim) as engine:
                raw = engine.get(cell_key(partitions))
                assert raw is not None
                return decode_cell(raw).value

        assert await asyncio.to_thread(mended) == VALUE
        await asyncio.to_thread(cluster.wait_ready)
        async with cluster.client() as client:
            entry = await client.get(KEY)
            assert entry is not None
            assert entry.value == VALUE


async def test_a_disk_of_which_a_block_does_not_read_is_replaced_and_no_list_lacks_a_key() -> None:
    keys = {b"k%05d" % number: os.urandom(100) for number in range(6000)}
    async with Cluster(settings=SETTINGS) as cluster, asyncio.timeout(180):
        async with cluster.client() as client:
            names = sorted(keys)
            for start in range(0, len(names), 500):
                await client.batch(
                    [becket.Put(key, keys[key]) for key in names[start : start + 500]]
                )
        victim = "storage-1"
        folder = cluster.layout.member_folder(victim)

        def move_to_a_table() -> None:
            with engine_of(cluster, victim) as engine:
                engine.flush()

        await asyncio.to_thread(move_to_a_table)
        flip_a_bit(folder / "engine")
        await asyncio.to_thread(cluster.wait_ready)
        before = (folder / "VOLUME").read_text()
        async with cluster.client() as client:
            # The damage is found by the member's own reading, by a write, or by these lists.
            while not (folder / "LOST").exists() or not (folder / "VOLUME").exists():
                found = {entry.key: entry.value async for entry in client.scan()}
                assert found == keys
            assert (folder / "VOLUME").read_text() != before
            assert await happened(
                cluster, f"{victim}: files of its disk do not read", "it is given up"
            )
            await whole(cluster)
            found = {entry.key: entry.value async for entry in client.scan()}
            assert found == keys
