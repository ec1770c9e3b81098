"""Which plan is under way: made by the members, changed by people."""

from __future__ import annotations

from dataclasses import replace

import pytest

from becket.core.errors import GiveUpError, NotFoundError, StalePlanError
from becket.core.plans.plan import Plan, PlanState
from becket.core.plans.progress import PlanLimits
from becket.core.plans.wishes import Abandon, Begin, Certificate, Wish, apply_wishes
from becket.core.ring.members import Member, MemberState
from becket.core.ring.ring import Ring
from becket.core.supervision.planning import REMEMBERED, Freeze, Planning, Proposal
from tests.unit.core.supervision.scenes import RING

JOINED = RING.with_members([*RING.members, Member("disk-5", "m-5", "z0", "node-5")])


def written(ring: Ring, wishes: tuple[Wish, ...]) -> Ring:
    outcome = apply_wishes(ring, wishes)
    assert outcome.ring is not None
    assert not outcome.discarded
    return outcome.ring.succeeding(ring)


def certificates(ring: Ring) -> list[Certificate]:
    return [Certificate(p, ring.configs[p].gen, (1, "d", 1), "d") for p in ring.joint_partitions]


def run(planning: Planning, ring: Ring, rounds: int = 50) -> Ring:
    """Carry out what is wished for until nothing is."""
    for _ in range(rounds):
        progress = planning.step(ring, certificates(ring), freeze=Freeze.NONE)
        if not progress.wishes:
            return ring
        ring = written(ring, progress.wishes)
    raise AssertionError("it does not end")


def balanced(limits: PlanLimits | None = None) -> tuple[Planning, Ring]:
    planning = Planning(limits or PlanLimits())
    return planning, run(planning, RING)


def test_a_balanced_ring_calls_for_nothing_again_and_again() -> None:
    planning, ring = balanced()
    assert run(planning, ring) == ring
    assert run(Planning(PlanLimits()), ring) == ring
    assert planning.current is None


def test_a_join_is_planned_carried_out_and_ended() -> None:
    planning, _ = balanced()
    progress = planning.step(JOINED, [], freeze=Freeze.NONE)
    plan = planning.current
    assert plan is not None
    assert any(isinstance(wish, Begin) for wish in progress.wishes)
    assert progress.said[0].sentence.startswith(f"plan {plan.id} is made")
    ring = run(planning, JOINED)
    counts = {disk: len(held) for disk, held in ring.partitions_by_disk.items()}
    assert set(counts.values()) == {8}
    assert planning.current is None
    assert planning.ended[plan.id].is_done


def test_another_process_makes_the_rest_of_the_plan_from_the_ring() -> None:
    few = PlanLimits(partitions=2, copies_per_member=2)
    planning = Planning(few)
    ring = JOINED
    for _ in range(3):
        ring = written(ring, planning.step(ring, certificates(ring), freeze=Freeze.NONE).wishes)
    assert ring.joint_partitions
    ring = run(Planning(few), ring)
    assert {len(held) for held in ring.partitions_by_disk.values()} == {8}


def test_the_same_change_of_the_same_ring_has_the_same_name() -> None:
    names = {Planning(PlanLimits()).plan_to(JOINED, JOINED.members, "x").id for _ in range(2)}
    assert len(names) == 1
    later = replace(JOINED, version=9)
    assert Planning(PlanLimits()).plan_to(later, later.members, "x").id not in names


def test_while_frozen_nothing_begins_but_what_is_certified_ends() -> None:
    planning = Planning(PlanLimits(partitions=2, copies_per_member=2))
    ring = written(JOINED, planning.step(JOINED, [], freeze=Freeze.NONE).wishes)
    progress = planning.step(ring, certificates(ring), freeze=Freeze.ALL)
    assert all(isinstance(wish, Certificate) for wish in progress.wishes)
    ring = written(ring, progress.wishes)
    assert planning.step(ring, [], freeze=Freeze.ALL).wishes == ()
    assert planning.step(ring, [], freeze=Freeze.NONE).wishes


def test_a_plan_of_which_nothing_may_go_on_is_not_told_as_one_of_no_steps() -> None:
    planning = Planning(PlanLimits(partitions=2, copies_per_member=2))
    ring = written(JOINED, planning.step(JOINED, [], freeze=Freeze.NONE).wishes)
    progress = planning.step(ring, certificates(ring), freeze=Freeze.MOVES)
    assert len(progress.wishes) == 2, "what is certified ends"
    assert progress.said == ()


