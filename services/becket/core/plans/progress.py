"""Carrying a plan out: from the ring just observed to the next wishes.

Owns the decision what may begin, what is to be given up, and when a plan is done. Must not remember
anything: the ring is the truth, and the same ring and plan give the same answer in any process, so
a plan may be interrupted after every step and taken over by another supervisor.

A step stands, as the ring shows it, at one of:

* **done**: FINAL with the wished replicas;
* **under way**: JOINT towards the wished replicas;
* **open**: FINAL with the replicas that were there when the plan was made, in whatever order (a
  coordinator may have moved for load meanwhile), or with some on the way from there (``path``: one
  newcomer at a time);
* **behind another change**: JOINT towards replicas that the plan starts from, in whatever order; it
  waits;
* anything else: the plan is for another ring, and nothing changes (StalePlanError).

A change whose newcomer is lost is abandoned (PROTOCOL R20), whoever began it.

Steps begin in the order of the plan, which is that of their causes: what restores a majority or a
copy goes first, and moves begin only when none of that is left to begin. Each of the two kinds has
a pace of its own, under the limits of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from becket.core.errors import InvalidInputError, StalePlanError
from becket.core.placement.result import Cause
from becket.core.plans.path import next_replicas, path
from becket.core.plans.plan import Plan, PlanState, Step
from becket.core.plans.wishes import Abandon, Begin, Certificate, Wish, apply_wishes
from becket.core.ring.config import Config, Disk
from becket.core.ring.members import MemberState
from becket.core.ring.ring import Ring


@dataclass(frozen=True)
class PlanLimits:
    """How much may be under way at once, all plans together."""

    partitions: int = 64
    """Partitions with a change under way."""
    copies_per_member: int = 8
    """Copies being made on one member."""

    def __post_init__(self) -> None:
        for field, value in (
            ("partitions", self.partitions),
            ("copies_per_member", self.copies_per_member),
        ):
            if value < 1:
                raise InvalidInputError(field, f"{value} is below 1: nothing could ever begin")


URGENT = (Cause.QUORUM, Cause.COPIES)
"""Why a step restores what is missing."""

LOAD = (Cause.ZONES, Cause.BALANCE, Cause.COORDINATORS)
"""Why a step may wait: nothing is missing, and nobody is to leave."""


@dataclass(frozen=True)
class Pace:
    """How many partitions may be under way now: to make copies that are missing, and to move some.

    Of those that move, ``begins`` may begin at this moment. What restores a majority waits for none
    of these. While plans rest (``is_resting``) nothing begins that only balances.
    """

    restoring: int
    moving: int
    begins: int = 1 << 30
    is_resting: bool = False


FULL_PACE = Pace(1 << 30, 1 << 30)
"""Only the limits hold."""


class Standing(Enum):
    """Where a step stands; see the head of this file."""

    DONE = "done"
    UNDER_WAY = "under way"
    OPEN = "open"
    WAITING = "behind another change"


@dataclass(frozen=True)
class Advance:
    """What to do next. ``ring`` is what the wishes make of the observed ring (same version)."""

    ring: Ring
    wishes: tuple[Wish, ...]
    done: bool
    sentence: str


def advance(
    ring: Ring,
    plan: Plan,
    limits: PlanLimits,
    certificates: Sequence[Certificate] = (),
    pace: Pace = FULL_PACE,
) -> Advance:
    """The next wishes of a plan: certificates first, then what is given up, then what begins.

    :raises StalePlanError: the plan does not fit the ring: another cluster, an older ring than it
        was made for, or a step that starts from other replicas or leads to a member that may hold
        none. ``field`` names it; nothing changes.
    """
    lost = abandon_lost(ring)
    if lost:
        outcome = apply_wishes(ring, lost)
        sentence = f"{len(lost)} changes are given up because a member they lead to is lost"
        return Advance(outcome.ring or ring, lost, done=False, sentence=sentence)
    _check_same_ring(ring, plan)
    finished = apply_wishes(ring, certificates)
    after = finished.ring or ring
    standings = [(i, step, standing(after, i, step)) for i, step in enumerate(plan.steps)]
    wishes: list[Wish] = list(finished.applied)
    if plan.state is PlanState.CANCELLED:
        begun = [step for _, step, where in standings if where is Standing.UNDER_WAY]
        wishes += [Abandon(step.partition, after.configs[step.partition].gen) for step in begun]
        after = apply_wishes(ring, wishes).ring or ring
        sentence = f"plan {plan.id} is cancelled: {len(begun)} changes are given up"
        return Advance(after, tuple(wishes), done=not wishes, sentence=sentence)
    if plan.state is PlanState.RUNNING:
        wishes += _to_begin(after, standings, limits, pace)
        after = apply_wishes(ring, wishes).ring or ring
    counts = Counter(where for _, _, where in standings)
    # A certificate that is not yet applied to the object finishes nothing.
    done = counts[Standing.DONE] == len(plan.steps) and not wishes
    return Advance(after, tuple(wishes), done, _sentence(plan, counts, wishes))


def abandon_lost(ring: Ring) -> tuple[Wish, ...]:
    """Give up every change that leads to a member that is gone (PROTOCOL R20)."""
    found = []
    for partition in ring.joint_partitions:
        config = ring.configs[partition]
        if any(ring.member(disk).state is MemberState.GONE for disk in config.newcomers):
            found.append(Abandon(partition, config.gen))
    return tuple(found)


def standing(ring: Ring, index: int, step: Step) -> Standing:
    """Where a step stands in this ring.

    :raises StalePlanError: nowhere that the plan knows.
    """
    field = f"steps[{index}]"
    if not 0 <= step.partition < ring.partitions:
        raise StalePlanError(f"{field}.partition", f"{step.partition} is not in this ring")
    config = ring.configs[step.partition]
    if config.target == step.wished:
        return Standing.UNDER_WAY if config.is_joint else Standing.DONE
    is_start = sorted(config.target) == sorted(step.present)
    if not is_start and config.target not in path(ring, step):
        problem = f"partition {step.partition} now has {_named(ring, config)}"
        raise StalePlanError(f"{field}.present", problem)
    for disk in step.wished:
        if disk not in ring.by_disk or not ring.by_disk[disk].may_hold:
            raise StalePlanError(f"{field}.wished", f"{ring.name_of(disk)} may hold no copies")
    if not config.is_joint:
        return Standing.OPEN
    return Standing.WAITING if is_start else Standing.UNDER_WAY


def _check_same_ring(ring: Ring, plan: Plan) -> None:
    if ring.cluster != plan.cluster:
        raise StalePlanError("cluster", f"the plan is for {plan.cluster}, not {ring.cluster}")
    if ring.version < plan.ring_version:
        problem = f"the plan is for version {plan.ring_version}, the ring has {ring.version}"
        raise StalePlanError("ring_version", problem)


def _to_begin(
    ring: Ring, standings: Sequence[tuple[int, Step, Standing]], limits: PlanLimits, pace: Pace
) -> list[Begin]:
    """The open steps that the limits and the pace leave room for, in the order of the plan."""
    arriving: Counter[Disk] = Counter()
    for partition in ring.joint_partitions:
        arriving.update(ring.configs[partition].newcomers)
    restoring = sum(
        step.cause in URGENT for _, step, where in standings if where is Standing.UNDER_WAY
    )
    moving = len(ring.joint_partitions) - restoring
    begun: list[Begin] = []
    begins, urgent_left = 0, False
    for _, step, where in standings:
        if where is not Standing.OPEN:
            continue
        is_urgent = step.cause in URGENT
        is_late = moving >= pace.moving or begins >= pace.begins
        is_held_up = not is_urgent and (urgent_left or is_late)
        is_held_up |= pace.is_resting and step.cause in LOAD
        if is_held_up or restoring + moving >= limits.partitions:
            break
        config = ring.configs[step.partition]
        replicas = next_replicas(ring, step, config.old)
        come = [disk for disk in replicas if disk not in config.old]
        is_full = any(arriving[disk] >= limits.copies_per_member for disk in come)
        if is_full or (step.cause is Cause.COPIES and restoring >= pace.restoring):
            urgent_left |= is_urgent
            continue
        begun.append(Begin(step.partition, config.gen, replicas))
        arriving.update(come)
        restoring, moving = restoring + is_urgent, moving + (not is_urgent)
        begins += not is_urgent
    return begun


def _sentence(plan: Plan, counts: Counter[Standing], wishes: Sequence[Wish]) -> str:
    total, done = len(plan.steps), counts[Standing.DONE]
    if done == total and not wishes:
        return f"plan {plan.id} is done: {total} partitions changed"
    begin = sum(isinstance(wish, Begin) for wish in wishes)
    state = "" if plan.state is PlanState.RUNNING else f" ({plan.state.value})"
    return (
        f"plan {plan.id}{state}: {done} of {total} partitions are done,"
        f" {counts[Standing.UNDER_WAY] + begin} under way, {begin} of them begin now"
    )


def _named(ring: Ring, config: Config) -> str:
    return ", ".join(ring.name_of(disk) for disk in config.target)
