"""Where an operation goes, from reports that come late, twice and from anybody."""

from __future__ import annotations

from becket.core.placement.result import Constraints
from becket.core.plans.recovery import first_ring
from becket.core.replication.versions import Epoch
from becket.core.ring.members import Member
from becket.core.routes import RouteTable

RING = first_ring("c", [Member(f"d{i}", f"m{i}") for i in range(3)], 4, Constraints(3))


def test_without_a_ring_there_is_nobody_to_ask() -> None:
    table = RouteTable()
    assert table.target(0) is None
    assert table.candidates(0) == ()
    assert table.version == 0


def test_the_first_replica_is_asked_until_a_coordinator_is_known() -> None:
    table = RouteTable()
    table.offer_ring(RING)
    assert table.target(1) == RING.configs[1].old[0]
    assert table.candidates(1) == RING.configs[1].members
    assert table.candidates(99) == ()
    other = RING.configs[1].old[2]
    assert table.offer_coordinator(1, Epoch(5, other, 1))
    assert table.target(1) == other
    assert not table.offer_coordinator(1, Epoch(4, "d0", 9))
    assert table.target(1) == other


def test_an_epoch_that_has_ended_is_not_asked_again() -> None:
    table = RouteTable()
    table.offer_ring(RING)
    first, other = RING.configs[0].old[0], RING.configs[0].old[1]
    table.offer_coordinator(0, Epoch(5, other, 1))
    table.note_ended(0, Epoch(5, other, 1))
    assert table.coordinator(0) is None
    assert table.target(0) == first
    table.offer_coordinator(0, Epoch(6, other, 1))
    assert table.coordinator(0) == other


def test_the_serial_rises_with_each_change_and_only_then() -> None:
    table = RouteTable()
    table.offer_ring(RING)
    table.offer_coordinator(0, Epoch(1, "d0", 1))
    serial = table.serial
    table.offer_ring(RING)
    table.offer_coordinator(0, Epoch(1, "d0", 1))
    assert table.serial == serial
