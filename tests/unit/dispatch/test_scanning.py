"""Listings: merged by key, cut into pages, whole while coordinators change."""

from __future__ import annotations

import asyncio

import pytest

from becket.adapters.dispatch.scanning import Scanner
from becket.api.v1 import key_value_pb2 as kv
from becket.core.errors import InvalidInputError, NotAppliedError
from becket.core.limits import Limits
from tests.unit.dispatch.rig import Rig, rig


def fill(r: Rig, count: int, size: int = 1) -> list[bytes]:
    keys = [b"k%04d" % i for i in range(count)]
    for key in keys:
        r.cluster.store[key] = (bytes(size), b"v")
    return keys


def scanner(r: Rig, **limits: int) -> Scanner:
    return Scanner(r.dispatcher.context, r.pool, Limits(**limits))


async def pages(of: Scanner, request: kv.ScanRequest) -> list[list[bytes]]:
    found = []
    while True:
        page = await of.page(request, 3)
        found.append([entry.key for entry in page.entries])
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_pages_are_in_order_and_hold_every_key_once() -> None:
    async with rig() as r:
        keys = fill(r, 257)
        for size in (1000, 100, 7):
            found = await pages(scanner(r), kv.ScanRequest(page_size=size))
            assert [key for page in found for key in page] == keys
            assert max(len(page) for page in found) <= size
            assert all(found), "no page is empty"


async def test_prefix_start_and_end_bound_the_listing() -> None:
    async with rig() as r:
        keys = fill(r, 120)
        r.cluster.store[b"other"] = (b"", b"v")
        found = await pages(scanner(r), kv.ScanRequest(prefix=b"k00", page_size=33))
        assert [key for page in found for key in page] == keys[:100]
        request = kv.ScanRequest(start=b"k0010", end=b"k0020")
        assert await pages(scanner(r), request) == [keys[10:20]]
        assert await pages(scanner(r), kv.ScanRequest(prefix=b"nothing")) == [[]]


async def test_a_page_is_bounded_in_bytes() -> None:
    async with rig() as r:
        keys = fill(r, 40, size=1000)
        found = await pages(scanner(r, page_bytes=5000), kv.ScanRequest(page_size=40))
        assert [key for page in found for key in page] == keys
        assert max(len(page) for page in found) <= 6


async def test_a_whole_hash_tag_is_asked_of_one_member() -> None:
    async with rig() as r:
        keys = [b"{user1}.%02d" % i for i in range(20)]
        for key in keys:
            r.cluster.store[key] = (b"", b"v")
        found = await pages(scanner(r), kv.ScanRequest(prefix=b"{user1}."))
        assert found == [keys]
        assert sum(len(member.scans) for member in r.cluster.members.values()) == 1


async def test_partitions_may_be_chosen() -> None:
    async with rig() as r:
        keys = [key for key in fill(r, 60) if r.cluster.ring.partition_of(key) == 3]
        assert await pages(scanner(r), kv.ScanRequest(partitions=[3])) == [keys]


async def test_when_coordinators_change_between_pages_nothing_is_missed_or_repeated() -> None:
    async with rig() as r:
        keys = fill(r, 200)
        request, of, found = kv.ScanRequest(page_size=9), scanner(r), []
        moves = 0
        while True:
            page = await of.page(request, 3)
            found += [entry.key for entry in page.entries]
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
            partition = moves % 8
            disks = r.cluster.ring.configs[partition].old
            r.cluster.move(partition, disks[moves // 8 % 3], tell=False)
            moves += 1
        assert found == keys
        assert moves > 20


async def test_a_partition_that_is_not_listed_in_time_is_told() -> None:
    async with rig() as r:
        fill(r, 10)
        await r.cluster.members["disk-0"].stop()
        with pytest.raises(NotAppliedError, match="not listed in time"):
            await scanner(r).page(kv.ScanRequest(), 0.3)


async def test_a_member_that_is_gone_is_asked_no_more_once_its_partitions_have_moved() -> None:
    async with rig() as r:
        keys = fill(r, 50)
        await r.cluster.members["disk-0"].stop()
        task = asyncio.create_task(scanner(r).page(kv.ScanRequest(), 4))
        await asyncio.sleep(0.05)
        for partition, disk in list(r.cluster.coordinators.items()):
            if disk == "disk-0":
                r.cluster.move(partition, r.cluster.ring.configs[partition].old[1], tell=False)
        assert [entry.key for entry in (await task).entries] == keys


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (kv.ScanRequest(page_size=1001), "page_size"),
        (kv.ScanRequest(prefix=bytes(5000)), "prefix"),
        (kv.ScanRequest(start=bytes(5000)), "start"),
        (kv.ScanRequest(partitions=[8]), "partitions"),
        (kv.ScanRequest(page_token=b"nonsense that nobody gave out"), "page_token"),
    ],
)
async def test_bad_input_names_its_field(request_: kv.ScanRequest, field: str) -> None:
    async with rig() as r:
        with pytest.raises(InvalidInputError) as caught:
            await scanner(r).page(request_, 1)
        assert caught.value.field == field


async def test_a_token_belongs_to_its_filter() -> None:
    async with rig() as r:
        fill(r, 30)
        page = await scanner(r).page(kv.ScanRequest(prefix=b"k", page_size=5), 1)
        other = kv.ScanRequest(prefix=b"k0", page_size=5, page_token=page.next_page_token)
        with pytest.raises(InvalidInputError, match="page_token"):
            await scanner(r).page(other, 1)
        other_size = kv.ScanRequest(prefix=b"k", page_size=9, page_token=page.next_page_token)
        found = await scanner(r).page(other_size, 1)
        assert found.entries[0].key == b"k0005"
