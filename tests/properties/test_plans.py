"""Plans interrupted after every step, and two writers on one object with lost and late replies."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from becket.core.placement.planner import place
from becket.core.placement.result import Constraints
from becket.core.plans.plan import Plan, from_json, plan_for, to_json
from becket.core.plans.progress import PlanLimits, advance
from becket.core.plans.wishes import Abandon, Begin, Certificate, Install, PutMember, Wish
from becket.core.plans.writer import (
    Announce,
    CasConfirmed,
    CasConflict,
    CasLost,
    CompareAndSwap,
    Effect,
    Event,
    ObjectRead,
    ReadFailed,
    ReadObject,
    Refresh,
    TopologyWriter,
    Want,
)
from becket.core.ring.encoding import decode, encode
from becket.core.ring.members import MemberState
from becket.core.ring.ring import Ring
from becket.core.ring.validation import validate
from tests.properties.placement_checks import cluster, first

LIMITS = PlanLimits(partitions=3, copies_per_member=2)


def taken_over(ring: Ring, plan: Plan) -> tuple[Ring, Plan]:
    """What another process knows: the object's bytes and the plan's JSON, nothing else."""
    return decode(encode(ring)), from_json(json.loads(json.dumps(to_json(plan))))


def certificates(ring: Ring, partitions: list[int]) -> list[Certificate]:
    chosen = [p for p in ring.joint_partitions if p in partitions]
    return [Certificate(p, ring.configs[p].gen, (1, "d", 1), "d") for p in chosen]


def start(seed: int) -> tuple[Ring, Plan]:
    """A join, a drain or a loss, by turns."""
    ring = first(8, cluster(5))
    member = ring.members[seed % 5]
    state = (MemberState.DRAINING, MemberState.GONE, MemberState.ACTIVE)[seed % 3]
    put = cluster(6)[5] if state is MemberState.ACTIVE else replace(member, state=state)
    ring = PutMember(put).apply(ring)
    placement = place(ring, ring.members, Constraints(3))
    return ring, plan_for(ring, placement, id="p", reason="r")


def whole(before: Ring, after: Ring) -> None:
    """The ring is sound and each partition made at most one transition of R2."""
    validate(after)
    for old, new in zip(before.configs, after.configs, strict=True):
        assert new == old or new.follows(old) or new.follows(old.finish())


@settings(deadline=None)
@given(st.integers(0, 14), st.lists(st.lists(st.integers(0, 7)), max_size=12))
def test_a_plan_taken_over_after_each_step_ends_in_the_same_ring(
    seed: int, certified: list[list[int]]
) -> None:
    """Any order of certificates, a new process after every write: the end is that of the plan."""
    ring, plan = start(seed)
    wished = {step.partition: step.wished for step in plan.steps}
    expected = [wished.get(p, config.old) for p, config in enumerate(ring.configs)]
    result = advance(ring, plan, LIMITS)
    rounds = [*certified, *[list(range(8))] * 40]
    for partitions in rounds:
        ring, plan = taken_over(ring, plan)
        result = advance(ring, plan, LIMITS, certificates(ring, partitions))
        if result.done:
            break
        whole(ring, result.ring)
        ring = result.ring.succeeding(ring)
    assert result.done
    assert [config.old for config in ring.configs] == expected
    assert ring.joint_partitions == ()


@settings(deadline=None)
@given(st.integers(0, 14), st.lists(st.lists(st.integers(0, 7)), max_size=6))
def test_a_plan_cancelled_half_way_leaves_a_whole_ring(
    seed: int, certified: list[list[int]]
) -> None:
    ring, plan = start(seed)
    before = [config.old for config in ring.configs]
    for partitions in certified:
        result = advance(ring, plan, LIMITS, certificates(ring, partitions))
        ring = result.ring if result.done else result.ring.succeeding(ring)
    ring, plan = taken_over(ring, plan.cancelled())
    result = advance(ring, plan, LIMITS)
    ring = result.ring.succeeding(ring)
    assert ring.joint_partitions == ()
    wished = {step.partition: step.wished for step in plan.steps}
    for p, config in enumerate(validate(ring).configs):
        assert config.old in (before[p], wished.get(p))


class Store:
    """The object, with writes that may be answered late, wrongly lost, or carried out late."""

    def __init__(self, ring: Ring | None) -> None:
        self.ring, self.number = ring, 1
        self.history = {} if ring is None else {ring.version: ring}
        self.late: list[CompareAndSwap] = []

    @property
    def version(self) -> str | None:
        return None if self.ring is None else f"rv-{self.number}"

    def write(self, swap: CompareAndSwap) -> bool:
        if swap.expected != self.version:
            return False
        if self.ring is not None:
            assert swap.ring.version > self.ring.version
            whole(self.ring, swap.ring)
        self.ring, self.number = swap.ring, self.number + 1
        assert self.history.setdefault(swap.ring.version, swap.ring) == swap.ring
        return True


def answer(store: Store, effect: Effect, choice: int) -> Event | None:
    """What becomes of an effect; ``choice`` is chance."""
    if isinstance(effect, ReadObject):
        return ReadFailed() if choice == 0 else ObjectRead(store.ring, store.version)
    if isinstance(effect, CompareAndSwap):
        if choice == 1:
            store.late.append(effect)
            return CasLost()
        done = store.write(effect)
        if choice == 2:
            return CasLost()
        return CasConfirmed() if done else CasConflict()
    return None


wishes = st.one_of(
    st.builds(
        Begin,
        st.integers(0, 3),
        st.integers(1, 6),
        st.permutations(["d0", "d1", "d2", "d3"]).map(lambda disks: tuple(disks[:3])),
    ),
    st.builds(
        Certificate, st.integers(0, 3), st.integers(1, 6), st.just((1, "d", 1)), st.just("d")
    ),
    st.builds(Abandon, st.integers(0, 3), st.integers(1, 6)),
)
turns = st.tuples(st.integers(0, 1), st.one_of(st.none(), wishes), st.integers(0, 6))


@settings(deadline=None, max_examples=200)
@given(st.lists(turns, max_size=60))
@example(
    [
        *[(0, None, 1), (0, None, 0), (0, Begin(0, 1, ("d0", "d1", "d2")), 0)],
        *[(0, Certificate(0, 2, (1, "d", 1), "d"), 0), (0, None, 1), (0, None, 0)],
    ]
)
def test_r1_two_writers_never_announce_what_was_not_written(
    moves: list[tuple[int, Wish | None, int]],
) -> None:
    """Replies are lost, writes arrive late, writers alternate: one content a version, all R2."""
    ring = first(4, cluster(4))
    store = Store(None)
    writers = (TopologyWriter(), TopologyWriter())
    waiting: list[list[Effect]] = [[], []]
    for machine, effects in zip(writers, waiting, strict=True):
        effects.extend(machine.handle(Want((Install(ring, None),))))
    for who, wish, choice in moves:
        machine, todo = writers[who], waiting[who]
        if store.late and choice == 3:
            store.write(store.late.pop(0))
        effects = []
        if wish is not None:
            effects = machine.handle(Want((wish,)))
        elif todo:
            event = answer(store, todo.pop(0), choice)
            effects = [] if event is None else machine.handle(event)
        elif choice == 4:
            effects = machine.handle(Refresh())
        for effect in effects:
            if isinstance(effect, Announce):
                assert store.history.get(effect.ring.version) == effect.ring
            elif isinstance(effect, ReadObject | CompareAndSwap):
                todo.append(effect)
