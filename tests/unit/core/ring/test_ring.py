"""Lookups, order, and that a ring never changes in place."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becket.core import hashing
from becket.core.errors import InvalidRingError
from becket.core.ring.members import Member, MemberCount, MemberState, in_order
from tests.unit.core.ring.rings import turning_ring


@given(st.text(alphabet="xy{}", max_size=9).map(str.encode), st.integers(0, 6))
def test_lookup_is_the_partition_of_the_hash(key: bytes, bits: int) -> None:
    ring = turning_ring(partitions=2**bits)
    expected = hashing.partition_of(key, 2**bits)
    assert ring.partition_of(key) == expected
    assert ring.lookup(key) is ring.configs[expected]
    assert ring.partitions_of([key, key]) == [expected, expected]


def test_members_are_found_by_disk() -> None:
    ring = turning_ring()
    assert ring.member("disk-2").name == "m-2"
    assert ring.name_of("disk-2") == "m-2"
    assert ring.name_of("elsewhere") == "elsewhere"
    with pytest.raises(InvalidRingError, match="no disk elsewhere"):
        ring.member("elsewhere")


def test_partitions_by_disk_counts_changes_under_way() -> None:
    ring = turning_ring()
    assert ring.partitions_by_disk["disk-4"] == (2, 3)
    changed = ring.with_configs({0: ring.configs[0].begin(("disk-0", "disk-1", "disk-4"))})
    assert changed.partitions_by_disk["disk-4"] == (0, 2, 3)
    assert changed.partitions_by_disk["disk-2"] == (0, 1, 2)
    assert changed.joint_partitions == (0,)


def test_nothing_changes_in_place() -> None:
    ring = turning_ring()
    changed = ring.with_configs({0: ring.configs[0].begin(("disk-4",))})
    assert not ring.configs[0].is_joint
    assert changed.version == ring.version
    assert changed.succeeding(ring).version == ring.version + 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        ring.version = 9  # type: ignore[misc]


def test_members_stand_in_the_order_that_people_expect() -> None:
    names = ["store-10", "store-2", "a", "store-1"]
    ordered = in_order(Member(f"d-{name}", name) for name in names)
    assert [m.name for m in ordered] == ["a", "store-1", "store-2", "store-10"]
    assert turning_ring().with_members(reversed(ordered)).members == ordered


def test_only_an_active_member_may_hold_copies() -> None:
    states = {state: Member("d", "m", state=state).may_hold for state in MemberState}
    assert states == {
        MemberState.ACTIVE: True,
        MemberState.DRAINING: False,
        MemberState.GONE: False,
    }


def test_a_changed_chart_value_replaces_the_wish_and_an_unchanged_one_does_not() -> None:
    count = MemberCount().seen_in_chart(3)
    assert count == MemberCount(wished=3, chart=3)
    asked = count.asked(5)
    assert asked == MemberCount(wished=5, chart=3)
    assert asked.seen_in_chart(3) == asked
    assert asked.seen_in_chart(4) == MemberCount(wished=4, chart=4)
