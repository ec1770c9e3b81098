"""``becket plan``: what is shown, what is steered, and what wrong input is told."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import pytest

from becket.api.v1 import supervisor_pb2 as pb
from becket.cli.exits import UsageError
from becket.cli.plans import parsed_pairs, parsed_weights
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_services import Context, FakeSupervisor, serving


def a_plan(state: pb.PlanState.ValueType = pb.PLAN_STATE_PROPOSED) -> pb.Plan:
    plan = pb.Plan(
        plan_id="plan-7-abc",
        ring_version=7,
        state=state,
        reason="storage-2 would leave",
        total_bytes=3_000_000,
        sentences=["storage-2 is to be emptied"],
        steps=[
            pb.PlanStep(
                partition=number,
                from_members=["storage-0", "storage-2"],
                to_members=["storage-0", "storage-1"],
                bytes=1_500_000,
                state=pb.STEP_STATE_WAITING,
                reason="a member is to be emptied",
            )
            for number in (3, 5)
        ],
        loads=[pb.PlanLoad(name="storage-2", copies_before=2, sent_bytes=3_000_000)],
    )
    plan.expected_time.FromMilliseconds(1500)
    return plan


class Supervisor(FakeSupervisor):
    """Keeps what it is asked; each look at a running plan ends a step of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: pb.PlanRebalanceRequest | None = None
        self.plan = a_plan()
        self.refuses = ""

    def PlanRebalance(  # noqa: N802
        self, request: pb.PlanRebalanceRequest, context: Context
    ) -> pb.PlanRebalanceResponse:
        del context
        self.asked = request
        return pb.PlanRebalanceResponse(plan=self.plan)

    def _known(self, plan_id: str, context: Context) -> pb.Plan:
        if plan_id != self.plan.plan_id:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no plan {plan_id!r}")
        return self.plan

    def GetPlan(  # noqa: N802
        self, request: pb.GetPlanRequest, context: Context
    ) -> pb.GetPlanResponse:
        plan = self._known(request.plan_id, context)
        left = [step for step in plan.steps if step.state != pb.STEP_STATE_DONE]
        if plan.state == pb.PLAN_STATE_RUNNING and left:
            left[0].state = pb.STEP_STATE_DONE
            if len(left) == 1:
                plan.state = pb.PLAN_STATE_DONE
        return pb.GetPlanResponse(plan=plan)

    def ApplyPlan(  # noqa: N802
        self, request: pb.ApplyPlanRequest, context: Context
    ) -> pb.ApplyPlanResponse:
        plan = self._known(request.plan_id, context)
        if self.refuses:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, self.refuses)
        plan.state = pb.PLAN_STATE_RUNNING
        return pb.ApplyPlanResponse(plan=plan)

    def PausePlan(  # noqa: N802
        self, request: pb.PausePlanRequest, context: Context
    ) -> pb.PausePlanResponse:
        plan = self._known(request.plan_id, context)
        plan.state = pb.PLAN_STATE_PAUSED
        return pb.PausePlanResponse(plan=plan)

    def ResumePlan(  # noqa: N802
        self, request: pb.ResumePlanRequest, context: Context
    ) -> pb.ResumePlanResponse:
        plan = self._known(request.plan_id, context)
        plan.state = pb.PLAN_STATE_RUNNING
        return pb.ResumePlanResponse(plan=plan)

    def CancelPlan(  # noqa: N802
        self, request: pb.CancelPlanRequest, context: Context
    ) -> pb.CancelPlanResponse:
        plan = self._known(request.plan_id, context)
        plan.state = pb.PLAN_STATE_CANCELLED
        return pb.CancelPlanResponse(plan=plan)

    def ListPlans(  # noqa: N802
        self, request: pb.ListPlansRequest, context: Context
    ) -> pb.ListPlansResponse:
        del request, context
        return pb.ListPlansResponse(
            plans=[pb.Plan(plan_id="plan-7-abc", step_count=2, done_count=1)]
        )


@pytest.fixture
def supervisor() -> Supervisor:
    fake = Supervisor()  # type: ignore[abstract]  # the rest is not asked for
    fake.status = pb.GetStatusResponse(wished_members=3)
    return fake


@pytest.fixture
def target(supervisor: Supervisor) -> Iterator[str]:
    with serving(None, supervisor) as address:
        yield address


