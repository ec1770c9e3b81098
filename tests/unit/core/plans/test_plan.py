"""A plan's making and its JSON form."""

from __future__ import annotations

import json
from typing import cast

import pytest

from becket.core.errors import EncodingError
from becket.core.placement.planner import place
from becket.core.placement.result import Cause, Constraints
from becket.core.plans.plan import Json, Plan, PlanState, from_json, plan_for, to_json
from tests.properties.placement_checks import cluster, first, reweighted

RING = first(64, cluster(4))
PLAN = plan_for(RING, place(RING, cluster(5), Constraints(3)), id="p1", reason="m-4 joins")


def test_a_step_is_one_partition_and_the_urgent_come_first() -> None:
    assert len({step.partition for step in PLAN.steps}) == len(PLAN.steps)
    assert [step.cause for step in PLAN.steps] == sorted(step.cause for step in PLAN.steps)
    assert PLAN.copies == 38
    assert (PLAN.ring_version, PLAN.cluster) == (RING.version, RING.cluster)


def test_a_change_of_order_alone_is_a_step_without_newcomers() -> None:
    ring = first(64, cluster(3))
    light = place(ring, reweighted(cluster(3), 0, 50), Constraints(3))
    assert plan_for(ring, light, id="p", reason="r").steps == ()
    orders = [step for step in PLAN.steps if step.cause is Cause.COORDINATORS]
    assert all(not step.newcomers for step in orders)


def test_json_round_trip() -> None:
    for plan in (PLAN, PLAN.paused(), PLAN.cancelled(), PLAN.paused().resumed()):
        assert from_json(json.loads(json.dumps(to_json(plan)))) == plan
    assert PLAN.paused().state is PlanState.PAUSED


def spoiled(field: str, value: object) -> Json:
    data = cast("Json", json.loads(json.dumps(to_json(PLAN))))
    data[field] = value
    return data


STEP = {"partition": 1, "present": ["a"], "wished": ["b"], "cause": "drain"}


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], "plan"),
        ({}, "steps"),
        (spoiled("id", 3), "id"),
        (spoiled("ring_version", "1"), "ring_version"),
        (spoiled("ring_version", -1), "ring_version"),
        (spoiled("sentences", ["a", 1]), "sentences"),
        (spoiled("state", "begun"), "state"),
        (spoiled("steps", {}), "steps"),
        (spoiled("steps", [1]), "steps[0]"),
        (spoiled("steps", [{**STEP, "partition": -1}]), "steps[0].partition"),
        (spoiled("steps", [{**STEP, "cause": "whim"}]), "steps[0].cause"),
        (spoiled("steps", [{**STEP, "wished": "b"}]), "steps[0].wished"),
    ],
)
def test_damage_names_the_field(data: object, field: str) -> None:
    with pytest.raises(EncodingError) as caught:
        from_json(data)
    assert caught.value.field == field


def test_a_plan_of_nothing_is_a_plan() -> None:
    empty = plan_for(RING, place(RING, cluster(4), Constraints(3)), id="p", reason="none")
    assert empty.steps == ()
    assert isinstance(empty, Plan)
