"""One replica of a partition moves at a time, the most urgent first."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from becket.core.placement.result import Cause
from becket.core.plans.path import next_replicas, path
from becket.core.plans.plan import Plan, Step
from becket.core.plans.progress import PlanLimits, Standing, advance, standing
from becket.core.plans.wishes import Certificate
from becket.core.ring.members import MemberState
from becket.core.ring.ring import Ring
from tests.properties.placement_checks import cluster, first

RING = first(8, cluster(7))
PRESENT = RING.configs[0].old
OTHERS = tuple(m.disk for m in RING.members if m.disk not in PRESENT)


def step_to(*wished: str) -> Step:
    return Step(0, PRESENT, wished, Cause.BALANCE)


def with_state(ring: Ring, disk: str, state: MemberState) -> Ring:
    return ring.with_members(
        [replace(m, state=state) if m.disk == disk else m for m in ring.members]
    )


def test_one_newcomer_needs_no_stop_on_the_way() -> None:
    step = step_to(PRESENT[0], PRESENT[1], OTHERS[0])
    assert path(RING, step) == (step.wished,)
    order = step_to(*reversed(PRESENT))
    assert path(RING, order) == (order.wished,)


def test_each_stop_brings_one_newcomer_and_the_coordinator_changes_once() -> None:
    step = step_to(*OTHERS[:3])
    stops = path(RING, step)
    assert len(stops) == 3
    held = PRESENT
    leaders = [held[0]]
    for stop in stops:
        assert len(set(stop) - set(held)) == 1
        assert len(stop) == len(set(stop)) == 3
        assert next_replicas(RING, step, held) == stop
        leaders.append(stop[0])
        held = stop
    assert held == step.wished
    assert sum(one != two for one, two in pairwise(leaders)) <= 2


def test_who_is_gone_is_replaced_before_who_is_emptied() -> None:
    lost = with_state(RING, PRESENT[2], MemberState.GONE)
    lost = with_state(lost, PRESENT[0], MemberState.DRAINING)
    step = step_to(PRESENT[1], *OTHERS[:2])
    stops = path(lost, step)
    assert PRESENT[2] not in stops[0]
    assert PRESENT[0] in stops[0]


def test_more_replicas_are_added_one_by_one() -> None:
    step = step_to(*PRESENT, *OTHERS[:2])
    assert [len(stop) for stop in path(RING, step)] == [4, 5]


def test_a_plan_goes_stop_by_stop_and_may_be_taken_over_at_each() -> None:
    step = step_to(*OTHERS[:3])
    plan = Plan("p", RING.cluster, RING.version, "r", (step,), ())
    ring, seen = RING, []
    for _ in range(20):
        config = ring.configs[0]
        where = standing(ring, 0, step)
        assert (where is Standing.UNDER_WAY) == config.is_joint
        assert len(config.newcomers) <= 1
        seen.append(config.target)
        words = [Certificate(0, config.gen, (1, "d", 1), "d")] if config.is_joint else []
        result = advance(ring, plan, PlanLimits(), words)
        if result.done:
            break
        ring = result.ring.succeeding(ring)
    assert ring.configs[0].old == step.wished
    assert list(dict.fromkeys(seen)) == [PRESENT, *path(RING, step)]
