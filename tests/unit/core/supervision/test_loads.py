"""What a plan means for each member."""

from __future__ import annotations

from dataclasses import replace

from becket.core.plans.progress import PlanLimits
from becket.core.ring.members import MemberState
from becket.core.supervision.asking import Question, what_if
from becket.core.supervision.estimates import estimate
from becket.core.supervision.loads import PlanLoad, member_loads
from becket.core.supervision.planning import Planning
from tests.unit.core.supervision.scenes import RING, snapshot


def loads(question: Question) -> dict[str, PlanLoad]:
    asked = what_if(RING, question)
    plan = Planning(PlanLimits()).plan_to(RING, asked.members, "x")
    shot = snapshot()
    shot = replace(shot, seen=tuple(replace(s, used_bytes=960) for s in shot.seen))
    return {load.disk: load for load in member_loads(RING, plan, estimate(plan, shot), shot)}


def test_who_leaves_holds_nothing_after_it_and_the_sums_agree() -> None:
    found = loads(Question(leaving=["m-4"]))
    gone = found["disk-4"]
    assert (gone.copies_after, gone.first_after, gone.received) == (0, 0, 0)
    assert gone.copies_before > 0
    assert gone.bytes_after == 960 - 100 * gone.copies_before
    assert sum(load.copies_before for load in found.values()) == 48
    assert sum(load.copies_after for load in found.values()) == 48
    assert {load.copies_after for load in found.values()} == {0, 12}
    assert sum(load.first_after for load in found.values()) == 16
    received = sum(load.received for load in found.values())
    assert received == sum(load.sent for load in found.values()) == 100 * gone.copies_before


def test_who_joins_receives_its_share() -> None:
    found = loads(Question(6))
    new = found["(new) m-5"]
    assert (new.copies_before, new.copies_after, new.bytes_before) == (0, 8, 0)
    assert new.bytes_after == new.received == 800
    assert new.sent == 0


def test_who_holds_nothing_and_will_hold_nothing_is_left_out() -> None:
    empty = replace(RING.members[0], disk="d-x", name="m-9", state=MemberState.DRAINING)
    ring = RING.with_members([*RING.members, empty])
    plan = Planning(PlanLimits()).plan_to(ring, ring.members, "x")
    shot = snapshot(ring)
    names = {load.disk for load in member_loads(ring, plan, estimate(plan, shot), shot)}
    assert "d-x" not in names
