"""What begins, what waits, what is given up, and when a plan no longer fits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from becket.core.errors import InvalidInputError, StalePlanError
from becket.core.placement.planner import place
from becket.core.placement.result import Constraints
from becket.core.plans.plan import Plan, plan_for
from becket.core.plans.progress import (
    FULL_PACE,
    Advance,
    PlanLimits,
    Standing,
    abandon_lost,
    advance,
    standing,
)
from becket.core.plans.wishes import Abandon, Begin, Certificate, PutMember
from becket.core.ring.members import MemberState
from becket.core.ring.ring import Ring
from tests.properties.placement_checks import cluster, first

LIMITS = PlanLimits(partitions=4, copies_per_member=3)


def joining() -> tuple[Ring, Plan]:
    """A ring that m-4 has joined, and the plan that gives it its share."""
    ring = PutMember(cluster(5)[4]).apply(first(16, cluster(4)))
    return ring, plan_for(ring, place(ring, cluster(5), Constraints(3)), id="p", reason="join")


def written(ring: Ring, result: Advance) -> Ring:
    return result.ring.succeeding(ring)


def certificates(ring: Ring) -> list[Certificate]:
    return [Certificate(p, ring.configs[p].gen, (1, "d", 1), "d") for p in ring.joint_partitions]


def test_no_more_begins_than_the_limits_allow() -> None:
    ring, plan = joining()
    result = advance(ring, plan, LIMITS)
    assert all(isinstance(wish, Begin) for wish in result.wishes)
    after = written(ring, result)
    assert 0 < len(after.joint_partitions) <= 4
    arriving = [d for p in after.joint_partitions for d in after.configs[p].newcomers]
    assert arriving == ["d4"] * 3
    assert not result.done
    assert "3 under way, 3 of them begin now" in result.sentence
    again = advance(after, plan, LIMITS)
    assert again.wishes == ()
    assert again.ring == after


def test_certificates_finish_steps_and_let_others_begin() -> None:
    ring, plan = joining()
    ring = written(ring, advance(ring, plan, LIMITS))
    result = advance(ring, plan, LIMITS, certificates(ring))
    kinds = [type(wish) for wish in result.wishes]
    assert kinds == [Certificate] * 3 + [Begin] * 3
    assert "3 of" in result.sentence


def test_a_plan_is_done_only_when_the_object_shows_it() -> None:
    ring, plan = joining()
    result = advance(ring, plan, LIMITS)
    for _ in range(100):
        result = advance(ring, plan, LIMITS, certificates(ring))
        if result.done:
            break
        assert result.wishes
        ring = written(ring, result)
    assert result.sentence == f"plan p is done: {len(plan.steps)} partitions changed"
    for step in plan.steps:
        assert ring.configs[step.partition].old == step.wished


def test_paused_begins_nothing_and_finishes_what_began() -> None:
    ring, plan = joining()
    ring = written(ring, advance(ring, plan, LIMITS))
    result = advance(ring, plan.paused(), LIMITS, certificates(ring))
    assert {type(wish) for wish in result.wishes} == {Certificate}
    assert "(paused)" in result.sentence


def test_cancelled_gives_up_what_began_and_leaves_a_whole_ring() -> None:
    start, plan = joining()
    ring = written(start, advance(start, plan, LIMITS))
    result = advance(ring, plan.cancelled(), LIMITS)
    assert {type(wish) for wish in result.wishes} == {Abandon}
    assert not result.done
    ring = written(ring, result)
    assert [c.old for c in ring.configs] == [c.old for c in start.configs]
    assert advance(ring, plan.cancelled(), LIMITS).done


def test_r20_a_change_to_a_lost_member_is_abandoned_and_the_plan_then_is_stale() -> None:
    ring, plan = joining()
    ring = written(ring, advance(ring, plan, LIMITS))
    ring = PutMember(replace(ring.member("d4"), state=MemberState.GONE)).apply(ring)
    assert abandon_lost(ring) == tuple(Abandon(p, 2) for p in ring.joint_partitions)
    result = advance(ring, plan, LIMITS)
    assert result.wishes == abandon_lost(ring)
    assert result.sentence == "3 changes are given up because a member they lead to is lost"
    with pytest.raises(StalePlanError, match="m-4 may hold no copies") as caught:
        advance(written(ring, result), plan, LIMITS)
    assert caught.value.field == "steps[0].wished"


def test_a_plan_for_another_ring_is_stale() -> None:
    ring, plan = joining()
    step = plan.steps[0]
    moved = ring.with_configs({step.partition: ring.configs[step.partition].begin(("d0",))})
    for other, changed, field in (
        (replace(ring, cluster="other"), plan, "cluster"),
        (ring, replace(plan, ring_version=ring.version + 1), "ring_version"),
        (moved, plan, "steps[0].present"),
        (ring, replace(plan, steps=(replace(step, partition=99),)), "steps[0].partition"),
        (ring, replace(plan, steps=(replace(step, wished=("x",)),)), "steps[0].wished"),
    ):
        with pytest.raises(StalePlanError) as caught:
            advance(other, changed, LIMITS)
        assert caught.value.field == field


def test_a_step_waits_for_the_change_that_it_starts_from() -> None:
    ring, plan = joining()
    step = plan.steps[0]
    config = ring.configs[step.partition]
    other = next(d for d in ("d0", "d1", "d2", "d3") if d not in config.old)
    under_way = ring.with_configs({step.partition: config.begin((other, *config.old[1:]))})
    replanned = replace(step, present=(other, *config.old[1:]))
    assert standing(under_way, 0, replanned) is Standing.WAITING
    assert standing(ring, 0, step) is Standing.OPEN


def test_moves_begin_one_after_the_other_where_the_pace_says_so() -> None:
    ring, plan = joining()
    for begins in (0, 1, 2):
        pace = replace(FULL_PACE, begins=begins)
        wishes = advance(ring, plan, LIMITS, pace=pace).wishes
        assert sum(isinstance(wish, Begin) for wish in wishes) == begins


@pytest.mark.parametrize("field", ["partitions", "copies_per_member"])
def test_limits_that_stop_everything_are_refused(field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        replace(PlanLimits(), **{field: 0})
    assert caught.value.field == field


def test_a_coordinator_that_moved_for_load_meanwhile_does_not_make_a_plan_stale() -> None:
    ring, plan = joining()
    step = plan.steps[0]
    config = ring.configs[step.partition]
    turned = (*step.present[1:], step.present[0])
    moving = Begin(step.partition, config.gen, turned).apply(ring).succeeding(ring)
    assert standing(moving, 0, step) is Standing.WAITING
    assert step.partition not in {wish.partition for wish in _begun(moving, plan)}
    moved = written(moving, advance(moving, plan.paused(), LIMITS, certificates(moving)))
    assert moved.configs[step.partition].old == turned
    assert standing(moved, 0, step) is Standing.OPEN
    assert _begun(moved, plan)[0] == Begin(step.partition, config.gen + 2, step.wished)


def _begun(ring: Ring, plan: Plan) -> list[Begin]:
    return [wish for wish in advance(ring, plan, LIMITS).wishes if isinstance(wish, Begin)]