def test_changes_to_a_lost_member_are_given_up_before_anything_else() -> None:
    planning = Planning(PlanLimits())
    ring = written(JOINED, planning.step(JOINED, [], freeze=Freeze.NONE).wishes)
    table = [replace(m, state=MemberState.GONE) if m.name == "m-5" else m for m in ring.members]
    ring = ring.with_members(table)
    lost = [p for p in ring.joint_partitions if "disk-5" in ring.configs[p].newcomers]
    wishes = planning.step(ring, certificates(ring), freeze=Freeze.NONE).wishes
    assert wishes == tuple(Abandon(p, ring.configs[p].gen) for p in lost)


def test_changes_to_a_member_that_is_to_go_are_given_up() -> None:
    planning = Planning(PlanLimits())
    ring = written(JOINED, planning.step(JOINED, [], freeze=Freeze.NONE).wishes)
    table = [replace(m, state=MemberState.DRAINING) if m.name == "m-5" else m for m in ring.members]
    ring = ring.with_members(table)
    vain = [p for p in ring.joint_partitions if "disk-5" in ring.configs[p].newcomers]
    progress = planning.step(ring, [], freeze=Freeze.NONE)
    assert progress.wishes == tuple(Abandon(p, ring.configs[p].gen) for p in vain)
    assert "a member that is to go" in progress.said[0].sentence
    ring = run(planning, ring)
    assert not ring.partitions_by_disk["disk-5"]


def test_members_that_cannot_carry_the_copies_are_told_every_round() -> None:
    table = [replace(m, state=MemberState.GONE) for m in RING.members[:3]]
    ring = RING.with_members([*table, *RING.members[3:]])
    planning = Planning(PlanLimits())
    for _ in range(2):
        progress = planning.step(ring, [], freeze=Freeze.NONE)
        assert progress.wishes == ()
        assert "no plan is possible" in progress.said[-1].sentence


def test_a_plan_that_does_not_fit_any_more_is_made_anew() -> None:
    planning = Planning(PlanLimits(partitions=2, copies_per_member=2))
    ring = written(JOINED, planning.step(JOINED, [], freeze=Freeze.NONE).wishes)
    plan = planning.current
    assert plan is not None
    step = plan.steps[-1]
    elsewhere = ring.configs[step.partition].begin(step.wished[::-1]).finish()
    moved = ring.with_configs({step.partition: elsewhere}).succeeding(ring)
    progress = planning.step(moved, [], freeze=Freeze.NONE)
    assert "does not fit any more" in progress.said[-1].sentence
    assert planning.current is None
    ring = run(planning, moved)
    assert {len(held) for held in ring.partitions_by_disk.values()} == {8}


# What people ask for


def started() -> tuple[Planning, Ring, Plan]:
    planning = Planning(PlanLimits(partitions=2, copies_per_member=2))
    ring = written(JOINED, planning.step(JOINED, [], freeze=Freeze.NONE).wishes)
    assert planning.current is not None
    return planning, ring, planning.current


def test_a_paused_plan_ends_what_it_began_and_goes_on_when_told() -> None:
    planning, ring, plan = started()
    assert planning.pause(plan.id).state is PlanState.PAUSED
    ring = run(planning, ring)
    assert not ring.joint_partitions
    assert planning.current is not None
    planning.resume(plan.id)
    ring = run(planning, ring)
    assert planning.ended[plan.id].is_done


def test_a_pause_passes_on_unless_copies_are_missing() -> None:
    planning, ring, plan = started()
    planning.pause(plan.id)

    def state() -> PlanState | None:
        return None if planning.current is None else planning.current.state

    heavier = [replace(m, weight=50) if m.name == "m-1" else m for m in ring.members]
    planning.step(ring.with_members(heavier), [], freeze=Freeze.NONE)
    assert plan.id in planning.ended
    assert state() is PlanState.PAUSED
    gone = [replace(m, state=MemberState.GONE) if m.name == "m-1" else m for m in ring.members]
    planning.step(ring.with_members(gone), [], freeze=Freeze.NONE)
    assert state() is PlanState.RUNNING


def test_a_cancelled_plan_gives_up_and_does_not_come_back_by_itself() -> None:
    planning, ring, plan = started()
    planning.cancel(plan.id)
    with pytest.raises(GiveUpError, match="is cancelled"):
        planning.resume(plan.id)
    progress = planning.step(ring, [], freeze=Freeze.NONE)
    assert all(isinstance(wish, Abandon) for wish in progress.wishes)
    ring = written(ring, progress.wishes)
    assert run(planning, ring) == ring
    assert planning.current is None
    assert not planning.ended[plan.id].is_done
    assert planning.cancel(plan.id).state is PlanState.CANCELLED
    with pytest.raises(StalePlanError, match="was ended"):
        planning.proposal_to_start(ring, plan.id)


