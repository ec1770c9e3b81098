"""What the supervisor knows, as protobuf.

Owns the mapping only. Must not ask or change anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from becket.adapters.rpc.rings import AddressOf, member_to_proto
from becket.api.v1 import supervisor_pb2 as pb
from becket.core.placement.result import Cause
from becket.core.plans.plan import Plan, PlanState, Step
from becket.core.plans.progress import Standing
from becket.core.ring.ring import Ring
from becket.core.supervision.estimates import Estimate, copied, remaining_us
from becket.core.supervision.planning import Planning, standings
from becket.core.supervision.saying import Topic
from becket.core.supervision.snapshot import Snapshot
from becket.core.supervision.status import Liveness, MemberView
from becket.supervisor.events import Happened

NEW = "(new) "
"""Before the name of a member that does not exist yet, in place of a disk."""

_LIVENESS = {
    Liveness.ALIVE: pb.LIVENESS_ALIVE,
    Liveness.SUSPECT: pb.LIVENESS_SUSPECT,
    Liveness.DEAD: pb.LIVENESS_DEAD,
}
_TOPICS = {
    Topic.MEMBER: pb.EVENT_KIND_MEMBER,
    Topic.RING: pb.EVENT_KIND_RING,
    Topic.PLAN: pb.EVENT_KIND_PLAN,
    Topic.FREEZE: pb.EVENT_KIND_FREEZE,
    Topic.PLATFORM: pb.EVENT_KIND_PLATFORM,
    Topic.LEADER: pb.EVENT_KIND_LEADER,
}
_STEPS = {
    Standing.DONE: pb.STEP_STATE_DONE,
    Standing.UNDER_WAY: pb.STEP_STATE_COPYING,
    Standing.OPEN: pb.STEP_STATE_WAITING,
    Standing.WAITING: pb.STEP_STATE_WAITING,
}
_STATES = {
    PlanState.RUNNING: pb.PLAN_STATE_RUNNING,
    PlanState.PAUSED: pb.PLAN_STATE_PAUSED,
    PlanState.CANCELLED: pb.PLAN_STATE_CANCELLED,
}

_REASONS = {
    Cause.QUORUM: "members are gone, and one more loss would cost the majority",
    Cause.COPIES: "copies are missing",
    Cause.DRAIN: "a member is to be emptied",
    Cause.ZONES: "a zone or node holds more copies than it must",
    Cause.BALANCE: "members should carry by weight",
    Cause.COORDINATORS: "the first replicas should be spread; nothing is copied",
}


def time_of(wall_ms: int) -> Timestamp:
    """A moment; ``wall_ms`` since 1970."""
    return Timestamp(seconds=wall_ms // 1000, nanos=wall_ms % 1000 * 1_000_000)


def member_answer(view: MemberView, address_of: AddressOf, wall_us_behind: int) -> pb.MemberStatus:
    """One member. ``wall_us_behind``: wall time less monotonic time, in microseconds."""
    member = member_to_proto(view.member, address_of(view.member.name))
    answer = pb.MemberStatus(
        liveness=_LIVENESS[view.liveness],
        partitions=view.partitions,
        coordinating=view.coordinating,
    )
    if view.seen is not None:
        member.incarnation = view.seen.incarnation
        answer.pid = view.seen.pid if view.seen.is_connected else 0
        answer.used_bytes = view.seen.used_bytes
        answer.total_bytes = view.seen.total_bytes
        answer.last_heard_time.CopyFrom(time_of((view.seen.at_us + wall_us_behind) // 1000))
    answer.member.CopyFrom(member)
    return answer


def event_answer(event: Happened) -> pb.Event:
    """One event."""
    return pb.Event(
        number=event.number,
        time=time_of(event.time_ms),
        kind=_TOPICS[event.topic],
        sentence=event.sentence,
        member=event.member,
        ring_version=event.ring_version,
    )


def plan_answer(
    planning: Planning,
    plan_id: str,
    ring: Ring,
    snapshot: Snapshot,
    estimates: Mapping[str, Estimate],
) -> pb.Plan | None:
    """The plan of this name as it is now; None where nobody knows it."""
    current, proposal = planning.current, planning.proposals.get(plan_id)
    if current is not None and current.id == plan_id:
        where = standings(ring, current)
        return _plan(current, _STATES[current.state], where, snapshot, estimates.get(plan_id))
    if proposal is not None:
        made = estimates.get(plan_id)
        return _plan(proposal.plan, pb.PLAN_STATE_PROPOSED, {}, snapshot, made)
    ended = planning.ended.get(plan_id)
    if ended is None:
        return None
    state = pb.PLAN_STATE_DONE if ended.is_done else pb.PLAN_STATE_CANCELLED
    answer = _plan(ended.plan, state, ended.steps, snapshot, estimates.get(plan_id))
    for step in answer.steps:
        if step.state != pb.STEP_STATE_DONE:
            step.state = pb.STEP_STATE_DONE if ended.is_done else pb.STEP_STATE_ABANDONED
    answer.ClearField("remaining_time")
    return answer


def _plan(
    plan: Plan,
    state: pb.PlanState.ValueType,
    where: Mapping[int, Standing],
    snapshot: Snapshot,
    made: Estimate | None,
) -> pb.Plan:
    names = {seen.disk: seen.name for seen in snapshot.seen}
    if snapshot.found is not None:
        names |= {member.disk: member.name for member in snapshot.found.members}
    answer = pb.Plan(
        plan_id=plan.id, ring_version=plan.ring_version, state=state, sentences=plan.sentences
    )
    for number, step in enumerate(plan.steps):
        size = 0 if made is None else made.step_bytes[number]
        shown = _STEPS[where.get(number, Standing.OPEN)]
        answer.steps.append(_step(step, names, size, shown))
    if made is not None:
        answer.total_bytes = made.total
        answer.copied_bytes = copied(plan, made, where, snapshot)
        left_us = remaining_us(made, answer.copied_bytes, snapshot.now_us)
        if left_us is not None:
            answer.remaining_time.CopyFrom(
                Duration(seconds=left_us // 1_000_000, nanos=left_us % 1_000_000 * 1000)
            )
    return answer


def _step(
    step: Step, names: Mapping[str, str], size: int, state: pb.StepState.ValueType
) -> pb.PlanStep:
    def shown(disk: str) -> str:
        return names.get(disk, disk.removeprefix(NEW))

    return pb.PlanStep(
        partition=step.partition,
        from_members=[shown(disk) for disk in step.present],
        to_members=[shown(disk) for disk in step.wished],
        bytes=size,
        state=state,
        reason=_REASONS[step.cause],
    )
