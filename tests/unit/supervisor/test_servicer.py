"""What people and tools are told by the supervisor, and what they may ask for."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from becket.adapters.rpc.errors import from_rpc_error, reason_of
from becket.api.v1 import ring_pb2, types_pb2
from becket.api.v1 import supervisor_pb2 as pb
from becket.core.errors import GiveUpError, InvalidInputError, NotFoundError
from becket.core.ring.members import MemberState
from tests.unit.supervisor.stand_ins import Office, Scene, supervising

THREE = [f"storage-{i}" for i in range(3)]
FOUR = [f"storage-{i}" for i in range(4)]
Code = grpc.StatusCode


async def refused(call: Any) -> grpc.aio.AioRpcError:  # noqa: ANN401 - a stub's call
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def whole(office: Office, members: int) -> pb.GetStatusResponse:
    """The status, once every partition is whole."""
    async with asyncio.timeout(20):
        while True:
            status: pb.GetStatusResponse = await office.calls.GetStatus(pb.GetStatusRequest())
            if status.whole_partitions == 16 and status.alive_members == members:
                return status
            await asyncio.sleep(0.01)


async def test_status_without_a_ring(scene: Scene) -> None:
    await scene.add_all(2)
    member = await scene.add("storage-2")
    await member.stop()
    async with supervising(scene) as office:
        await office.said("the first ring waits for storage-2")
        status = await office.calls.GetStatus(pb.GetStatusRequest())
        assert (status.cluster_id, status.ring_version, status.partitions) == ("", 0, 0)
        assert status.wished_members == 3
        assert status.sentences[0] == "the first ring waits for storage-2"
        members = (await office.calls.ListMembers(pb.ListMembersRequest())).members
        assert [m.member.name for m in members] == ["storage-0", "storage-1"]
        error = await refused(office.calls.DrainMember(pb.DrainMemberRequest(name="storage-0")))
        assert error.code() is Code.UNAVAILABLE
        error = await refused(office.rings.GetRing(ring_pb2.GetRingRequest()))
        assert error.code() is Code.UNAVAILABLE


async def test_the_numbers_of_a_status(scene: Scene) -> None:
    await scene.add_all(5)
    async with supervising(scene) as office:
        ring = await scene.settled([f"storage-{i}" for i in range(5)])
        status = await whole(office, members=5)
        assert status.cluster_id == ring.cluster
        assert (status.ring_version, status.partitions, status.wished_members) == (1, 16, 5)
        assert (status.degraded_partitions, status.stalled_partitions) == (0, 0)
        assert status.leader == "supervisor-0"
        assert not status.frozen
        assert not status.HasField("plan")

        gone = ["disk-of-storage-0", "disk-of-storage-1"]
        for name in ("storage-0", "storage-1"):
            await scene.members[name].stop()
        for name in ("storage-2", "storage-3", "storage-4"):
            scene.members[name].suspect(*gone)
        await office.until(lambda: len(office.cycle.decision.judgement.dead) == 2)
        status = await office.calls.GetStatus(pb.GetStatusRequest())
        stalled = sum(len(config.old_set.intersection(gone)) == 2 for config in ring.configs)
        assert status.stalled_partitions == stalled > 0
        untouched = sum(config.old_set.isdisjoint(gone) for config in ring.configs)
        assert status.whole_partitions == untouched
        assert status.alive_members == 3
        total = status.whole_partitions + status.degraded_partitions + status.stalled_partitions
        assert total == 16
        assert status.sentences[0] == f"{stalled} of 16 partitions have no majority"


async def test_the_numbers_are_measured(scene: Scene) -> None:
    await scene.add_all(3)
    async with supervising(scene) as office:
        await scene.settled(THREE)
        await office.until(lambda: office.cycle.view_of_cluster.whole == 16)
        shown = office.host.runtime.telemetry.exposition()[0].decode()
    assert 'becket_supervisor_partitions{becket_partition_state="whole"} 16.0' in shown
    assert 'becket_supervisor_members{becket_member_state="alive"} 3.0' in shown
    assert "becket_supervisor_ring_version 1.0" in shown.replace("_ratio", "")


async def test_members_are_listed_as_they_are_seen(scene: Scene) -> None:
    await scene.add_all(4)
    async with supervising(scene) as office:
        await scene.settled(FOUR)
        await whole(office, members=4)
        scene.members["storage-0"].suspect("disk-of-storage-1")
        await office.until(lambda: any(seen.suspects for seen in office.cycle.snapshot().connected))
        answer = await office.calls.ListMembers(pb.ListMembersRequest())
        assert answer.ring_version == 1
        assert [m.member.name for m in answer.members] == FOUR
        second = answer.members[1]
        assert second.liveness == pb.LIVENESS_SUSPECT
        assert second.member.address == scene.members["storage-1"].address
        assert second.member.disk_id == "disk-of-storage-1"
        assert second.member.state == types_pb2.MEMBER_STATE_ACTIVE
        assert second.pid == 77
        assert second.partitions == 12
        assert second.last_heard_time.seconds > 1_600_000_000
        assert sum(m.coordinating for m in answer.members) == 16


async def test_a_drain_empties_a_member_and_an_undrain_fills_it(scene: Scene) -> None:
    await scene.add_all(4)
    async with supervising(scene) as office:
        await scene.settled(FOUR)
        request = pb.DrainMemberRequest(name="storage-2")
        for _ in range(2):  # idempotent
            answer = await office.calls.DrainMember(request)
            assert answer.member.state == types_pb2.MEMBER_STATE_DRAINING
            assert "copies, which are moved" in answer.sentences[0]
        disk = "disk-of-storage-2"
        await scene.until(lambda ring: not ring.partitions_by_disk[disk])
        # Its place is still there: it is not forgotten, and takes copies again when asked.
        await office.until(lambda: office.cycle.supervision.planning.current is None)
        for _ in range(2):
            undrained = await office.calls.UndrainMember(pb.UndrainMemberRequest(name="storage-2"))
            assert undrained.member.state == types_pb2.MEMBER_STATE_ACTIVE
        await scene.until(lambda ring: len(ring.partitions_by_disk[disk]) == 12)
        error = await refused(office.calls.DrainMember(pb.DrainMemberRequest(name="nobody")))
        assert isinstance(from_rpc_error(error), NotFoundError)
        error = await refused(office.calls.UndrainMember(pb.UndrainMemberRequest(name="")))
        assert error.code() is Code.NOT_FOUND


async def test_a_drain_that_leaves_too_few_is_refused(scene: Scene) -> None:
    await scene.add_all(3)
    async with supervising(scene) as office:
        await scene.settled(THREE)
        await office.until(lambda: office.cycle.writer.confirmed)
        error = await refused(office.calls.DrainMember(pb.DrainMemberRequest(name="storage-0")))
        assert error.code() is Code.FAILED_PRECONDITION
        assert isinstance(from_rpc_error(error), GiveUpError)
        assert "2 members would be left for 3 copies" in (error.details() or "")


async def test_the_member_count_is_kept_in_the_ring(scene: Scene) -> None:
    await scene.add_all(3)
    async with supervising(scene) as office:
        await scene.settled(THREE)
        await office.until(lambda: office.cycle.writer.confirmed)
        answer = await office.calls.SetMemberCount(pb.SetMemberCountRequest(count=5))
        assert (answer.previous_count, answer.count) == (3, 5)
        assert await scene.until(lambda ring: ring.member_count.wished == 5)
        status = await office.calls.GetStatus(pb.GetStatusRequest())
        assert status.wished_members == 5
        assert "5 members are wished for, there are places for 3" in status.sentences
        answer = await office.calls.SetMemberCount(pb.SetMemberCountRequest(count=5))
        assert (answer.previous_count, answer.count) == (5, 5)
        for count in (0, 2, 5000):
            error = await refused(
                office.calls.SetMemberCount(pb.SetMemberCountRequest(count=count))
            )
            found = from_rpc_error(error)
            assert isinstance(found, InvalidInputError)
            assert found.field == "count"


async def test_a_plan_is_shown_without_changing_anything_then_started(scene: Scene) -> None:
    await scene.add_all(4)
    async with supervising(scene) as office:
        before = await scene.settled(FOUR)
        await whole(office, members=4)
        request = pb.PlanRebalanceRequest(leaving=["storage-3"])
        plan = (await office.calls.PlanRebalance(request)).plan
        again = (await office.calls.PlanRebalance(request)).plan
        assert again == plan
        assert plan.state == pb.PLAN_STATE_PROPOSED
        assert plan.ring_version == before.version
        assert sum(len(set(s.to_members) - set(s.from_members)) for s in plan.steps) == 12
        assert plan.total_bytes == 12 * 1000
        assert all(step.reason == "a member is to be emptied" for step in plan.steps[:12])
        assert any("storage-3 is to be emptied" in sentence for sentence in plan.sentences)
        assert await scene.ring() == before

        started = await office.calls.ApplyPlan(pb.ApplyPlanRequest(plan_id=plan.plan_id))
        assert started.plan.plan_id == plan.plan_id
        await scene.until(lambda ring: not ring.partitions_by_disk["disk-of-storage-3"])
        await office.until(lambda: office.cycle.supervision.planning.current is None)
        done = (await office.calls.GetPlan(pb.GetPlanRequest(plan_id=plan.plan_id))).plan
        assert done.state == pb.PLAN_STATE_DONE
        assert {step.state for step in done.steps} == {pb.STEP_STATE_DONE}
        assert done.copied_bytes == done.total_bytes
        ring = await scene.ring()
        assert ring is not None
        assert ring.by_disk["disk-of-storage-3"].state is MemberState.DRAINING


async def test_a_plan_for_more_members_shows_what_would_move(scene: Scene) -> None:
    await scene.add_all(3)
    async with supervising(scene) as office:
        await scene.settled(THREE)
        await office.until(lambda: office.cycle.writer.confirmed)
        plan = (await office.calls.PlanRebalance(pb.PlanRebalanceRequest(member_count=4))).plan
        assert sum("storage-3" in step.to_members for step in plan.steps) == 12
        answer = await office.calls.ApplyPlan(pb.ApplyPlanRequest(plan_id=plan.plan_id))
        assert answer.plan.state == pb.PLAN_STATE_PROPOSED
        assert "started when storage-3 have come" in answer.plan.sentences[0]
        assert await scene.until(lambda ring: ring.member_count.wished == 4)
        await scene.add("storage-3")
        await scene.settled(FOUR)


async def test_a_plan_for_an_older_ring_is_stale(scene: Scene) -> None:
    await scene.add_all(4)
    async with supervising(scene) as office:
        await scene.settled(FOUR)
        await office.until(lambda: office.cycle.writer.confirmed)
        request = pb.PlanRebalanceRequest(leaving=["storage-3"])
        plan = (await office.calls.PlanRebalance(request)).plan
        await office.calls.SetMemberCount(pb.SetMemberCountRequest(count=4))
        error = await refused(office.calls.ApplyPlan(pb.ApplyPlanRequest(plan_id=plan.plan_id)))
        assert error.code() is Code.FAILED_PRECONDITION
        status = rpc_status.from_call(error)
        assert reason_of(status) == "STALE_PLAN"


async def test_plans_that_cannot_be_are_refused(scene: Scene) -> None:
    await scene.add_all(3)
    async with supervising(scene) as office:
        await scene.settled(THREE)
        await office.until(lambda: office.cycle.writer.confirmed)
        calls = office.calls
        for request, code in (
            (pb.PlanRebalanceRequest(leaving=["nobody"]), Code.NOT_FOUND),
            (pb.PlanRebalanceRequest(leaving=["storage-0"]), Code.FAILED_PRECONDITION),
            (pb.PlanRebalanceRequest(member_count=2), Code.INVALID_ARGUMENT),
        ):
            assert (await refused(calls.PlanRebalance(request))).code() is code
        for call, request_type in (
            (calls.ApplyPlan, pb.ApplyPlanRequest),
            (calls.PausePlan, pb.PausePlanRequest),
            (calls.ResumePlan, pb.ResumePlanRequest),
            (calls.CancelPlan, pb.CancelPlanRequest),
            (calls.GetPlan, pb.GetPlanRequest),
        ):
            error = await refused(call(request_type(plan_id="plan-nothing")))
            assert error.code() is Code.NOT_FOUND
        assert (await refused(calls.GetPlan(pb.GetPlanRequest()))).code() is Code.NOT_FOUND


async def test_a_plan_is_paused_resumed_and_cancelled(scene: Scene) -> None:
    await scene.add_all(3)
    async with supervising(scene, plan={"partitions": 2, "copies_per_member": 2}) as office:
        await scene.settled(THREE)
        for member in scene.members.values():
            member.certifies = False
        await scene.add("storage-3")
        await scene.until(lambda ring: len(ring.joint_partitions) == 2)
        calls = office.calls
        plan_id = (await calls.GetPlan(pb.GetPlanRequest())).plan.plan_id
        status = await calls.GetStatus(pb.GetStatusRequest())
        assert status.plan.plan_id == plan_id
        assert status.plan.state == pb.PLAN_STATE_RUNNING
        copying = [s for s in status.plan.steps if s.state == pb.STEP_STATE_COPYING]
        assert len(copying) == 2

        paused = await calls.PausePlan(pb.PausePlanRequest(plan_id=plan_id))
        assert paused.plan.state == pb.PLAN_STATE_PAUSED
        for member in scene.members.values():
            member.certifies = True
            member.wake()
        await scene.until(lambda ring: not ring.joint_partitions)
        resumed = await calls.ResumePlan(pb.ResumePlanRequest(plan_id=plan_id))
        assert resumed.plan.state == pb.PLAN_STATE_RUNNING
        for member in scene.members.values():
            member.certifies = False
        await scene.until(lambda ring: ring.joint_partitions)
        cancelled = await calls.CancelPlan(pb.CancelPlanRequest(plan_id=plan_id))
        assert cancelled.plan.state == pb.PLAN_STATE_CANCELLED
        await office.until(lambda: office.cycle.supervision.planning.current is None)
        await scene.until(lambda ring: not ring.joint_partitions)
        shown = (await calls.GetPlan(pb.GetPlanRequest(plan_id=plan_id))).plan
        assert shown.state == pb.PLAN_STATE_CANCELLED
        states = {step.state for step in shown.steps}
        assert states == {pb.STEP_STATE_DONE, pb.STEP_STATE_ABANDONED}
        error = await refused(calls.ResumePlan(pb.ResumePlanRequest(plan_id=plan_id)))
        assert error.code() is Code.FAILED_PRECONDITION


async def test_a_frozen_cluster_starts_no_plan(scene: Scene) -> None:
    await scene.add_all(4)
    async with supervising(scene) as office:
        await scene.settled(FOUR)
        await office.until(lambda: office.cycle.writer.confirmed)
        request = pb.PlanRebalanceRequest(leaving=["storage-3"])
        plan = (await office.calls.PlanRebalance(request)).plan
        for name in FOUR[:2]:
            scene.members[name].suspect("disk-of-storage-2", "disk-of-storage-3")
        for name in FOUR[2:]:
            await scene.members[name].stop()
        await office.said("ring changes are frozen")
        error = await refused(office.calls.ApplyPlan(pb.ApplyPlanRequest(plan_id=plan.plan_id)))
        assert reason_of(rpc_status.from_call(error)) == "FROZEN"
        status = await office.calls.GetStatus(pb.GetStatusRequest())
        assert status.frozen
        assert any("ring changes are frozen" in sentence for sentence in status.sentences)


async def test_events_come_as_they_happen_after_what_is_remembered(scene: Scene) -> None:
    await scene.add_all(3)
    async with supervising(scene) as office:
        await scene.settled(THREE)
        await office.said("is in force")
        stream = office.calls.WatchEvents(pb.WatchEventsRequest())
        events = list((await anext(aiter(stream))).events)
        assert [event.number for event in events] == list(range(1, len(events) + 1))
        assert any("the first ring is made" in event.sentence for event in events)
        assert events[-1].ring_version == 1
        assert {event.kind for event in events} <= {pb.EVENT_KIND_RING, pb.EVENT_KIND_MEMBER}
        await scene.add("storage-3")
        later = (await anext(aiter(stream))).events[0]
        assert later.number == events[-1].number + 1
        await scene.settled(FOUR)
        stream.cancel()
        resumed = office.calls.WatchEvents(pb.WatchEventsRequest(after_number=later.number))
        assert (await anext(aiter(resumed))).events[0].number == later.number + 1
        resumed.cancel()


async def test_a_watch_of_events_ends_with_ok_when_it_is_old(scene: Scene) -> None:
    async with supervising(scene, stream_age_s=0.3, stop_grace_s=0.2, default_deadline_ms=100) as o:
        stream = o.calls.WatchEvents(pb.WatchEventsRequest(after_number=0))
        async with asyncio.timeout(10):
            async for _ in stream:
                pass
        assert await stream.code() is Code.OK


async def test_the_ring_service_tells_ring_and_coordinators(scene: Scene) -> None:
    await scene.add_all(3)
    async with supervising(scene) as office:
        ring = await scene.settled(THREE)
        await office.until(lambda: len(office.cycle.view.table.epochs) == 16)
        answer = await office.rings.GetRing(ring_pb2.GetRingRequest())
        assert answer.ring.version == ring.version
        assert len(answer.coordinators) == 16
        assert answer.ring.members[0].address == scene.members["storage-0"].address