def test_plans_that_nobody_knows() -> None:
    planning, ring = balanced()
    for ask in (planning.pause, planning.resume, planning.cancel):
        with pytest.raises(NotFoundError):
            ask("plan-x")
    with pytest.raises(NotFoundError):
        planning.proposal_to_start(ring, "plan-x")


def test_a_proposal_is_for_one_ring_and_is_forgotten_in_time() -> None:
    planning, ring = balanced()
    fewer = [replace(m, state=MemberState.DRAINING) if m.name == "m-4" else m for m in ring.members]
    proposal = planning.propose(Proposal(planning.plan_to(ring, fewer, "x"), (fewer[4],)))
    plan_id = proposal.plan.id
    assert planning.proposal_to_start(ring, plan_id) is proposal
    with pytest.raises(StalePlanError, match="ring_version"):
        planning.proposal_to_start(ring.succeeding(ring), plan_id)
    with pytest.raises(GiveUpError, match="not under way"):
        planning.pause(plan_id)
    for number in range(REMEMBERED):
        planning.propose(Proposal(replace(proposal.plan, id=f"other-{number}")))
    with pytest.raises(NotFoundError):
        planning.proposal_to_start(ring, plan_id)


def test_a_proposal_that_is_started_is_the_plan_under_way() -> None:
    planning, ring = balanced()
    fewer = [replace(m, state=MemberState.DRAINING) if m.name == "m-4" else m for m in ring.members]
    proposal = planning.propose(Proposal(planning.plan_to(ring, fewer, "x"), (fewer[4],)))
    draining = ring.with_members(fewer).succeeding(ring)
    planning.start(draining, proposal)
    ring = run(planning, draining)
    assert planning.ended[proposal.plan.id].is_done
    assert not ring.partitions_by_disk["disk-4"]
    assert planning.proposal_to_start(ring, proposal.plan.id) is None


def test_a_proposal_may_be_taken_back() -> None:
    planning, ring = balanced()
    proposal = planning.propose(Proposal(planning.plan_to(ring, ring.members, "x")))
    assert planning.cancel(proposal.plan.id).state is PlanState.CANCELLED
    assert planning.current is None


LOST = RING.with_members(
    [replace(m, state=MemberState.GONE) if m.name == "m-4" else m for m in RING.members]
    + [Member(f"disk-{i}", f"m-{i}", "z0", f"node-{i}") for i in (5, 6)]
)


def test_while_only_moves_are_frozen_missing_copies_are_made() -> None:
    planning = Planning(PlanLimits())
    ring = LOST
    for _ in range(30):
        progress = planning.step(ring, certificates(ring), freeze=Freeze.MOVES)
        if not progress.wishes:
            break
        ring = written(ring, progress.wishes)
    assert ring.partitions_by_disk["disk-4"] == (), "what was missing is there"
    assert not ring.joint_partitions
    assert planning.current is not None, "the rest of the plan waits"
    assert any(isinstance(w, Begin) for w in planning.step(ring, [], freeze=Freeze.NONE).wishes)
    ring = run(planning, ring)
    assert planning.current is None


def test_a_freeze_of_moves_begins_no_move() -> None:
    planning = Planning(PlanLimits())
    assert planning.step(JOINED, [], freeze=Freeze.MOVES).wishes == ()
    assert planning.current is not None
    assert planning.step(JOINED, [], freeze=Freeze.NONE).wishes


def test_who_is_to_be_given_copies_is_not_filled() -> None:
    planning, ring = balanced()
    assert planning.is_filled(ring, "disk-0")
    assert not planning.is_filled(JOINED, "disk-5"), "no plan was made for these members yet"
    progress = planning.step(JOINED, [], freeze=Freeze.NONE)
    assert not planning.is_filled(JOINED, "disk-5")
    done = run(planning, written(JOINED, progress.wishes))
    assert planning.is_filled(done, "disk-5")


def test_a_cancelled_plan_fills_nobody_any_more() -> None:
    planning = Planning(PlanLimits())
    planning.step(JOINED, [], freeze=Freeze.NONE)
    plan = planning.current
    assert plan is not None
    planning.cancel(plan.id)
    assert planning.is_filled(JOINED, "disk-5")


# What another process goes on by


