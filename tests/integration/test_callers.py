"""Client and router in front of three real members: what is promised holds while members stop."""

from __future__ import annotations

import asyncio
import copy
import pickle
from pathlib import Path

import pytest

from becket import Client, Delete, Entry, Get, Increment, Put
from becket.api.v1 import key_value_pb2 as kv
from becket.client.values import Consistency
from becket.core.errors import ConditionFailedError, InvalidInputError, NotACounterError
from becket.sync import Client as BlockingClient
from tests.integration.members import Members, members
from tests.unit.router.running import router

NAMES = ("storage-0", "storage-1", "storage-2")


def addresses_of(cluster: Members) -> dict[str, str]:
    return {name: member.address for name, member in cluster.running.items()}


def test_what_callers_hold_can_be_sent_to_another_process() -> None:
    for each in (
        Get("k"),
        Put("k", b"v", ttl=3),
        Delete("k"),
        Increment("k"),
        Entry(b"k", b"v", b"1"),
    ):
        assert pickle.loads(pickle.dumps(each)) == each  # noqa: S301 - written a moment ago
        assert copy.copy(each) == each


async def test_a_client_of_real_members(tmp_path: Path) -> None:
    async with members(tmp_path, *NAMES) as cluster:
        seed = cluster.running["storage-0"].address
        async with Client(seed) as client:
            await every_call(client)
            await every_kind_of_read(client)
            await listings(client)
            await asyncio.to_thread(the_twin, seed)


async def every_call(client: Client) -> None:
    version = await client.put("k", b"1")
    assert await client.get("k") == Entry(b"k", b"1", version)
    with pytest.raises(InvalidInputError, match="if_version"):
        await client.put("k", b"2", if_version=b"never given out")
    second = await client.put("k", b"2", if_version=version)
    assert second != version
    with pytest.raises(ConditionFailedError):
        await client.put("k", b"3", if_version=version)
    assert await client.delete("k", if_version=second)
    await client.put("t", b"", ttl=600)
    found = await client.get("t")
    assert found is not None
    assert found.expire_time is not None
    answers = await client.batch(
        [Put("b", b"7"), Increment("b", 3), Get("b"), Delete("b"), Get("b"), Increment("k2")]
    )
    assert answers[1] == 10
    assert isinstance(answers[2], Entry)
    assert answers[3:] == [True, None, 1]
    await client.put("word", b"x")
    (refused,) = await client.batch([Increment("word")])
    assert isinstance(refused, NotACounterError)
    # A value larger than what fits a few times into one message.
    big = bytes(1 << 20)
    keys = [f"big{i}" for i in range(9)]
    assert all(isinstance(v, bytes) for v in await client.batch([Put(key, big) for key in keys]))
    assert all(isinstance(v, Entry) for v in await client.batch([Get(key) for key in keys]))


async def every_kind_of_read(client: Client) -> None:
    await client.put("r", b"1")
    for _ in range(20):
        found = await client.get("r", consistency=Consistency.ANY)
        assert found is None or found.value == b"1"
        found = await client.get("r", consistency=Consistency.BOUNDED, max_staleness=2)
        assert found is None or found.value == b"1"
    found = await client.get("r")
    assert found is not None


async def listings(client: Client) -> None:
    await client.batch([Put(f"s{i:04}", b"x") for i in range(700)])
    found = [entry.key async for entry in client.scan("s")]
    assert found == [b"s%04d" % i for i in range(700)]
    assert [entry.value async for entry in client.scan("s069", keys_only=True)] == [b""] * 10


def the_twin(seed: str) -> None:
    with BlockingClient(seed) as client:
        assert client.increment("twin", 2) == 2
        assert [entry.key for entry in client.scan("s000")] == [b"s%04d" % i for i in range(10)]


async def test_a_planned_stop_is_no_error_and_loses_no_increment(tmp_path: Path) -> None:
    async with members(tmp_path, *NAMES) as cluster:
        seeds = list(addresses_of(cluster).values())
        async with Client(*seeds) as client, router(addresses_of(cluster)) as made:
            await made.ready()
            stopping = asyncio.Event()
            counts = [0] * 8

            async def count(number: int) -> None:
                while not stopping.is_set():
                    if number % 2:
                        await client.increment(f"n{number}")
                    else:
                        request = kv.IncrementRequest(key=b"n%d" % number, delta=1)
                        request.request_id = f"{number}.{counts[number]}"
                        await made.key_values.Increment(request, timeout=5)
                    counts[number] += 1

            async def listed() -> None:
                while not stopping.is_set():
                    keys = [entry.key async for entry in client.scan("n")]
                    assert len(keys) == len(set(keys))
                    assert len(keys) >= sum(1 for n in counts if n) - 8
                    await asyncio.sleep(0.05)

            tasks = [asyncio.create_task(count(number)) for number in range(8)]
            tasks.append(asyncio.create_task(listed()))
            await asyncio.sleep(0.5)
            assert await cluster.running.pop("storage-1").end() == 0
            await asyncio.sleep(0.7)
            stopping.set()
            await asyncio.gather(*tasks)
            for number, expected in enumerate(counts):
                assert expected
                entry = await client.get(f"n{number}")
                assert entry is not None
                assert int(entry.value) == expected


async def test_a_router_serves_stock_clients(tmp_path: Path) -> None:
    async with members(tmp_path, *NAMES) as cluster, router(addresses_of(cluster)) as made:
        await made.ready()
        stub = made.key_values
        request = kv.IncrementRequest(key=b"n", delta=1, request_id="once")
        assert (await stub.Increment(request, timeout=5)).value == 1
        request.retry = True
        assert (await stub.Increment(request, timeout=5)).value == 1, "executed once"
        operations = [kv.Operation(put=kv.PutRequest(key=b"k%03d" % i)) for i in range(300)]
        answers = await stub.Batch(kv.BatchRequest(operations=operations), timeout=5)
        assert all(answer.put.version for answer in answers.results)
        keys: list[bytes] = []
        scan = kv.ScanRequest(prefix=b"k", page_size=70)
        while True:
            page = await stub.Scan(scan, timeout=5)
            keys += [entry.key for entry in page.entries]
            scan.page_token = page.next_page_token
            if not scan.page_token:
                break
        assert keys == [b"k%03d" % i for i in range(300)]
        # The client goes through the router where it cannot reach the members.
        async with Client(made.host.runtime.address) as client:
            assert await client.increment("n") == 2
