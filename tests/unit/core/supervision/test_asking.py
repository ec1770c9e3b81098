"""What if the members were others: what is refused, with the reason and what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from becket.core.errors import BecketError, GiveUpError, InvalidInputError, NotFoundError
from becket.core.ring.members import MAX_WEIGHT, MemberState
from becket.core.ring.ring import Ring
from becket.core.supervision.asking import NEW, Question, new_members, what_if
from tests.unit.core.supervision.scenes import RING


def with_zones(ring: Ring, zones: int) -> Ring:
    return ring.with_members(
        [replace(m, zone=f"zone-{i % zones}") for i, m in enumerate(ring.members)]
    )


@pytest.mark.parametrize(
    ("question", "kind", "text"),
    [
        (Question(leaving=["m-9"]), NotFoundError, "no member 'm-9'; the ring has m-0, m-1"),
        (Question(weights={"m-9": 50}), NotFoundError, "no member 'm-9'"),
        (Question(zones={"m-9": "z"}), NotFoundError, "no member 'm-9'"),
        (Question(member_count=2), InvalidInputError, "member_count: must be 0, or in 3.."),
        (Question(member_count=100_000), InvalidInputError, "member_count: must be 0, or in 3.."),
        (Question(leaving=["m-0", "m-1", "m-2"]), GiveUpError, "2 members would be left for 3"),
        (Question(leaving=["m-0", "m-1", "m-2"]), GiveUpError, "becket scale 6"),
        (Question(weights={"m-0": 0}), InvalidInputError, "0 is not in 1..10000; .* drain it"),
        (Question(weights={"m-0": -5}), InvalidInputError, r"weights\[m-0\]: -5 is not in"),
        (Question(weights={"m-0": MAX_WEIGHT + 1}), InvalidInputError, "is not in 1"),
        (Question(zones={"m-0": "z" * 254}), InvalidInputError, r"zones\[m-0\]: must be a text"),
    ],
)
def test_what_is_refused(question: Question, kind: type[BecketError], text: str) -> None:
    with pytest.raises(kind, match=text):
        what_if(RING, question)


def test_a_member_that_is_given_up_neither_leaves_nor_weighs() -> None:
    gone = RING.with_members(
        [replace(m, state=MemberState.GONE) if m.name == "m-4" else m for m in RING.members]
    )
    for question in (Question(leaving=["m-4"]), Question(weights={"m-4": 50})):
        with pytest.raises(GiveUpError, match="given up already"):
            what_if(gone, question)


def test_the_members_as_they_would_be() -> None:
    found = what_if(RING, Question(6, ["m-0"], {"m-1": 50}))
    table = {member.name: member for member in found.members}
    assert table["m-0"].state is MemberState.DRAINING
    assert table["m-1"].weight == 50
    assert found.joining == ("m-5",), "who is emptied keeps its place"
    assert table["m-5"].disk == f"{NEW}m-5"
    assert {member.name for member in found.changed} == {"m-0", "m-1"}
    assert found.reason == "m-5 would join; m-0 would leave; m-1 would weigh 50"
    assert not found.only_shown


def test_a_smaller_count_lets_the_last_ones_go() -> None:
    found = what_if(RING, Question(4))
    assert [m.name for m in found.changed] == ["m-4"]
    assert found.joining == ()


def test_nothing_asked_changes_nobody() -> None:
    found = what_if(RING, Question())
    assert (found.members, found.changed, found.member_count) == (RING.members, (), 0)


def test_another_zone_is_only_shown() -> None:
    found = what_if(RING, Question(zones={"m-1": "z9"}))
    assert found.changed[0].zone == "z9"
    assert "where the member runs" in found.only_shown


@pytest.mark.parametrize("zones", [1, 2, 3, 5])
def test_new_members_are_dealt_over_zones_as_the_ones_before(zones: int) -> None:
    ring = with_zones(RING, zones)
    assert [m.zone for m in new_members(ring, 4)] == [f"zone-{i % zones}" for i in range(5, 9)]