def test_a_pause_survives_the_process() -> None:
    planning = Planning(PlanLimits())
    assert planning.note == ""
    planning.step(JOINED, [], freeze=Freeze.NONE)
    assert planning.current is not None
    plan_id = planning.current.id
    planning.pause(plan_id)
    assert planning.note.startswith("paused ")
    other = Planning(PlanLimits())
    other.take_note(planning.note)
    assert other.note == planning.note, "nothing is forgotten before the first round"
    assert other.step(JOINED, [], freeze=Freeze.NONE).wishes == ()
    assert other.current is not None
    assert other.current.state is PlanState.PAUSED
    assert other.current.id == plan_id
    other.resume(plan_id)
    assert other.note.startswith(f"running {other.note.split()[1]} {plan_id}")
    assert other.step(JOINED, [], freeze=Freeze.NONE).wishes


def test_a_pause_of_before_does_not_hold_up_missing_copies() -> None:
    other = Planning(PlanLimits())
    other.take_note("paused")
    assert other.step(LOST, [], freeze=Freeze.NONE).wishes


def test_a_cancel_survives_the_process_until_the_members_change() -> None:
    planning = Planning(PlanLimits(partitions=2))
    ring = written(JOINED, planning.step(JOINED, [], freeze=Freeze.NONE).wishes)
    assert planning.current is not None
    planning.cancel(planning.current.id)
    note = planning.note
    assert note.startswith("cancelled ")
    other = Planning(PlanLimits(partitions=2))
    other.take_note(note)
    assert other.note == note
    undone = other.step(ring, [], freeze=Freeze.NONE)
    assert {type(wish) for wish in undone.wishes} == {Abandon}
    ring = written(ring, undone.wishes)
    assert not ring.joint_partitions
    assert other.step(ring, [], freeze=Freeze.NONE).wishes == ()
    assert other.current is None
    assert other.note == note
    again = ring.with_members([*ring.members, Member("disk-6", "m-6", "z0", "node-6")])
    assert other.step(again, [], freeze=Freeze.NONE).wishes
    assert other.note.startswith("running ")


def test_a_cancel_for_other_members_means_nothing() -> None:
    other = Planning(PlanLimits())
    other.take_note("cancelled 0123456789abcdef")
    assert other.step(JOINED, [], freeze=Freeze.NONE).wishes == ()
    assert other.step(JOINED, [], freeze=Freeze.NONE).wishes
    assert other.note.startswith("running ")
    other = Planning(PlanLimits())
    other.take_note("no word of ours")
    assert other.note == ""


def test_another_process_goes_on_with_a_plan_under_its_name() -> None:
    planning, ring, plan = started()
    progress = planning.step(ring, certificates(ring), freeze=Freeze.NONE)
    ring = written(ring, progress.wishes)
    other = Planning(PlanLimits(partitions=2, copies_per_member=2))
    other.take_note(planning.note)
    other.step(ring, [], freeze=Freeze.NONE)
    assert other.current is not None
    assert other.current.id == plan.id
    assert other.current.earlier_steps > 0
    assert other.current.earlier_steps + len(other.current.steps) == len(plan.steps)
    again = Planning(PlanLimits(partitions=2, copies_per_member=2))
    again.take_note(other.note)
    ring = run(again, ring)
    assert again.ended[plan.id].is_done
    assert again.note == ""


def test_a_second_plan_while_one_is_under_way_is_refused() -> None:
    planning, ring, plan = started()
    lighter = [replace(m, weight=50) if m.name == "m-1" else m for m in ring.members]
    proposal = planning.propose(Proposal(planning.plan_to(ring, lighter, "x"), (lighter[1],)))
    with pytest.raises(GiveUpError, match=f"becket plan cancel {plan.id}"):
        planning.proposal_to_start(ring, proposal.plan.id)
    ring = run(planning, ring)
    with pytest.raises(StalePlanError, match="make a new plan"):
        planning.proposal_to_start(ring, proposal.plan.id)


def test_of_two_that_start_plans_at_once_the_second_is_refused() -> None:
    planning, ring = balanced()
    members = [
        [replace(m, weight=50) if m.name == name else m for m in ring.members]
        for name in ("m-1", "m-2")
    ]
    one, two = (
        planning.propose(Proposal(planning.plan_to(ring, each, "x"), (each[1],)))
        for each in members
    )
    planning.start(ring.with_members(members[0]), one)
    with pytest.raises(GiveUpError, match=one.plan.id):
        planning.start(ring.with_members(members[0]), two)


def test_a_plan_that_is_only_shown_is_not_started() -> None:
    planning, ring = balanced()
    plan = planning.plan_to(ring, ring.members, "x")
    planning.propose(Proposal(plan, only_shown="because"))
    with pytest.raises(GiveUpError, match="can only be shown: because"):
        planning.proposal_to_start(ring, plan.id)
