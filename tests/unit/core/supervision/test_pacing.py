"""Two budgets, and a rest between plans."""

from __future__ import annotations

from dataclasses import replace

import pytest

from becket.core.errors import InvalidInputError
from becket.core.plans.progress import Pace, PlanLimits
from becket.core.plans.throttle import ThrottleSettings
from becket.core.plans.wishes import Begin, apply_wishes
from becket.core.ring.members import Member, MemberState
from becket.core.ring.ring import Ring
from becket.core.supervision.pacing import Pacer, PacingSettings
from becket.core.supervision.planning import Freeze, Planning
from becket.core.supervision.snapshot import Snapshot
from tests.unit.core.supervision.scenes import RING, snapshot

SETTINGS = PacingSettings(
    ThrottleSettings(interval_ms=100, settle_ms=200, first=2, least_operations=10),
    restoring_least=3,
    rest_ms=1000,
    longest_rest_ms=5000,
)
JOINED = RING.with_members([*RING.members, Member("disk-5", "m-5", "z0", "node-5")])


def at(ms: int, ring: Ring = RING, p99_ms: int = 0, operations: int = 100) -> Snapshot:
    shot = snapshot(ring, now_us=ms * 1000)
    seen = tuple(
        replace(each, p99_us=p99_ms * 1000, operations=operations if p99_ms else 0)
        for each in shot.seen
    )
    return replace(shot, seen=seen)


def planned(ring: Ring = JOINED) -> Planning:
    planning = Planning(PlanLimits())
    planning.step(ring, [], freeze=Freeze.NONE)
    assert planning.current is not None
    return planning


def test_without_foreground_the_limits_alone_hold() -> None:
    pacer = Pacer(SETTINGS, 64)
    pace = pacer.pace(at(0), planned())
    assert (pace.restoring, pace.moving, pace.is_resting) == (64, 64, False)
    hardly = pacer.pace(at(1, p99_ms=500, operations=1), planned())
    assert hardly.moving == 64, "five calls, of five members, are no p99"


def test_calls_that_are_spread_over_many_members_are_a_foreground() -> None:
    pacer = Pacer(SETTINGS, 64)
    assert pacer.pace(at(1, p99_ms=500, operations=3), planned()).moving < 64


def test_members_that_report_and_are_called_silent_slow_a_plan_down() -> None:
    shot = at(5000)
    seen = [replace(each, at_us=4_900_000) for each in shot.seen]
    seen[0] = replace(seen[0], suspects=frozenset({seen[1].disk}))
    late = replace(shot, seen=tuple(seen))
    assert Pacer(SETTINGS, 64).pace(late, planned()).moving == 32
    # Who has not reported for long may be gone: there is nothing to slow down for.
    seen[1] = replace(seen[1], at_us=3_000_000)
    gone = replace(shot, seen=tuple(seen))
    assert Pacer(SETTINGS, 64).pace(gone, planned()).moving == 64
    seen[1] = replace(seen[1], at_us=4_900_000, is_connected=False)
    assert Pacer(SETTINGS, 64).pace(replace(shot, seen=tuple(seen)), planned()).moving == 64


def test_moves_give_way_and_missing_copies_less_so() -> None:
    pacer, idle = Pacer(SETTINGS, 64), Planning(PlanLimits())
    for ms in range(0, 1000, 100):
        pacer.pace(at(ms, p99_ms=10), idle)
    assert pacer.view.steady_us == 10_000
    assert pacer.view.limit_us == 11_000
    planning = planned()
    assert pacer.pace(at(1000, p99_ms=10), planning).moving == 2
    assert pacer.pace(at(1100, p99_ms=10), planning).moving == 2
    assert pacer.pace(at(1200, p99_ms=10), planning).moving == 3
    pace = pacer.pace(at(1200, p99_ms=10), planning)
    for ms in range(1300, 5000, 100):
        pace = pacer.pace(at(ms, p99_ms=13), planning)
    assert pacer.view.moving == 0.2
    assert pace.restoring == 3
    assert pacer.view.halvings > 3
    assert (pace.moving, pace.begins) == (1, 1)
    pacer.note_wishes(5_000_000, (Begin(0, 1, ("a",)),))
    assert pacer.pace(at(5001, p99_ms=13), planning).begins == 0
    assert pacer.pace(at(6000, p99_ms=13), planning).begins == 1
    assert pacer.view.steady_us == 10_000, "what a plan does is not how things are"


