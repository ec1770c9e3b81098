"""Who waits on a view is woken by what is newer, and by nothing else."""

from __future__ import annotations

import asyncio

import pytest

from becket.adapters.rpc.ring_view import RingView
from becket.core.errors import InvalidRingError
from becket.core.placement.result import Constraints
from becket.core.plans.recovery import first_ring
from becket.core.replication.versions import Epoch
from becket.core.ring.members import Member
from becket.core.ring.ring import Ring


def ring(cluster: str = "c", partitions: int = 4) -> Ring:
    members = [Member(f"d{i}", f"m{i}") for i in range(3)]
    return first_ring(cluster, members, partitions, Constraints(3))


async def test_a_newer_ring_wakes_and_an_old_one_does_not() -> None:
    view, first = RingView(), ring()
    waiting = asyncio.create_task(view.changed(view.serial))
    await asyncio.sleep(0)
    assert view.offer_ring(first, b"bytes")
    assert await waiting == view.serial
    assert not view.offer_ring(first)
    assert view.encoded == b"bytes"
    assert view.offer_ring(first.succeeding(first))
    assert view.ring is not None
    assert view.ring.version == 2


async def test_a_newer_coordinator_wakes() -> None:
    view = RingView()
    old, new = Epoch(1, "d1", 1), Epoch(2, "d0", 1)
    assert view.offer_coordinator(0, new)
    serial = view.serial
    assert not view.offer_coordinator(0, old)
    assert not view.offer_coordinator(0, new)
    assert view.serial == serial


async def test_a_ring_of_another_cluster_or_cut_is_refused() -> None:
    view = RingView()
    view.offer_ring(ring())
    for other, field in ((ring("other"), "cluster"), (ring(partitions=8), "partitions")):
        with pytest.raises(InvalidRingError) as caught:
            view.offer_ring(other)
        assert caught.value.field == field
