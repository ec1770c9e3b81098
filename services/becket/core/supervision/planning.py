"""Which plan is under way, and what it begins next.

Owns the plan that the present members call for, the pauses and ends that people ask for, and the
plans that were proposed or are over (the last ones of each). Must not be the truth: whoever starts
anew makes the rest of the plan from the ring, where a change under way counts as done. What people
asked of a plan (a pause, a cancel) is in ``note``, beside its name; a process that is given it goes
on by it, under the same name.

A plan is made when the members change. It runs until it is done; one that was cancelled is not made
again before the members change once more. A pause passes on to the plan that follows, unless that
one makes copies anew that are missing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import mmh3

from becket.core.errors import GiveUpError, InvalidRingError, NotFoundError, StalePlanError
from becket.core.placement.planner import place
from becket.core.placement.result import Constraints
from becket.core.plans.note import NO_NOTE, Note, mark_of, read_note
from becket.core.plans.plan import Plan, PlanState, Step, plan_for
from becket.core.plans.progress import (
    FULL_PACE,
    URGENT,
    Pace,
    PlanLimits,
    Standing,
    abandon_lost,
    advance,
    standing,
)
from becket.core.plans.wishes import Abandon, Certificate, Wish, apply_wishes
from becket.core.ring.config import Disk
from becket.core.ring.members import Member
from becket.core.ring.ring import Ring
from becket.core.supervision.saying import Said, Topic

REMEMBERED = 32
"""So many plans that are proposed, and so many that are over, can still be asked for."""

_Key = tuple[tuple[Member, ...], int]


class Freeze(Enum):
    """How much of a plan has to wait."""

    NONE = "none"
    MOVES = "moves"
    """Only copies that are missing are made."""
    ALL = "all"
    """Nothing begins."""


@dataclass(frozen=True)
class Proposal:
    """A plan that nobody has started. What else starting it takes: who changes, a new count.

    ``changed`` are members as they are to be: draining, or of another weight. ``joining`` are
    members that do not exist yet: such a plan shows what would be moved. ``only_shown`` says why it
    cannot be started.
    """

    plan: Plan
    changed: tuple[Member, ...] = ()
    member_count: int = 0
    joining: tuple[str, ...] = ()
    only_shown: str = ""


@dataclass(frozen=True)
class Ended:
    """A plan that is over. ``is_done``: to its end."""

    plan: Plan
    is_done: bool
    steps: Mapping[int, Standing]


@dataclass(frozen=True)
class Progress:
    """What to wish for next, and why."""

    wishes: tuple[Wish, ...]
    said: tuple[Said, ...]


class Planning:
    """The plans of one supervisor."""

    def __init__(self, limits: PlanLimits, *, zones: bool = True, nodes: bool = True) -> None:
        self.current: Plan | None = None
        self.proposals: OrderedDict[str, Proposal] = OrderedDict()
        self.ended: OrderedDict[str, Ended] = OrderedDict()
        self._limits = limits
        self._zones, self._nodes = zones, nodes
        self._key: _Key | None = None
        self._problem = ""
        self._cancelled = ""
        """For which members no plan is made, because it was cancelled."""
        self._noted = NO_NOTE
        """What another process was at: the first plan goes on by it."""
        self.is_asked = False
        """Whether a person started the present plan."""
        self.ends = (0, 0)
        """How many plans came to their end here, and how many were ended before."""
        self._undoes = False
        """Whether what a cancelled plan of another process had begun is yet to be given up."""

    @property
    def note(self) -> str:
        """The present plan and what a person asked of it, in a few words; empty: nothing."""
        current = self.current
        if self._cancelled and (self._key is None or self._cancelled == mark_of(*self._key)):
            return Note(PlanState.CANCELLED, self._cancelled).text
        if self._key is None:
            return self._noted.text
        if current is None or current.state is PlanState.CANCELLED:
            return ""
        steps = current.earlier_steps + len(current.steps)
        return Note(current.state, mark_of(*self._key), current.id, steps).text

    def take_note(self, text: str) -> None:
        """Go on by the note of another process; what is no note is ignored."""
        note = self._noted = read_note(text)
        if note.state is PlanState.CANCELLED and note.mark:
            self._cancelled, self._undoes = note.mark, True

    # Rounds

    def step(
        self,
        ring: Ring,
        certificates: Sequence[Certificate],
        *,
        freeze: Freeze,
        pace: Pace = FULL_PACE,
    ) -> Progress:
        """What the ring needs next: what is lost is given up, what is certified is finished."""
        lost = abandon_lost(ring)
        if lost:
            sentence = f"{len(lost)} changes are given up: a member that they lead to is lost"
            return Progress(lost, (Said(Topic.PLAN, sentence),))
        vain = _abandon_vain(ring)
        if vain:
            sentence = f"{len(vain)} changes are given up: they lead to a member that is to go"
            return Progress(vain, (Said(Topic.PLAN, sentence),))
        said: list[Said] = []
        if (ring.members, ring.replicas) != self._key:
            said += self._make(ring)
        if self._undoes:
            self._undoes = False
            is_same = self._key is not None and self._cancelled == mark_of(*self._key)
            begun = ring.joint_partitions if is_same else ()
            given_up = tuple(Abandon(p, ring.configs[p].gen) for p in begun)
            sentence = f"{len(begun)} changes are given up: their plan was cancelled"
            return Progress(given_up, (Said(Topic.PLAN, sentence),) if begun else ())
        if self._problem:
            said.append(Said(Topic.PLAN, self._problem))
        plan = self.current
        if plan is None:
            return Progress(apply_wishes(ring, certificates).applied, tuple(said))
        shown = _frozen(plan, freeze)
        if self.is_asked:
            pace = replace(pace, is_resting=False)  # A person does not wait for our manners.
        try:
            found = advance(ring, shown, self._limits, certificates, pace)
        except StalePlanError as error:
            self._end(ring, plan, is_done=False)
            self._key = None  # What is left to do is planned anew at the next round.
            said.append(Said(Topic.PLAN, f"plan {plan.id} does not fit any more: {error}"))
            return Progress(apply_wishes(ring, certificates).applied, tuple(said))
        is_done = found.done and len(shown.steps) == len(plan.steps)
        if is_done:
            self._end(ring, plan, is_done=plan.state is not PlanState.CANCELLED)
        key = "" if is_done else f"plan {plan.id} {shown.state.value}"
        # Of a plan that is frozen as a whole there is nothing to say: the freeze is told.
        if shown.steps and (not found.done or is_done):
            said.append(Said(Topic.PLAN, found.sentence, key=key))
        return Progress(found.wishes, tuple(said))

    def is_filled(self, ring: Ring, disk: Disk) -> bool:
        """Whether no plan for the members of this ring is to give this one another copy."""
        if (ring.members, ring.replicas) != self._key:
            return False
        plan = self.current
        if plan is None or plan.state is PlanState.CANCELLED:
            return True
        where = standings(ring, plan)
        return not any(
            disk in step.newcomers and where.get(number) is not Standing.DONE
            for number, step in enumerate(plan.steps)
        )

    def _make(self, ring: Ring) -> list[Said]:
        """The plan for these members, in place of the one under way."""
        self._key, self._problem = (ring.members, ring.replicas), ""
        before = self.current
        if before is not None:
            self._end(ring, before, is_done=False)
        if self._cancelled == mark_of(*self._key):
            return []
        self._cancelled = ""
        noted, self._noted = self._noted, NO_NOTE
        was_paused = PlanState.PAUSED in (noted.state, None if before is None else before.state)
        self.is_asked = False
        try:
            plan = self.plan_to(ring, ring.members, "the members have changed")
        except InvalidRingError as error:
            self._problem = f"no plan is possible: {error.problem}"
            return []
        if not plan.steps:
            return []
        if noted.plan_id and noted.mark == mark_of(*self._key):
            # The rest of a plan that another process was at keeps its name.
            done = max(0, noted.steps - len(plan.steps))
            plan = replace(plan, id=noted.plan_id, earlier_steps=done)
        urgent = any(step.cause in URGENT for step in plan.steps)
        if was_paused and not urgent:
            plan = plan.paused()
        self.current = plan
        head = f"plan {plan.id} is made: {len(plan.steps)} partitions change"
        return [Said(Topic.PLAN, sentence) for sentence in (head, *plan.sentences)]

    def plan_to(self, ring: Ring, members: Sequence[Member], reason: str) -> Plan:
        """The plan that leads from the ring to where copies belong with these members.

        :raises InvalidRingError: they cannot carry the replica count.
        """
        constraints = Constraints(ring.replicas, zones=self._zones, nodes=self._nodes)
        plan = plan_for(ring, place(ring, members, constraints), id="", reason=reason)
        return replace(plan, id=plan_name(plan))

    def _end(self, ring: Ring, plan: Plan, *, is_done: bool) -> None:
        self.current = None
        done, undone = self.ends
        self.ends = (done + is_done, undone + (not is_done))
        steps = standings(ring, plan)
        self.ended[plan.id] = Ended(plan, is_done, steps)
        self.ended.move_to_end(plan.id)
        while len(self.ended) > REMEMBERED:
            self.ended.popitem(last=False)

    # What people ask for

    def propose(self, proposal: Proposal) -> Proposal:
        """Remember a plan that may be started."""
        self.proposals[proposal.plan.id] = proposal
        self.proposals.move_to_end(proposal.plan.id)
        while len(self.proposals) > REMEMBERED:
            self.proposals.popitem(last=False)
        return proposal

    def proposal_to_start(self, ring: Ring, plan_id: str) -> Proposal | None:
        """The proposal of this name; None where it is under way or done already.

        :raises NotFoundError: there is no such plan.
        :raises StalePlanError: the ring has changed since it was made.
        :raises GiveUpError: another plan is under way, or this one can only be shown.
        """
        proposal = self.proposals.get(plan_id)
        if proposal is None:
            self._check_known(plan_id)
            ended = self.ended.get(plan_id)
            if ended is not None and not ended.is_done:
                raise StalePlanError("plan_id", f"{plan_id} was ended; make a new one")
            return None
        # First of all: while another plan is under way a new one would be refused, too.
        self._check_free(ring)
        if ring.version != proposal.plan.ring_version or ring.cluster != proposal.plan.cluster:
            was = proposal.plan.ring_version
            problem = f"the plan was made for ring {was}, the ring has {ring.version}"
            raise StalePlanError("ring_version", f"{problem}; make a new plan and apply that one")
        if proposal.only_shown:
            raise GiveUpError(f"plan {plan_id} can only be shown: {proposal.only_shown}")
        return proposal

    def _check_free(self, ring: Ring) -> None:
        """One plan at a time: two would each move what the other has placed."""
        plan = self.current
        if plan is None:
            return
        where = standings(ring, plan)
        done = sum(standing is Standing.DONE for standing in where.values())
        if done < len(plan.steps):
            raise GiveUpError(
                f"plan {plan.id} is {plan.state.value}, {done} of {len(plan.steps)} steps are done:"
                f" wait for its end, or end it by `becket plan cancel {plan.id}`; then plan anew"
            )

    def start(self, ring: Ring, proposal: Proposal) -> Plan:
        """Let a proposal be the plan under way; its members must be those of the ring by now.

        :raises GiveUpError: a plan that somebody else has started is under way.
        """
        self.proposals.pop(proposal.plan.id, None)
        before = self.current
        if before is not None and before.id != proposal.plan.id:
            if self.is_asked:
                self._check_free(ring)  # Somebody else was faster.
            self._end(ring, before, is_done=False)
        self.is_asked = True
        self._key, self._problem = (ring.members, ring.replicas), ""
        self._cancelled = ""
        self.current = proposal.plan
        return proposal.plan

    def pause(self, plan_id: str) -> Plan:
        """Begin nothing new; raises NotFoundError, GiveUpError."""
        return self._change(plan_id, PlanState.PAUSED)

    def resume(self, plan_id: str) -> Plan:
        """Go on; raises NotFoundError, GiveUpError."""
        return self._change(plan_id, PlanState.RUNNING)

    def cancel(self, plan_id: str) -> Plan:
        """Give up what has begun, begin nothing; raises NotFoundError. Done stays done."""
        proposal = self.proposals.pop(plan_id, None)
        if proposal is not None:
            ended = Ended(proposal.plan.cancelled(), is_done=False, steps={})
            self.ended[plan_id] = ended
            return ended.plan
        found = self.ended.get(plan_id)
        if found is not None and (self.current is None or self.current.id != plan_id):
            return found.plan
        plan = self._change(plan_id, PlanState.CANCELLED)
        self._cancelled = "" if self._key is None else mark_of(*self._key)
        return plan

    def _change(self, plan_id: str, state: PlanState) -> Plan:
        self._check_known(plan_id)
        plan = self.current
        if plan is None or plan.id != plan_id:
            raise GiveUpError(f"plan {plan_id} is not under way")
        if plan.state is PlanState.CANCELLED and state is not PlanState.CANCELLED:
            raise GiveUpError(f"plan {plan_id} is cancelled")
        self.current = replace(plan, state=state)
        return self.current

    def _check_known(self, plan_id: str) -> None:
        is_current = self.current is not None and self.current.id == plan_id
        if not (is_current or plan_id in self.proposals or plan_id in self.ended):
            raise NotFoundError(f"there is no plan {plan_id!r}")


def _frozen(plan: Plan, freeze: Freeze) -> Plan:
    """What of the plan may go on."""
    if freeze is Freeze.NONE or plan.state is not PlanState.RUNNING:
        return plan
    if freeze is Freeze.MOVES:
        return replace(plan, steps=tuple(s for s in plan.steps if s.cause in URGENT))
    return plan.paused()


def _abandon_vain(ring: Ring) -> tuple[Wish, ...]:
    """Give up changes towards a member that is to be emptied, and may have stopped already."""
    found = []
    for partition in ring.joint_partitions:
        config = ring.configs[partition]
        if not all(ring.member(disk).may_hold for disk in config.newcomers):
            found.append(Abandon(partition, config.gen))
    return tuple(found)


def plan_name(plan: Plan) -> str:
    """The same change of the same ring has the same name, in every process."""
    content = f"{plan.cluster} {plan.ring_version} {[_change_of(step) for step in plan.steps]}"
    digest = mmh3.hash64(content.encode(), seed=17, x64arch=True, signed=False)[0]
    return f"plan-{plan.ring_version}-{digest >> 40:06x}"


def _change_of(step: Step) -> tuple[int, tuple[Disk, ...], tuple[Disk, ...]]:
    return step.partition, step.present, step.wished


def standings(ring: Ring, plan: Plan) -> dict[int, Standing]:
    """Where each step stands, by its number; steps that do not fit the ring are left out."""
    found = {}
    for number, step in enumerate(plan.steps):
        try:
            found[number] = standing(ring, number, step)
        except StalePlanError:
            continue
    return found
