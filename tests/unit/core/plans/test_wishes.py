"""Each wish fits exactly one state of the ring; anything else is discarded with a reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from becket.core.errors import StalePlanError
from becket.core.placement.result import Constraints
from becket.core.plans.wishes import (
    Abandon,
    Begin,
    Certificate,
    Install,
    PutMember,
    RemoveMember,
    SetWishes,
    Wish,
    apply_certificates,
    apply_wishes,
)
from becket.core.ring.members import Member, MemberCount, MemberState
from becket.core.ring.ring import Ring
from tests.unit.core.ring.rings import turning_ring

RING = turning_ring()
NEW = ("disk-1", "disk-2", "disk-4")


def joint(partition: int = 0) -> Ring:
    return RING.with_configs({partition: RING.configs[partition].begin(NEW)})


def certificate(partition: int = 0, gen: int = 2) -> Certificate:
    return Certificate(partition, gen, (3, "disk-1", 1), "disk-1")


def drained(disk: str) -> Ring:
    return PutMember(replace(RING.member(disk), state=MemberState.DRAINING)).apply(RING)


def test_r2_begin_certificate_and_abandon_are_the_three_transitions() -> None:
    begun = Begin(0, 1, NEW).apply(RING)
    assert begun == joint()
    assert begun.configs[0].follows(RING.configs[0])
    finished = certificate().apply(begun)
    assert finished.configs[0] == begun.configs[0].finish()
    abandoned = Abandon(0, 2).apply(begun)
    assert abandoned.configs[0] == begun.configs[0].abandon()
    assert RING.version == begun.version == finished.version == abandoned.version


def test_r1_a_certificate_fits_exactly_its_generation() -> None:
    again = RING.with_configs({0: RING.configs[0].begin(NEW).abandon().begin(NEW)})
    with pytest.raises(StalePlanError, match="certified was 2, it has 4") as caught:
        certificate(gen=2).apply(again)
    assert caught.value.field == "configs[0]"
    assert certificate(gen=4).apply(again).configs[0].target == NEW


def test_r1_certificates_that_do_not_fit_are_discarded_with_a_reason() -> None:
    ring = joint(0).with_configs({1: RING.configs[1].begin(NEW)})
    late, final, beyond = certificate(1, gen=1), certificate(2, gen=1), certificate(9)
    outcome = apply_certificates(ring, [certificate(0), late, final, beyond, certificate(0)])
    assert outcome.applied == (certificate(0),)
    assert outcome.ring is not None
    assert outcome.ring.configs[0] == ring.configs[0].finish()
    assert outcome.ring.configs[1:] == ring.configs[1:]
    assert [d.wish for d in outcome.discarded] == [late, final, beyond, certificate(0)]
    assert [d.reason for d in outcome.discarded] == [
        "configs[1]: certified was 1, it has 2",
        "configs[2]: no change is under way",
        "partition: 9 is not in 0..3",
        "configs[0]: certified was 2, it has 3",
    ]


def test_r2_second_change_waits_for_final() -> None:
    with pytest.raises(StalePlanError, match="a change is under way"):
        Begin(0, 2, NEW).apply(joint())


CASES: list[tuple[Wish, Ring | None, str]] = [
    (Begin(0, 2, NEW), RING, "expected 2, it has 1"),
    (Begin(7, 1, NEW), RING, "7 is not in 0..3"),
    (Begin(0, 1, ("disk-9",)), RING, "disk-9 may hold no copies"),
    (Begin(0, 1, NEW), drained("disk-4"), "m-4 may hold no copies"),
    (Begin(0, 1, NEW), None, "no ring object"),
    (certificate(), None, "no ring object"),
    (Abandon(0, 1), RING, "no change is under way"),
    (Abandon(0, 1), joint(), "expected 1, it has 2"),
    (PutMember(RING.members[0]), RING, "is so already"),
    (PutMember(Member("new", "x", weight=0)), RING, r"members.members\[5\].weight: 0"),
    (RemoveMember("disk-9"), RING, "knows no disk disk-9"),
    (RemoveMember("disk-0"), RING, "m-0 is active; drain it first"),
    (RemoveMember("disk-0"), drained("disk-0"), "still has a part in 2 partitions"),
    (SetWishes(), RING, "it is so already"),
    (SetWishes(leader_term=2), RING, "2 is below 3"),
    (SetWishes(constraints=Constraints(6)), RING, "ring.replicas: 6 copies"),
    (Install(RING, None), RING, "expected None, the object has 1"),
    (Install(RING, 1), None, "expected 1, the object has None"),
    (Install(replace(RING, cluster="other"), 1), RING, "belongs to test"),
]


@pytest.mark.parametrize(("wish", "ring", "reason"), CASES)
def test_a_wish_that_does_not_fit_changes_nothing(
    wish: Wish, ring: Ring | None, reason: str
) -> None:
    with pytest.raises(StalePlanError, match=reason):
        wish.apply(ring)
    outcome = apply_wishes(ring, [wish])
    assert (outcome.ring, outcome.applied) == (ring, ())
    assert len(outcome.discarded) == 1


def test_members_come_change_and_go() -> None:
    grown = PutMember(Member("new", "m-9")).apply(RING)
    assert grown.members[-1].name == "m-9"
    going = PutMember(replace(grown.members[-1], state=MemberState.DRAINING)).apply(grown)
    assert RemoveMember("new").apply(going) == RING


def test_the_numbers_that_are_wished_for() -> None:
    count = MemberCount(7, 5)
    changed = SetWishes(Constraints(2), count, 4).apply(RING)
    assert (changed.replicas, changed.member_count, changed.leader_term) == (2, count, 4)


def test_r1_a_ring_is_installed_to_the_letter() -> None:
    assert Install(RING, None).apply(None) is RING
    newer = replace(RING, version=9)
    assert Install(newer, 1).apply(RING) is newer


def test_r1_what_begins_in_a_write_does_not_end_in_it() -> None:
    begin = Begin(0, 1, NEW)
    for end in (certificate(gen=2), Abandon(0, 2)):
        outcome = apply_wishes(RING, [begin, end])
        assert outcome.applied == (begin,)
        (discarded,) = outcome.discarded
        assert discarded.reason == (
            "configs[0]: it changes in the same write: what comes of that is not seen"
        )
        assert apply_wishes(outcome.ring, [end]).applied == (end,)


def test_r2_a_certified_change_may_be_followed_by_the_next_in_one_write_an_abandoned_not() -> None:
    further = Begin(0, 3, ("disk-0", "disk-2", "disk-4"))
    assert apply_wishes(joint(), [certificate(), further]).applied == (certificate(), further)
    assert apply_wishes(joint(), [Abandon(0, 2), further]).applied == (Abandon(0, 2),)
    elsewhere = Begin(1, 1, ("disk-0", "disk-2", "disk-4"))
    assert len(apply_wishes(joint(), [Abandon(0, 2), elsewhere]).applied) == 2
