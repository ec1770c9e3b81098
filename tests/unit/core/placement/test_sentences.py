"""The sentences that a person reads about a placement."""

from __future__ import annotations

from dataclasses import replace

from becket.core.placement.planner import place
from becket.core.placement.result import Cause, Constraints
from becket.core.placement.sentences import SHOWN
from becket.core.ring.members import Member, MemberState
from tests.properties.placement_checks import cluster, first


def test_a_join_is_explained() -> None:
    ring = first(64, cluster(3))
    placement = place(ring, cluster(4), Constraints(3))
    assert placement.sentences == (
        "m-3 joins with weight 100: takes 48 copies, 16 from each of m-0, m-1 and m-2",
        (
            "48 copies are made, the fewest possible is 48; 16 partitions get another first"
            " replica; members then carry 48 copies each"
        ),
    )


def test_a_drain_and_a_loss_are_explained_with_their_causes() -> None:
    members = cluster(6)
    ring = first(64, members)
    drained = [replace(members[0], state=MemberState.DRAINING), *members[1:]]
    placement = place(ring, drained, Constraints(3))
    assert placement.sentences[0].startswith("m-0 is to be emptied: 32 copies are made anew, ")
    assert {move.cause for move in placement.moves} == {Cause.DRAIN}
    lost = [replace(members[0], state=MemberState.GONE), *members[1:]]
    placement = place(ring, lost, Constraints(3))
    assert placement.sentences[0].startswith("m-0 is gone: 32 copies are made anew, ")
    assert {move.cause for move in placement.moves} == {Cause.QUORUM}
    assert all(move.source == "d0" for move in placement.moves)


def test_many_members_are_counted_and_not_listed() -> None:
    assert SHOWN < 19
    ring = first(256, cluster(20))
    placement = place(ring, cluster(20)[1:], Constraints(3))
    assert " to 3 on each of 19 members" in placement.sentences[0]


def test_a_weight_and_a_member_that_cannot_carry_more_are_explained() -> None:
    members = cluster(5)
    ring = first(64, members)
    heavy = [replace(members[0], weight=1000), *members[1:]]
    placement = place(ring, heavy, Constraints(3))
    assert placement.sentences[0].startswith("m-0: weight 100 becomes 1000: takes ")
    assert placement.sentences[1] == "m-0 holds a copy of every partition, more is not possible"


def test_a_full_node_is_named() -> None:
    members = cluster(6)
    ring = first(64, members)
    placement = place(
        ring, [replace(m, node=f"n{i % 3}") for i, m in enumerate(members)], Constraints(3)
    )
    assert any("because node n" in sentence for sentence in placement.sentences)
    assert {move.cause for move in placement.moves} == {Cause.ZONES}


def test_a_missing_copy_has_no_source() -> None:
    ring = first(16, cluster(4), 2)
    placement = place(ring, cluster(4), Constraints(3))
    assert {(move.source, move.cause) for move in placement.moves} == {(None, Cause.COPIES)}
    joined = place(ring, (*cluster(4), Member("new", "m-9", "z0")), Constraints(3))
    assert joined.sentences[0].startswith("m-9 joins with weight 100: takes ")
