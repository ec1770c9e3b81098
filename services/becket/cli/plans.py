"""Plans, for a person and for scripts: what a ring change means, and how far it is.

Owns the JSON forms of ``becket plan`` and the calls behind it. Must not plan: the supervisor does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

from becket.api.v1 import supervisor_pb2 as pb
from becket.cli.calling import Services
from becket.cli.exits import UsageError
from becket.cli.members import PLAN_STATES, status
from becket.cli.wishes import wish

STEP_STATES = {
    pb.STEP_STATE_WAITING: "waiting",
    pb.STEP_STATE_COPYING: "copying",
    pb.STEP_STATE_DONE: "done",
    pb.STEP_STATE_ABANDONED: "abandoned",
}
MEGA = 1e6


class StepRow(TypedDict):
    """The change of one partition; members by name."""

    partition: int
    before: list[str]
    after: list[str]
    bytes: int
    state: str
    reason: str


class LoadRow(TypedDict):
    """What a plan means for one member. ``first``: partitions for which it stands first."""

    name: str
    copies_before: int
    copies_after: int
    first_before: int
    first_after: int
    bytes_before: int
    bytes_after: int
    received_bytes: int
    sent_bytes: int


class PlanDocument(TypedDict):
    """A plan. Times in seconds; ``remaining_s`` is null where the plan is not running.

    ``measured``: whether the times rest on rates that were measured, not assumed.
    """

    plan_id: str
    state: str
    reason: str
    ring_version: int
    steps_total: int
    steps_done: int
    total_bytes: int
    copied_bytes: int
    expected_s: float
    remaining_s: float | None
    measured: bool
    loads: list[LoadRow]
    sentences: list[str]
    steps: list[StepRow]


class Change(NamedTuple):
    """What is asked about: so many members more, some emptied, of another weight or zone."""

    add: int = 0
    drain: Sequence[str] = ()
    weights: Mapping[str, int] = {}
    zones: Mapping[str, str] = {}

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is asked about."""
        return not (self.add or self.drain or self.weights or self.zones)


def parsed_weights(options: Sequence[str]) -> dict[str, int]:
    """The weights of options like ``storage-1=50``.

    :raises UsageError: one of them is none.
    """
    found = {}
    for name, text in parsed_pairs(options, "--weight").items():
        try:
            found[name] = int(text)
        except ValueError:
            problem = f"{text!r} is no whole number; 100 is usual, 1 to 10000 is possible"
            raise UsageError(f"--weight {name}: {problem}") from None
    return found


def parsed_pairs(options: Sequence[str], option: str) -> dict[str, str]:
    """Options like ``MEMBER=VALUE``, each member once.

    :raises UsageError: one of them is none.
    """
    found: dict[str, str] = {}
    for each in options:
        name, sign, value = each.partition("=")
        if not (name and sign):
            raise UsageError(f"{option}: {each!r} is not MEMBER=VALUE")
        if name in found:
            raise UsageError(f"{option}: {name} is named twice")
        found[name] = value
    return found


async def make(services: Services, change: Change) -> pb.Plan:
    """Make a plan and change nothing."""
    count = 0
    if change.add:
        count = (await status(services))["wished_members"] + change.add
    request = pb.PlanRebalanceRequest(
        member_count=count,
        leaving=change.drain,
        weights=[pb.MemberWish(name=n, weight=w) for n, w in change.weights.items()],
        zones=[pb.MemberWish(name=n, zone=z) for n, z in change.zones.items()],
    )
    return (await services.ask(services.supervisor.PlanRebalance, request)).plan


async def present(services: Services) -> pb.Plan | None:
    """The plan under way; None where there is none."""
    found = await services.ask(services.supervisor.GetStatus, pb.GetStatusRequest())
    return found.plan if found.HasField("plan") else None


async def present_name(services: Services, plan_id: str) -> str:
    """This name, or that of the plan under way where it is empty.

    :raises UsageError: none is under way.
    """
    if plan_id:
        return plan_id
    plan = await present(services)
    if plan is None:
        raise UsageError("no plan is under way: name one (becket plan list)")
    return plan.plan_id


async def get(services: Services, plan_id: str) -> pb.Plan:
    """The plan of this name."""
    request = pb.GetPlanRequest(plan_id=plan_id)
    return (await services.ask(services.supervisor.GetPlan, request)).plan


async def listed(services: Services) -> list[pb.Plan]:
    """Every plan that is remembered, without steps."""
    answer = await services.ask(services.supervisor.ListPlans, pb.ListPlansRequest())
    return [*answer.plans]


async def apply(services: Services, plan_id: str) -> pb.Plan:
    """Start a plan."""
    request = pb.ApplyPlanRequest(plan_id=plan_id)
    return (await wish(services, services.supervisor.ApplyPlan, request)).plan


async def pause(services: Services, plan_id: str) -> pb.Plan:
    """Begin nothing new of a plan."""
    request = pb.PausePlanRequest(plan_id=await present_name(services, plan_id))
    return (await wish(services, services.supervisor.PausePlan, request)).plan


async def resume(services: Services, plan_id: str) -> pb.Plan:
    """Go on with a plan."""
    request = pb.ResumePlanRequest(plan_id=await present_name(services, plan_id))
    return (await wish(services, services.supervisor.ResumePlan, request)).plan


