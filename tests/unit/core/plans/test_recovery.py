"""R1: when a first ring is made, when one is restored, and when nothing is done."""

from __future__ import annotations

from dataclasses import replace

import pytest

from becket.core.errors import InvalidRingError
from becket.core.placement.result import Constraints
from becket.core.plans.recovery import (
    Decision,
    Keep,
    MakeFirst,
    Report,
    Restore,
    Wait,
    first_ring,
    recover,
)
from becket.core.ring.members import MemberState
from becket.core.ring.ring import Ring
from tests.unit.core.ring.rings import members, turning_ring

RING = turning_ring()
NEWER = replace(RING, version=4)
NAMES = [member.name for member in RING.members]


def reports(*rings: Ring | None, cluster: str | None = "test") -> list[Report]:
    """Reports of the first members, with these rings."""
    return [Report(f"disk-{i}", f"m-{i}", cluster, ring) for i, ring in enumerate(rings)]


def fresh(count: int) -> list[Report]:
    return reports(*[None] * count, cluster=None)


def test_r1_a_first_ring_is_made_when_every_wished_volume_is_new() -> None:
    decision = recover(None, fresh(3), NAMES[:3])
    assert isinstance(decision, MakeFirst)
    assert decision.disks == ("disk-0", "disk-1", "disk-2")


def test_r1_a_first_ring_waits_for_every_wished_member() -> None:
    decision = recover(None, fresh(2), NAMES[:3])
    assert decision == Wait(("m-2",), "the first ring waits for m-2")
    assert isinstance(recover(None, [], []), Wait)


def test_r1_a_volume_with_a_cluster_id_forbids_a_first_ring() -> None:
    marked = [*fresh(2), Report("disk-2", "m-2", "test", None)]
    decision = recover(None, marked, NAMES[:3])
    assert isinstance(decision, Wait)
    assert "m-2 belonged to a cluster" in decision.sentence


@pytest.mark.parametrize(("found", "over"), [(None, None), (RING, 1)])
def test_r1_exactly_the_highest_ring_is_restored(found: Ring | None, over: int | None) -> None:
    decision = recover(found, reports(RING, NEWER, RING, None, RING), NAMES)
    assert isinstance(decision, Restore)
    assert decision.ring is NEWER
    assert decision.over == over


@pytest.mark.parametrize("found", [None, RING])
def test_r1_restoring_waits_for_every_member_of_the_highest_ring(found: Ring | None) -> None:
    decision = recover(found, reports(NEWER, RING, RING, RING), NAMES)
    assert isinstance(decision, Wait)
    assert decision.missing == ("disk-4",)
    assert "missing: m-4 (disk-4)" in decision.sentence


def test_r1_a_person_may_name_a_member_as_gone() -> None:
    some = reports(NEWER, RING, RING, RING)
    assert isinstance(recover(None, some, NAMES, declared_gone=["disk-4"]), Restore)
    gone = [*NEWER.members[:4], replace(NEWER.members[4], state=MemberState.GONE)]
    known_gone = NEWER.with_members(gone)
    assert isinstance(recover(None, reports(known_gone, RING, RING, RING), NAMES), Restore)


def test_an_object_that_is_newest_is_kept() -> None:
    for found, rings in ((NEWER, [NEWER, RING]), (NEWER, []), (RING, [RING])):
        assert isinstance(recover(found, reports(*rings), NAMES), Keep)


def test_rings_of_another_cluster_are_no_reason_to_restore() -> None:
    foreign = [Report("x", "x", "other", replace(NEWER, cluster="other"))]
    assert isinstance(recover(RING, [*reports(RING), *foreign], NAMES), Keep)
    mixed = recover(None, [*reports(RING), *foreign], NAMES)
    assert isinstance(mixed, Wait)
    assert "several clusters answer (other, test)" in mixed.sentence


def test_two_contents_of_one_version_are_left_to_a_person() -> None:
    other = replace(NEWER, leader_term=9)
    for found in (None, RING, NEWER):
        decision: Decision = recover(found, reports(NEWER, other, RING, RING, RING), NAMES)
        assert isinstance(decision, Wait)
        assert "two rings of version 4 differ" in decision.sentence


def test_the_first_ring_is_version_one_and_final_everywhere() -> None:
    ring = first_ring("c", reversed(members(4)), 16, Constraints(3))
    assert (ring.version, ring.replicas, ring.partitions) == (1, 3, 16)
    assert [member.name for member in ring.members] == ["m-0", "m-1", "m-2", "m-3"]
    assert all(config.gen == 1 and not config.is_joint for config in ring.configs)


def test_an_impossible_first_ring_is_refused() -> None:
    with pytest.raises(InvalidRingError, match="replicas"):
        first_ring("c", members(2), 16, Constraints(3))