def test_a_supervisor_that_begins_amid_a_plan_learns_what_is_steady_between_two_steps() -> None:
    settings = replace(SETTINGS, throttle=replace(SETTINGS.throttle, settle_ms=500))
    pacer, planning = Pacer(settings, 64), planned()
    old = RING.configs[0].old
    other = next(m.disk for m in RING.members if m.disk not in old)
    joint = apply_wishes(RING, [Begin(0, RING.configs[0].gen, (*old[1:], other))]).ring
    assert joint is not None
    # Its first round, in which it has heard of nothing yet, neither of a plan nor of operations.
    pacer.pace(at(0), Planning(PlanLimits()))
    for ms in range(0, 1000, 100):
        pacer.pace(at(ms, joint, p99_ms=300), planning)
    assert pacer.view.limit_us == 1000 * settings.throttle.p99_unknown_ms
    for ms in range(1000, 3000, 100):
        pacer.pace(at(ms, p99_ms=90), planning)
    assert pacer.view.steady_us == 90_000, "of the moments in which nothing was under way"
    # One that has seen a cluster at rest knows better than a pause between two steps.
    pacer.pace(at(3000, p99_ms=90), Planning(PlanLimits()))
    for ms in range(3100, 6000, 100):
        pacer.pace(at(ms, p99_ms=200), planning)
    assert pacer.view.steady_us == 90_000


def test_a_plan_that_begins_beside_a_foreground_begins_small() -> None:
    pacer, idle = Pacer(SETTINGS, 64), Planning(PlanLimits())
    assert pacer.pace(at(0), idle).moving == 64
    assert pacer.pace(at(100, p99_ms=10), idle).moving == 2
    assert pacer.pace(at(200), idle).moving == 64


def test_a_rest_follows_a_plan_and_doubles_with_those_that_end_before_their_end() -> None:
    pacer, planning = Pacer(SETTINGS, 64), planned()
    pacer.pace(at(0), planning)
    rests = []
    for undone in range(1, 5):
        planning.ends = (0, undone)
        pacer.pace(at(10_000 * undone), planning)
        rests.append(pacer.view.rest_us // 1000)
        assert pacer.pace(at(10_000 * undone + 6000), planning).is_resting is False
    assert rests == [2000, 4000, 5000, 5000]
    planning.ends = (1, 4)
    assert pacer.pace(at(90_000), planning).is_resting
    assert pacer.view.rest_us == 1_000_000


def test_a_rest_holds_up_load_only() -> None:
    pacer, idle = Pacer(SETTINGS, 64), Planning(PlanLimits())
    pacer.pace(at(0), idle)
    idle.ends = (1, 0)
    pace = pacer.pace(at(10), idle)
    assert pace.is_resting
    balance = Planning(PlanLimits())
    assert balance.step(JOINED, [], freeze=Freeze.NONE, pace=pace).wishes == ()
    drained = RING.with_members([replace(RING.members[0], state=MemberState.DRAINING)])
    drained = RING.with_members([*drained.members, *RING.members[1:]])
    for state in (MemberState.DRAINING, MemberState.GONE):
        table = [replace(RING.members[0], state=state), *RING.members[1:]]
        other = Planning(PlanLimits())
        found = other.step(RING.with_members(table), [], freeze=Freeze.NONE, pace=pace)
        assert any(isinstance(wish, Begin) for wish in found.wishes), state


def test_missing_copies_come_before_moves_and_each_kind_has_its_pace() -> None:
    table = [
        replace(RING.members[0], state=MemberState.GONE),
        replace(RING.members[1], state=MemberState.DRAINING),
        *RING.members[2:],
        *(Member(f"disk-{i}", f"m-{i}", "z0", f"node-{i}") for i in (5, 6)),
    ]
    ring = RING.with_members(table)
    urgent = {"QUORUM", "COPIES"}
    for most, moves in ((4, 0), (64, 1)):
        planning = Planning(PlanLimits(partitions=most, copies_per_member=64))
        found = planning.step(ring, [], freeze=Freeze.NONE, pace=Pace(restoring=1, moving=1))
        plan = planning.current
        assert plan is not None
        causes = {step.partition: step.cause.name for step in plan.steps}
        begun = [causes[wish.partition] for wish in found.wishes if isinstance(wish, Begin)]
        assert len(begun) >= 4
        assert sum(cause not in urgent for cause in begun) == moves, "after all that is missing"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"restoring_least": 0}, "restoring_least"),
        ({"rest_ms": -1}, "rest_ms"),
        ({"heard_ms": 0}, "heard_ms"),
        ({"rest_ms": 10, "longest_rest_ms": 9}, "longest_rest_ms"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, int], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        PacingSettings(**changes)  # type: ignore[arg-type]  # each is a number
    assert caught.value.field == field


def test_a_coordinator_that_moves_for_load_is_no_reason_to_go_slower() -> None:
    pacer, idle = Pacer(SETTINGS, 64), Planning(PlanLimits())
    for ms in range(0, 1000, 100):
        pacer.pace(at(ms, p99_ms=10), idle)
    old = RING.configs[0].old
    begun = apply_wishes(RING, [Begin(0, RING.configs[0].gen, (old[1], old[0], old[2]))]).ring
    assert begun is not None
    for ms in range(1000, 5000, 100):
        pacer.pace(at(ms, begun, p99_ms=50), idle)
    assert (pacer.view.moving, pacer.view.halvings) == (2.0, 0)
    assert pacer.view.steady_us == 10_000, "nor is it how things are"
