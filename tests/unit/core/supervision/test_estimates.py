"""Bytes and times of a plan."""

from __future__ import annotations

from dataclasses import replace

from becket.core.placement.result import Cause
from becket.core.plans.plan import Plan, Step
from becket.core.plans.progress import Standing
from becket.core.supervision.estimates import copied, estimate
from tests.unit.core.supervision.scenes import RING, snapshot

OLD = RING.configs[0].old
STEPS = (
    Step(0, OLD, ("disk-0", "disk-3", "disk-4"), Cause.BALANCE),
    Step(1, RING.configs[1].old, ("disk-1", "disk-2", "disk-0"), Cause.BALANCE),
    Step(2, RING.configs[2].old, RING.configs[2].old[::-1], Cause.COORDINATORS),
)
PLAN = Plan("p", RING.cluster, RING.version, "x", STEPS, ())


def test_each_newcomer_is_given_the_whole_partition() -> None:
    made = estimate(PLAN, snapshot())
    assert made.step_bytes == (200, 100, 0)
    assert made.total == 300


def test_nothing_is_known_where_nobody_reports() -> None:
    assert estimate(PLAN, snapshot(seen=())).total == 0


def test_what_is_copied_is_what_is_done_and_a_part_of_what_is_under_way() -> None:
    made = estimate(PLAN, snapshot())
    seen = list(snapshot().seen)
    seen[1] = replace(
        seen[1], coordinates=tuple(replace(c, copied=30) for c in seen[1].coordinates)
    )
    where = {0: Standing.DONE, 1: Standing.UNDER_WAY, 2: Standing.OPEN}
    assert copied(PLAN, made, where, snapshot(seen=tuple(seen))) == 230
    assert copied(PLAN, made, {}, snapshot()) == 0
