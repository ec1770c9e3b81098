"""Defaults and limits of a member's facts (what changes with them is tested with the ring)."""

from __future__ import annotations

from becket.core.ring.members import MAX_WEIGHT, USUAL_WEIGHT, Member, MemberState


def test_the_values_of_the_states_are_those_of_the_encoding() -> None:
    assert [(s.name, s.value) for s in MemberState] == [("ACTIVE", 0), ("DRAINING", 1), ("GONE", 2)]


def test_a_plain_member_is_active_with_the_usual_weight() -> None:
    member = Member("disk", "store-0")
    assert (member.weight, member.state) == (USUAL_WEIGHT, MemberState.ACTIVE)
    assert 1 <= USUAL_WEIGHT <= MAX_WEIGHT
