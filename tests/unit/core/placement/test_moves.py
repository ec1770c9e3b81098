"""Which member's place a newcomer takes, and why."""

from __future__ import annotations

from becket.core.placement.moves import moves_between
from becket.core.placement.result import Cause, Move
from becket.core.placement.shares import Layout
from becket.core.ring.members import Member, MemberState

KNOWN = {
    "a": Member("a", "a", "z1"),
    "b": Member("b", "b", "z2"),
    "c": Member("c", "c", "z1"),
    "gone": Member("gone", "gone", "z2", state=MemberState.GONE),
    "gone2": Member("gone2", "gone2", "z2", state=MemberState.GONE),
    "going": Member("going", "going", "z2", state=MemberState.DRAINING),
    "new": Member("new", "new", "z1"),
    "new2": Member("new2", "new2", "z2"),
}
WHERE = Layout((1,), (0,), (0,), node_limit=1, zone_limit=1)


def moves(old: str, new: str) -> tuple[Move, ...]:
    return moves_between([tuple(old.split())], [tuple(new.split())], KNOWN, WHERE)


def test_a_newcomer_takes_the_place_of_one_in_its_zone() -> None:
    assert [m.source for m in moves("b a", "new")] == ["a"]


def test_members_that_are_gone_are_replaced_first() -> None:
    assert moves("b gone going", "b new") == (Move(0, "gone", "new", Cause.QUORUM),)


def test_the_causes() -> None:
    assert moves("a b", "a b new")[0].cause is Cause.COPIES
    assert moves("a b going", "a b new")[0].cause is Cause.DRAIN
    assert moves("a c b", "a new2 b")[0].cause is Cause.ZONES
    assert moves("a b", "new b")[0].cause is Cause.BALANCE
    assert moves("a b c new gone", "a b c new new2")[0].cause is Cause.COPIES
    assert {m.cause for m in moves("a gone gone2", "a new new2")} == {Cause.QUORUM}
