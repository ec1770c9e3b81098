"""When coordinators move for the sake of load, what is said of it, and what is said of damage."""

from __future__ import annotations

from dataclasses import replace

from becket.core.load.relief import ReliefSettings
from becket.core.load.weights import Load
from becket.core.membership.settings import SECOND, MembershipSettings
from becket.core.placement.result import Constraints
from becket.core.plans.wishes import Begin
from becket.core.supervision.beginning import NewCluster
from becket.core.supervision.deciding import Decision, Supervision, SupervisionSettings
from becket.core.supervision.planning import Freeze
from becket.core.supervision.relieving import loads_of
from becket.core.supervision.snapshot import Seen, Snapshot
from tests.unit.core.supervision.scenes import RING, snapshot, without

WELL, SLOW = Load(2, 1000, 0.3), Load(20, 40_000, 0.9)
SETTINGS = SupervisionSettings(
    MembershipSettings(dead_us=1 * SECOND, replace_us=2 * SECOND),
    relief=ReliefSettings(after_us=2 * SECOND, moves=2),
)


def supervision() -> Supervision:
    return Supervision(SETTINGS, NewCluster("fresh", 16, Constraints(3)))


def loaded(seen: tuple[Seen, ...], **loads: Load | None) -> tuple[Seen, ...]:
    """The reports with these loads (``m_0``); the others are well."""
    return tuple(replace(s, load=loads.get(s.name.replace("-", "_"), WELL)) for s in seen)


def rounds(
    machine: Supervision, shot: Snapshot, seconds: int = 5, *, after: int = 0
) -> list[Decision]:
    """A decision each second after ``after``; whoever is connected has reported just then."""
    found = []
    for second in range(after + 1, after + seconds + 1):
        now_us = second * SECOND
        seen = tuple(replace(s, at_us=now_us) if s.is_connected else s for s in shot.seen)
        found.append(machine.decide(replace(shot, now_us=now_us, seen=seen)))
    return found


def begun(decisions: list[Decision]) -> list[Begin]:
    return [w for decision in decisions for w in decision.wishes if isinstance(w, Begin)]


def test_partitions_of_a_slow_member_get_another_coordinator_and_no_copy_moves() -> None:
    shot = snapshot()
    decisions = rounds(supervision(), replace(shot, seen=loaded(shot.seen, m_0=SLOW)))
    wishes = begun(decisions)
    assert wishes
    for wish in wishes:
        before = RING.configs[wish.partition].old
        assert before[0] == "disk-0"
        assert wish.new[0] != "disk-0"
        assert set(wish.new) == set(before)
    (said,) = [said for said in decisions[-1].said if "slow" in said.sentence]
    assert said.member == "m-0"
    assert said.sentence == (
        "m-0 is overloaded or slow: an operation takes 40.0 ms there, and it has 2 % of the others'"
        " room; coordinators move off it, 4 of 16 partitions are left"
    )


def test_nothing_moves_while_a_member_is_missing_or_says_nothing_of_its_load() -> None:
    shot = snapshot()
    seen = loaded(shot.seen, m_0=SLOW)
    assert not begun(rounds(supervision(), replace(shot, seen=without(seen, "m-3")), 8))
    silent = loaded(shot.seen, m_0=SLOW, m_3=None)
    assert loads_of(RING, replace(shot, seen=silent)) == {}
    assert not begun(rounds(supervision(), replace(shot, seen=silent), 8))


def test_nothing_moves_while_a_plan_is_paused_and_a_plan_is_a_break_of_every_trouble() -> None:
    machine, shot = supervision(), snapshot()
    slow = replace(shot, seen=loaded(shot.seen, m_0=SLOW))
    members = [replace(m, weight=150) if m.name == "m-1" else m for m in RING.members]
    heavier = RING.with_members(members)
    rounds(machine, slow, 1)  # A second of trouble: a second short of a move.
    machine.planning.step(heavier, [], freeze=Freeze.ALL)
    plan = machine.planning.current
    assert plan is not None
    machine.planning.pause(plan.id)
    paused = rounds(machine, snapshot(heavier, seen=slow.seen), 8, after=1)
    assert not [wish for decision in paused for wish in decision.wishes]
    still = machine.planning.current
    assert still == plan.paused()
    machine.planning.cancel(plan.id)
    after = rounds(machine, snapshot(heavier, seen=slow.seen), 4, after=9)
    assert machine.planning.current is None
    assert not begun(after[:2]), "the trouble counts from the end of the plan"
    assert begun(after)