def test_what_a_change_would_move(run: Run, target: str, supervisor: Supervisor) -> None:
    options = ("--add", "2", "--drain", "storage-2", "--weight", "storage-1=50")
    result = run("plan", *options, "--zone", "storage-0=z9", "--target", target)
    assert result.exit_code == 0, result.output
    asked = supervisor.asked
    assert asked is not None
    assert (asked.member_count, list(asked.leaving)) == (5, ["storage-2"])
    assert [(each.name, each.weight) for each in asked.weights] == [("storage-1", 50)]
    assert [(each.name, each.zone) for each in asked.zones] == [("storage-0", "z9")]
    text = result.stdout
    assert "plan plan-7-abc (proposed) for ring version 7: storage-2 would leave" in text
    assert "2 partitions change, 0 have; 2 copies are made, 3.0 MB" in text
    assert "expected time 1.5 s (assumed: not measured yet)" in text
    assert "a member is to be emptied" in text
    assert "to start it: becket plan apply plan-7-abc" in text


def test_the_json_form(run: Run, target: str) -> None:
    found = json.loads(run("plan", "--drain", "storage-2", "--target", target, "-o", "json").stdout)
    assert set(found) == {
        *("plan_id", "state", "reason", "ring_version", "steps_total", "steps_done"),
        *("total_bytes", "copied_bytes", "expected_s", "remaining_s", "measured"),
        *("loads", "sentences", "steps"),
    }
    assert (found["state"], found["steps_total"], found["remaining_s"]) == ("proposed", 2, None)
    assert found["loads"][0]["sent_bytes"] == 3_000_000
    rows = json.loads(run("plan", "list", "--target", target, "-o", "json").stdout)
    assert [(row["plan_id"], row["steps_done"]) for row in rows] == [("plan-7-abc", 1)]


def test_without_options_the_plan_under_way_is_shown(
    run: Run, target: str, supervisor: Supervisor
) -> None:
    supervisor.status.plan.CopyFrom(a_plan(pb.PLAN_STATE_RUNNING))
    assert "running: 0 of 2 steps" in run("plan", "--target", target).stdout
    assert supervisor.asked is None
    supervisor.status.ClearField("plan")
    run("plan", "--target", target)
    assert supervisor.asked is not None


def test_a_plan_is_started_and_watched_to_its_end(run: Run, target: str) -> None:
    result = run("plan", "apply", "plan-7-abc", "--watch", "--target", target)
    assert result.exit_code == 0, result.output
    assert "running: 1 of 2 steps" in result.stderr
    assert "done: 2 of 2 steps" in result.stderr


def test_a_plan_is_steered(run: Run, target: str, supervisor: Supervisor) -> None:
    supervisor.status.plan.CopyFrom(a_plan(pb.PLAN_STATE_RUNNING))
    for command, word in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        result = run("plan", command, "--target", target)
        assert f"plan plan-7-abc {word}" in result.stdout
    watched = run("plan", "show", "plan-7-abc", "--watch", "--target", target)
    assert watched.exit_code == 3, "it did not come to its end"


def test_a_plan_that_is_refused_says_why(run: Run, target: str, supervisor: Supervisor) -> None:
    supervisor.refuses = "plan plan-3-x is running: end it by `becket plan cancel plan-3-x`"
    result = run("plan", "apply", "plan-7-abc", "--target", target)
    assert result.exit_code == 3
    assert "becket plan cancel plan-3-x" in result.stderr
    result = run("plan", "apply", "plan-x", "--target", target)
    assert (result.exit_code, "no plan 'plan-x'" in result.stderr) == (7, True)
    result = run("plan", "pause", "--target", target)
    assert result.exit_code == 2
    assert "no plan is under way" in result.stderr


@pytest.mark.parametrize(
    "option", ["storage-1", "=5", "storage-1=", "storage-1=x", "storage-1=1.5"]
)
def test_a_weight_that_is_none(run: Run, target: str, option: str) -> None:
    result = run("plan", "--weight", option, "--target", target)
    assert result.exit_code == 2
    assert "--weight" in result.stderr


def test_a_member_named_twice() -> None:
    with pytest.raises(UsageError, match="a is named twice"):
        parsed_weights(["a=1", "a=2"])
    assert parsed_pairs(["a=", "b=z"], "--zone") == {"a": "", "b": "z"}