async def cancel(services: Services, plan_id: str) -> pb.Plan:
    """End a plan, and take back what is half done."""
    request = pb.CancelPlanRequest(plan_id=await present_name(services, plan_id))
    return (await wish(services, services.supervisor.CancelPlan, request)).plan


# What is printed


def document(plan: pb.Plan) -> PlanDocument:
    """The JSON form."""
    done, total = progress(plan)
    is_running = plan.state == pb.PLAN_STATE_RUNNING
    return PlanDocument(
        plan_id=plan.plan_id,
        state=PLAN_STATES.get(plan.state, "unknown"),
        reason=plan.reason,
        ring_version=plan.ring_version,
        steps_total=total,
        steps_done=done,
        total_bytes=plan.total_bytes,
        copied_bytes=plan.copied_bytes,
        expected_s=_seconds(plan.expected_time.ToMilliseconds()),
        remaining_s=_seconds(plan.remaining_time.ToMilliseconds()) if is_running else None,
        measured=plan.measured,
        loads=[
            LoadRow(
                name=load.name,
                copies_before=load.copies_before,
                copies_after=load.copies_after,
                first_before=load.first_before,
                first_after=load.first_after,
                bytes_before=load.bytes_before,
                bytes_after=load.bytes_after,
                received_bytes=load.received_bytes,
                sent_bytes=load.sent_bytes,
            )
            for load in plan.loads
        ],
        sentences=[*plan.sentences],
        steps=[
            StepRow(
                partition=step.partition,
                before=[*step.from_members],
                after=[*step.to_members],
                bytes=step.bytes,
                state=STEP_STATES.get(step.state, "unknown"),
                reason=step.reason,
            )
            for step in plan.steps
        ],
    )


def _seconds(milliseconds: int) -> float:
    return milliseconds / 1000


def progress(plan: pb.Plan) -> tuple[int, int]:
    """How many steps are done, of how many."""
    done = plan.done_count or sum(step.state == pb.STEP_STATE_DONE for step in plan.steps)
    total = plan.step_count or len(plan.steps)
    return plan.earlier_steps + done, plan.earlier_steps + total


def shown_seconds(seconds: float) -> str:
    """A length of time for a person."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def progress_line(plan: pb.Plan) -> str:
    """How far it is, in one line."""
    done, total = progress(plan)
    state = PLAN_STATES.get(plan.state, "unknown")
    line = (
        f"plan {plan.plan_id} {state}: {done} of {total} steps,"
        f" {plan.copied_bytes / MEGA:.1f} of {plan.total_bytes / MEGA:.1f} MB"
    )
    if plan.state == pb.PLAN_STATE_RUNNING:
        line += f", about {shown_seconds(_seconds(plan.remaining_time.ToMilliseconds()))} left"
    return line


def lines(plan: pb.Plan) -> list[str]:
    """The plan for a person, but for its tables."""
    state = PLAN_STATES.get(plan.state, "unknown")
    reason = f": {plan.reason}" if plan.reason else ""
    found = [f"plan {plan.plan_id} ({state}) for ring version {plan.ring_version}{reason}"]
    found += [f"- {sentence}" for sentence in plan.sentences]
    done, total = progress(plan)
    if not total:
        return [*found, "nothing has to move"]
    copies = sum(len({*step.to_members} - {*step.from_members}) for step in plan.steps)
    seconds = shown_seconds(_seconds(plan.expected_time.ToMilliseconds()))
    basis = "by rates that were measured" if plan.measured else "assumed: not measured yet"
    found.append(
        f"{total} partitions change, {done} have; {copies} copies are made,"
        f" {plan.total_bytes / MEGA:.1f} MB; expected time {seconds} ({basis})"
    )
    if plan.state in (pb.PLAN_STATE_RUNNING, pb.PLAN_STATE_PAUSED):
        found.append(progress_line(plan))
    return found


LOAD_COLUMNS = (
    *("MEMBER", "COPIES", "THEN", "FIRST", "THEN", "MB", "THEN"),
    *("RECEIVES MB", "SENDS MB"),
)


def load_rows(plan: pb.Plan) -> list[tuple[object, ...]]:
    """The load on each member, before, after and meanwhile."""
    return [
        (
            load.name,
            *(load.copies_before, load.copies_after, load.first_before, load.first_after),
            *(load.bytes_before / MEGA, load.bytes_after / MEGA),
            *(load.received_bytes / MEGA, load.sent_bytes / MEGA),
        )
        for load in plan.loads
    ]


REASON_COLUMNS = ("WHY", "PARTITIONS", "DONE", "MB")


def reason_rows(plan: pb.Plan) -> list[tuple[object, ...]]:
    """How many partitions change for which reason, the most urgent first."""
    count, done, size = Counter[str](), Counter[str](), Counter[str]()
    for step in plan.steps:
        count[step.reason] += 1
        done[step.reason] += step.state == pb.STEP_STATE_DONE
        size[step.reason] += step.bytes
    return [(why, count[why], done[why], size[why] / MEGA) for why in count]


STEP_COLUMNS = ("PARTITION", "FROM", "TO", "MB", "STATE")


def step_rows(plan: pb.Plan) -> list[tuple[object, ...]]:
    """Every step."""
    return [
        (
            step.partition,
            " ".join(step.from_members),
            " ".join(step.to_members),
            step.bytes / MEGA,
            STEP_STATES.get(step.state, "unknown"),
        )
        for step in plan.steps
    ]
