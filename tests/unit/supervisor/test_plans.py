"""Plans asked for by people: weights, refusals, and what outlives a supervisor on one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from becket.adapters.local.notes import FileNotes
from becket.api.v1 import supervisor_pb2 as pb
from tests.unit.supervisor.stand_ins import Office, Scene, supervising

FOUR = [f"storage-{i}" for i in range(4)]
Code = grpc.StatusCode


async def refused(call: Any) -> grpc.aio.AioRpcError:  # noqa: ANN401 - a stub's call
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def planned(office: Office, **asked: Any) -> pb.Plan:  # noqa: ANN401 - fields of a request
    answer = await office.calls.PlanRebalance(pb.PlanRebalanceRequest(**asked))
    plan: pb.Plan = answer.plan
    return plan


async def test_a_weight_is_planned_applied_and_stays(scene: Scene) -> None:
    await scene.add_all(4)
    async with supervising(scene) as office:
        await scene.settled(FOUR)
        await office.until(lambda: len(office.cycle.view.table.epochs) == 16)
        wish = pb.MemberWish(name="storage-0", weight=50)
        plan = await planned(office, weights=[wish])
        assert plan.reason == "storage-0 would weigh 50"
        assert not plan.measured
        assert plan.expected_time.ToMilliseconds() > 0
        loads = {load.name: load for load in plan.loads}
        after = loads["storage-0"].copies_after
        assert after < loads["storage-0"].copies_before == 12
        await office.calls.ApplyPlan(pb.ApplyPlanRequest(plan_id=plan.plan_id))
        disk = "disk-of-storage-0"
        await scene.until(lambda ring: len(ring.partitions_by_disk[disk]) == after)
        await office.until(lambda: office.cycle.supervision.planning.current is None)
        ring = await scene.ring()
        assert ring is not None
        assert ring.by_disk[disk].weight == 50
        found = (await office.calls.ListPlans(pb.ListPlansRequest())).plans
        assert [(each.plan_id, each.state) for each in found] == [
            (plan.plan_id, pb.PLAN_STATE_DONE)
        ]
        assert found[0].step_count == found[0].done_count == len(plan.steps)


async def test_bad_questions_are_refused_with_the_reason(scene: Scene) -> None:
    await scene.add_all(4)
    async with supervising(scene) as office:
        await scene.settled(FOUR)
        await office.until(lambda: office.cycle.writer.confirmed)
        for weight in (0, -1, 10_001):
            wish = pb.MemberWish(name="storage-0", weight=weight)
            error = await refused(planned(office, weights=[wish]))
            assert error.code() is Code.INVALID_ARGUMENT
            assert f"{weight} is not in 1..10000" in (error.details() or "")
        wish = pb.MemberWish(name="nobody", weight=5)
        assert (await refused(planned(office, weights=[wish]))).code() is Code.NOT_FOUND
        wish = pb.MemberWish(name="storage-0", zone="z9")
        plan = await planned(office, zones=[wish])
        error = await refused(office.calls.ApplyPlan(pb.ApplyPlanRequest(plan_id=plan.plan_id)))
        assert error.code() is Code.FAILED_PRECONDITION
        assert "where the member runs" in (error.details() or "")


async def test_a_second_plan_is_refused_while_one_is_under_way(scene: Scene) -> None:
    await scene.add_all(4)
    async with supervising(scene) as office:
        await scene.settled(FOUR)
        await office.until(lambda: office.cycle.writer.confirmed)
        for member in scene.members.values():
            member.certifies = False
        first = await planned(office, leaving=["storage-3"])
        await office.calls.ApplyPlan(pb.ApplyPlanRequest(plan_id=first.plan_id))
        await scene.until(lambda ring: ring.joint_partitions)
        second = await planned(office, weights=[pb.MemberWish(name="storage-0", weight=50)])
        error = await refused(office.calls.ApplyPlan(pb.ApplyPlanRequest(plan_id=second.plan_id)))
        assert error.code() is Code.FAILED_PRECONDITION
        steps = len(first.steps)
        assert error.details() == (
            f"plan {first.plan_id} is running, 0 of {steps} steps are done: wait for its end, or"
            f" end it by `becket plan cancel {first.plan_id}`; then plan anew"
        )
        status = await office.calls.GetStatus(pb.GetStatusRequest())
        assert status.plan.plan_id == first.plan_id
        assert status.throttle.moving_partitions == 64, "nobody calls: the limits alone hold"
        assert not status.throttle.HasField("since_halving")


def test_a_note_in_a_file(tmp_path: Path) -> None:
    notes = FileNotes(tmp_path / "ring.plan")
    assert notes.read() == ""
    notes.keep("paused m plan-1 4")
    assert FileNotes(tmp_path / "ring.plan").read() == "paused m plan-1 4"
    (tmp_path / "ring.plan").write_bytes(b"\xff\xfe")
    assert FileNotes(tmp_path / "ring.plan").read() == ""
    FileNotes(tmp_path / "away" / "ring.plan").keep("x")  # a folder that is away ends nobody
