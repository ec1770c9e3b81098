"""What a reader is told about two rings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from becket.core.errors import InvalidRingError
from becket.core.ring.difference import ReplicaChange, difference
from becket.core.ring.members import Member, MemberState
from tests.unit.core.ring.rings import turning_ring


def test_equal_rings_differ_in_nothing() -> None:
    found = difference(turning_ring(), turning_ring())
    assert found.copies == 0
    assert found.sentences == ("nothing differs in members and replicas",)


def test_a_change_is_seen_when_it_begins_and_its_end_is_told() -> None:
    before = turning_ring()
    joint = before.with_configs({0: before.configs[0].begin(("disk-3", "disk-1", "disk-2"))})
    found = difference(before, joint)
    assert found.changed == (ReplicaChange(0, ("disk-3",), ("disk-0",)),)
    assert (found.added, found.removed) == ({"disk-3": 1}, {"disk-0": 1})
    assert found.coordinators == ((0, "disk-0", "disk-3"),)
    assert (found.began, found.ended) == ((0,), ())
    assert found.sentences == (
        "m-0: 0 copies arrive, 1 leave",
        "m-3: 1 copies arrive, 0 leave",
        "1 partitions get another first replica",
        "1 changes began",
    )
    final = joint.with_configs({0: joint.configs[0].finish()})
    ended = difference(joint, final)
    assert (ended.copies, ended.ended, ended.sentences) == (0, (0,), ("1 changes ended",))


def test_members_that_join_leave_and_change_are_named() -> None:
    before = turning_ring()
    drained = replace(before.members[0], state=MemberState.DRAINING, weight=50, zone="")
    after = before.with_members([drained, *before.members[1:4], Member("disk-9", "m-9")])
    found = difference(before, after)
    assert [m.name for m in found.joined] == ["m-9"]
    assert [m.name for m in found.left] == ["m-4"]
    assert found.sentences == (
        "m-9 joined with weight 100",
        "m-4 left",
        "m-0: state active became draining",
        "m-0: weight 100 became 50",
        "m-0: zone z0 became unknown",
    )
    fewer = difference(before, replace(before, replicas=2))
    assert fewer.sentences == ("replica count 3 became 2",)


def test_rings_that_cannot_be_compared() -> None:
    ring = turning_ring()
    for other, field in (
        (replace(ring, cluster="other"), "cluster"),
        (turning_ring(partitions=8), "partitions"),
    ):
        with pytest.raises(InvalidRingError, match="cannot be compared") as caught:
            difference(ring, other)
        assert caught.value.field == field
