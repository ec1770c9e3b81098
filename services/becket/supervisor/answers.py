"""What the supervisor knows, as protobuf.

Owns the mapping only. Must not ask or change anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from becket.adapters.rpc.rings import AddressOf, member_to_proto
from becket.api.v1 import supervisor_pb2 as pb
from becket.core.placement.result import Cause
from becket.core.plans.plan import Plan, PlanState, Step
from becket.core.plans.progress import Standing
from becket.core.ring.ring import Ring
from becket.core.supervision.asking import NEW
from becket.core.supervision.estimates import Estimate, copied
from becket.core.supervision.loads import member_loads
from becket.core.supervision.pacing import PaceView
from becket.core.supervision.planning import Planning, standings
from becket.core.supervision.rates import Rates
from becket.core.supervision.saying import Topic
from becket.core.supervision.snapshot import Snapshot
from becket.core.supervision.status import Liveness, MemberView
from becket.supervisor.events import Happened

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


@dataclass(frozen=True)
class Known:
    """What is known of plans: the ring as it is confirmed, what is seen, what was measured."""

    ring: Ring
    snapshot: Snapshot
    estimates: Mapping[str, Estimate]
    rates: Rates


def plan_answer(planning: Planning, plan_id: str, known: Known) -> pb.Plan | None:
    """The plan of this name as it is now; None where nobody knows it."""
    current, proposal = planning.current, planning.proposals.get(plan_id)
    if current is not None and current.id == plan_id:
        where = standings(known.ring, current)
        return _plan(current, _STATES[current.state], where, known)
    if proposal is not None:
        return _plan(proposal.plan, pb.PLAN_STATE_PROPOSED, {}, known)
    ended = planning.ended.get(plan_id)
    if ended is None:
        return None
    state = pb.PLAN_STATE_DONE if ended.is_done else pb.PLAN_STATE_CANCELLED
    answer = _plan(ended.plan, state, ended.steps, known)
    for step in answer.steps:
        if step.state != pb.STEP_STATE_DONE:
            step.state = pb.STEP_STATE_DONE if ended.is_done else pb.STEP_STATE_ABANDONED
    return answer


def plans_answer(planning: Planning, known: Known) -> list[pb.Plan]:
    """Every plan that is remembered, without its steps."""
    current = planning.current
    names = [] if current is None else [current.id]
    names += [*reversed(planning.proposals), *reversed(planning.ended)]
    found = []
    for name in dict.fromkeys(names):
        answer = plan_answer(planning, name, known)
        if answer is not None:
            answer.step_count = len(answer.steps)
            answer.done_count = sum(step.state == pb.STEP_STATE_DONE for step in answer.steps)
            answer.ClearField("steps")
            answer.ClearField("loads")
            found.append(answer)
    return found


def throttle_answer(view: PaceView, rates: Rates, now_us: int) -> pb.Throttle:
    """How fast plans may go on, and how fast they went."""
    last = view.last_halving
    answer = pb.Throttle(
        restoring_partitions=view.restoring,
        moving_partitions=view.moving,
        halvings=view.halvings,
        partitions_per_second=rates.steps_per_s or 0.0,
        bytes_per_second=rates.bytes_per_s or 0.0,
    )
    for value, target in (
        (view.limit_us, answer.p99_limit),
        (view.p99_us, answer.foreground_p99),
        (view.steady_us, answer.steady_p99),
        (view.rest_us or None, answer.rest),
        (None if last is None else max(0, now_us - last.at_us), answer.since_halving),
        (None if last is None else last.p99_us, answer.halving_p99),
        (None if last is None else last.limit_us, answer.halving_limit),
    ):
        if value is not None:
            target.FromMicroseconds(value)
    return answer


def _plan(
    plan: Plan, state: pb.PlanState.ValueType, where: Mapping[int, Standing], known: Known
) -> pb.Plan:
    snapshot, made = known.snapshot, known.estimates.get(plan.id)
    names = _names(snapshot)
    answer = pb.Plan(
        plan_id=plan.id,
        ring_version=plan.ring_version,
        state=state,
        sentences=plan.sentences,
        reason=plan.reason,
        earlier_steps=plan.earlier_steps,
    )
    for number, step in enumerate(plan.steps):
        size = 0 if made is None else made.step_bytes[number]
        shown = _STEPS[where.get(number, Standing.OPEN)]
        answer.steps.append(_step(step, names, size, shown))
    if made is not None:
        answer.total_bytes = made.total
        answer.copied_bytes = copied(plan, made, where, snapshot)
        _add_expectation(answer, known.rates)
        if state in (pb.PLAN_STATE_PROPOSED, pb.PLAN_STATE_RUNNING, pb.PLAN_STATE_PAUSED):
            _add_loads(answer, plan, made, known)
    return answer


def _names(snapshot: Snapshot) -> dict[str, str]:
    names = {seen.disk: seen.name for seen in snapshot.seen}
    if snapshot.found is not None:
        names |= {member.disk: member.name for member in snapshot.found.members}
    return names


def _add_expectation(answer: pb.Plan, rates: Rates) -> None:
    whole = rates.expectation(len(answer.steps), answer.total_bytes)
    answer.expected_time.FromMicroseconds(int(whole.seconds * 1e6))
    answer.measured = whole.is_measured
    if answer.state == pb.PLAN_STATE_RUNNING:
        steps = sum(step.state != pb.STEP_STATE_DONE for step in answer.steps)
        rest = rates.expectation(steps, max(0, answer.total_bytes - answer.copied_bytes))
        answer.remaining_time.FromMicroseconds(int(rest.seconds * 1e6))


def _add_loads(answer: pb.Plan, plan: Plan, made: Estimate, known: Known) -> None:
    names = _names(known.snapshot)
    for load in member_loads(known.ring, plan, made, known.snapshot):
        answer.loads.add(
            name=names.get(load.disk, load.disk.removeprefix(NEW)),
            copies_before=load.copies_before,
            copies_after=load.copies_after,
            first_before=load.first_before,
            first_after=load.first_after,
            bytes_before=load.bytes_before,
            bytes_after=load.bytes_after,
            received_bytes=load.received,
            sent_bytes=load.sent,
        )


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
