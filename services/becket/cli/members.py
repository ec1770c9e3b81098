"""Members and the cluster's state, as the supervisor tells them or, without one, as the ring does.

Owns the JSON forms of ``becket members`` and ``becket status``, which scripts rely on, and the word
for a member's state. Invariant: what is not known is null, never a guess.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple, TypedDict

from becket.api.v1 import ring_pb2, types_pb2
from becket.api.v1 import supervisor_pb2 as pb
from becket.cli.calling import Services
from becket.cli.output import say
from becket.cli.throttles import ThrottleRow, throttle_lines, throttle_row
from becket.core.errors import BecketError


class MemberRow(TypedDict):
    """One member. ``pid`` and a state of life need a supervisor; the rest only a ring."""

    name: str
    state: str
    address: str
    zone: str
    pid: int | None
    partitions: int
    coordinating: int


COLUMNS = ("NAME", "STATE", "ADDRESS", "ZONE", "PID", "PARTITIONS", "COORDINATING")

_RING_STATES = {
    types_pb2.MEMBER_STATE_ACTIVE: "active",
    types_pb2.MEMBER_STATE_DRAINING: "draining",
    types_pb2.MEMBER_STATE_GONE: "gone",
}
PLAN_STATES = {
    pb.PLAN_STATE_PROPOSED: "proposed",
    pb.PLAN_STATE_RUNNING: "running",
    pb.PLAN_STATE_PAUSED: "paused",
    pb.PLAN_STATE_DONE: "done",
    pb.PLAN_STATE_CANCELLED: "cancelled",
}


def state_of(status: pb.MemberStatus) -> str:
    """One word: gone, dead, draining, suspect or active; the first that is true."""
    if status.member.state == types_pb2.MEMBER_STATE_GONE:
        return "gone"
    if status.liveness == pb.LIVENESS_DEAD:
        return "dead"
    if status.member.state == types_pb2.MEMBER_STATE_DRAINING:
        return "draining"
    return "suspect" if status.liveness == pb.LIVENESS_SUSPECT else "active"


def by_number(name: str) -> tuple[object, ...]:
    """Sorts storage-10 behind storage-9."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", name))


async def statuses(services: Services) -> list[pb.MemberStatus]:
    """Every member, by name, as the supervisor sees it."""
    answer = await services.ask(services.supervisor.ListMembers, pb.ListMembersRequest())
    return sorted(answer.members, key=lambda status: by_number(status.member.name))


class Listed(NamedTuple):
    """The members by name, and beside each the node that it is on; empty where there are none."""

    rows: list[MemberRow]
    nodes: list[str]

    def table(self) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Columns and rows for a person; nodes only where there are some."""
        rows = [tuple(row.values()) for row in self.rows]
        if not any(self.nodes):
            return COLUMNS, rows
        return (*COLUMNS, "NODE"), [(*r, n) for r, n in zip(rows, self.nodes, strict=True)]


async def listed(services: Services) -> Listed:
    """Every member, by name.

    :raises UnreachableError: nobody answers, not even for the ring.
    """
    try:
        found = await statuses(services)
    except BecketError as error:
        rows = _from_ring(await services.ask(services.ring.GetRing, ring_pb2.GetRingRequest()))
        say(f"becket: no supervisor answers, so life and pids are not known: {error}")
        return Listed(rows, [""] * len(rows))
    rows = [
        MemberRow(
            name=status.member.name,
            state=state_of(status),
            address=status.member.address,
            zone=status.member.zone,
            pid=status.pid or None,
            partitions=status.partitions,
            coordinating=status.coordinating,
        )
        for status in found
    ]
    return Listed(rows, [status.member.node for status in found])


def _from_ring(answer: ring_pb2.GetRingResponse) -> list[MemberRow]:
    holding: Counter[str] = Counter()
    for config in answer.ring.partitions:
        holding.update({*config.old_disk_ids, *config.new_disk_ids})
    coordinating = Counter(each.epoch.disk_id for each in answer.coordinators)
    return [
        MemberRow(
            name=member.name,
            state=_RING_STATES.get(member.state, "unknown"),
            address=member.address,
            zone=member.zone,
            pid=None,
            partitions=holding[member.disk_id],
            coordinating=coordinating[member.disk_id],
        )
        for member in sorted(answer.ring.members, key=lambda member: by_number(member.name))
    ]


class PlanRow(TypedDict):
    """A plan in short."""

    plan_id: str
    state: str
    steps: int
    steps_done: int
    total_bytes: int
    copied_bytes: int
    sentences: list[str]


class StatusRow(TypedDict):
    """The cluster. Of its partitions each is whole, degraded or stalled."""

    cluster: str
    ring_version: int
    leader: str
    partitions: int
    whole: int
    degraded: int
    stalled: int
    wished_members: int
    alive_members: int
    frozen: bool
    sentences: list[str]
    plan: PlanRow | None
    throttle: ThrottleRow | None


async def status(services: Services) -> StatusRow:
    """How the cluster is."""
    found = await services.ask(services.supervisor.GetStatus, pb.GetStatusRequest())
    return StatusRow(
        cluster=found.cluster_id,
        ring_version=found.ring_version,
        leader=found.leader,
        partitions=found.partitions,
        whole=found.whole_partitions,
        degraded=found.degraded_partitions,
        stalled=found.stalled_partitions,
        wished_members=found.wished_members,
        alive_members=found.alive_members,
        frozen=found.frozen,
        sentences=[*found.sentences],
        plan=_plan(found.plan) if found.HasField("plan") else None,
        throttle=throttle_row(found.throttle) if found.HasField("throttle") else None,
    )


def _plan(plan: pb.Plan) -> PlanRow:
    return PlanRow(
        plan_id=plan.plan_id,
        state=PLAN_STATES.get(plan.state, "unknown"),
        steps=len(plan.steps),
        steps_done=sum(step.state == pb.STEP_STATE_DONE for step in plan.steps),
        total_bytes=plan.total_bytes,
        copied_bytes=plan.copied_bytes,
        sentences=[*plan.sentences],
    )


def status_lines(found: StatusRow) -> list[str]:
    """The state for a person."""
    shares = ", ".join(f"{found[each]} {each}" for each in ("whole", "degraded", "stalled"))
    lines = [
        f"cluster     {found['cluster'] or '(not made yet)'}, ring version {found['ring_version']}",
        f"members     {found['alive_members']} alive of {found['wished_members']} wished",
        f"partitions  {found['partitions']}: {shares}",
        f"supervisor  {found['leader'] or '(none leads)'}",
    ]
    if found["frozen"]:
        lines.append("ring changes are frozen")
    plan = found["plan"]
    if plan is not None:
        lines.append(
            f"plan        {plan['plan_id']} {plan['state']}: "
            f"{plan['steps_done']} of {plan['steps']} steps, "
            f"{plan['copied_bytes']:,} of {plan['total_bytes']:,} bytes"
        )
        throttle = found["throttle"]
        if throttle is not None and plan["state"] == PLAN_STATES[pb.PLAN_STATE_RUNNING]:
            lines += throttle_lines(throttle)
    return lines + [f"- {sentence}" for sentence in found["sentences"]]
