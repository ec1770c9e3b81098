"""Rounds: what comes first, what a freeze holds back, what the memory between rounds is for."""

from __future__ import annotations

from dataclasses import replace

from becket.core.membership.settings import SECOND, MembershipSettings
from becket.core.placement.result import Constraints
from becket.core.plans.wishes import (
    Begin,
    Certificate,
    Install,
    PutMember,
    SetWishes,
    apply_wishes,
)
from becket.core.ring.members import Member, MemberCount, MemberState
from becket.core.supervision.beginning import NewCluster
from becket.core.supervision.deciding import Supervision, SupervisionSettings
from becket.core.supervision.snapshot import Seen, Snapshot, Wished
from tests.unit.core.ring.rings import turning_ring
from tests.unit.core.supervision.pods import changed, on_platform, view_of
from tests.unit.core.supervision.scenes import RING, seen_of, snapshot, without

QUIET = SupervisionSettings(MembershipSettings(dead_us=1 * SECOND, replace_us=2 * SECOND))


def supervision() -> Supervision:
    return Supervision(QUIET, NewCluster("fresh", 16, Constraints(3)))


def at(now_us: int, shot: Snapshot) -> Snapshot:
    """The same, seen later: whoever is connected has reported just now."""
    seen = tuple(replace(s, at_us=now_us) if s.is_connected else s for s in shot.seen)
    return replace(shot, now_us=now_us, seen=seen)


def test_the_first_ring_comes_before_everything() -> None:
    wished = tuple(Wished(f"m-{i}") for i in range(3))
    seen = tuple(Seen(f"m-{i}", f"disk-{i}") for i in range(3))
    decision = supervision().decide(Snapshot(1, None, wished, seen))
    assert [type(wish) for wish in decision.wishes] == [Install]


def test_the_same_snapshot_gives_the_same_wishes_again() -> None:
    machine = supervision()
    shot = snapshot(RING.with_members([*RING.members, Member("disk-5", "m-5", "z0", "node-5")]))
    first = machine.decide(shot)
    assert any(isinstance(wish, Begin) for wish in first.wishes)
    assert machine.decide(shot).wishes == first.wishes
    assert supervision().decide(shot).wishes == first.wishes


def test_certificates_are_wished_for_where_they_fit() -> None:
    config = RING.configs[3].begin(("disk-3", "disk-4", "disk-1"))
    ring = RING.with_configs({3: config}).succeeding(RING)
    good = Certificate(3, config.gen, (2, "disk-3", 1), "disk-3")
    bad = [
        Certificate(3, config.gen + 1, (2, "disk-3", 1), "disk-3"),
        Certificate(4, 1, (2, "disk-3", 1), "disk-3"),
        Certificate(99, 1, (2, "disk-3", 1), "disk-3"),
        replace(good, disk="disk-4"),
    ]
    seen = tuple(
        replace(s, certificates=(*bad, good)) if s.disk == "disk-3" else s for s in seen_of(ring)
    )
    wishes = supervision().decide(snapshot(ring, seen=seen)).wishes
    assert [wish for wish in wishes if isinstance(wish, Certificate)] == [good]


def test_a_dead_member_is_replaced_after_its_time_and_not_before() -> None:
    machine = supervision()
    shot = snapshot(seen=without(snapshot().seen, "m-4"))
    decision = machine.decide(at(1 * SECOND, shot))
    assert decision.judgement.dead == ("disk-4",)
    assert "m-4 is dead and will be replaced in 2 s" in [s.sentence for s in decision.said]
    gone = PutMember(replace(RING.by_disk["disk-4"], state=MemberState.GONE))
    assert gone not in machine.decide(at(2 * SECOND, shot)).wishes
    assert gone in machine.decide(at(3 * SECOND + 1, shot)).wishes


def test_too_many_dead_freeze_members_and_moves() -> None:
    machine = supervision()
    shot = snapshot(seen=without(snapshot().seen, "m-2", "m-3", "m-4"))
    decision = machine.decide(shot)
    assert decision.judgement.is_frozen
    assert decision.wishes == ()
    assert decision.said[0].sentence.startswith("ring changes are frozen: only 2 of 5")


def test_a_lost_disk_is_replaced_in_the_round_in_which_the_others_agree() -> None:
    machine = supervision()
    seen = (*without(snapshot().seen, "m-4"), Seen("m-4", "disk-new", at_us=1_000_000))
    wishes = [w for w in machine.decide(snapshot(seen=seen)).wishes if isinstance(w, PutMember)]
    assert [(w.member.disk, w.member.state) for w in wishes] == [
        ("disk-4", MemberState.GONE),
        ("disk-new", MemberState.ACTIVE),
    ]
    ring = apply_wishes(RING, wishes).ring
    assert ring is not None
    later = machine.decide(snapshot(ring, seen=seen, wished=snapshot().wished))
    begun = [wish for wish in later.wishes if isinstance(wish, Begin)]
    assert begun
    assert all("disk-4" not in wish.new for wish in begun)


def test_a_place_that_vanished_and_came_back_is_filled_again() -> None:
    machine = supervision()
    all_places = snapshot().wished
    draining = PutMember(replace(RING.by_disk["disk-4"], state=MemberState.DRAINING))
    assert draining in machine.decide(snapshot(wished=all_places[:4])).wishes
    ring = apply_wishes(RING, [draining]).ring
    assert ring is not None
    back = PutMember(RING.by_disk["disk-4"])
    assert back in machine.decide(snapshot(ring, wished=all_places)).wishes
    # Granted, it is an ordinary member; a drain that a person asks for now stays.
    machine.decide(snapshot(wished=all_places))
    assert back not in machine.decide(snapshot(ring, wished=all_places)).wishes


def test_a_drain_that_this_process_has_not_seen_begin_stays() -> None:
    draining = replace(RING.by_disk["disk-4"], state=MemberState.DRAINING)
    table = [draining if m.name == "m-4" else m for m in RING.members]
    wishes = supervision().decide(snapshot(RING.with_members(table))).wishes
    assert not any(isinstance(wish, PutMember) for wish in wishes)


def test_another_cluster_begins_with_an_empty_memory() -> None:
    machine = supervision()
    machine.decide(at(1 * SECOND, snapshot(seen=without(snapshot().seen, "m-4"))))
    other = replace(RING, cluster="other")
    shot = snapshot(other, seen=without(tuple(seen_of(other)), "m-4"))
    decision = machine.decide(at(3 * SECOND, shot))
    assert "m-4 is dead and will be replaced in 2 s" in [s.sentence for s in decision.said]


def test_who_joins_is_given_copies_a_round_later() -> None:
    machine = supervision()
    wished = (*snapshot().wished, Wished("m-5"))
    seen = (*snapshot().seen, Seen("m-5", "disk-5", at_us=1_000_000))
    decision = machine.decide(snapshot(wished=wished, seen=seen))
    assert PutMember(Member("disk-5", "m-5")) in decision.wishes
    assert all("disk-5" not in w.new for w in decision.wishes if isinstance(w, Begin))


# On a platform


def test_the_first_ring_keeps_the_count_of_the_chart_and_opens_the_first_gates() -> None:
    machine = supervision()
    view = replace(view_of(), chart_count=3, scale=1)
    shot = replace(on_platform(view=view), found=None, confirmed=None)
    unasked = tuple(replace(s, cluster="", ring_version=0) for s in shot.seen)
    wished = tuple(Wished(f"m-{i}") for i in range(3))
    decision = machine.decide(replace(shot, seen=unasked, wished=wished))
    (install,) = decision.wishes
    assert isinstance(install, Install)
    assert install.ring.member_count == MemberCount(3, 3)
    assert decision.platform.scale == 3
    assert decision.platform.evictions == 0
    closed = changed(replace(view, scale=3, pods=view.pods[:3]), "m-2", is_whole=False)
    made = replace(shot, found=install.ring, confirmed=install.ring, platform=closed)
    heard = tuple(replace(s, coordinates=()) for s in shot.seen[:3])
    opened = machine.decide(replace(made, seen=heard, wished=wished)).platform.gates
    assert [gate.name for gate in opened] == ["m-2"]
    later = supervision().decide(replace(made, seen=heard, wished=wished)).platform.gates
    assert later == (), "whoever did not make the cluster waits until it is whole"


def test_a_chart_value_that_has_changed_is_written_with_what_it_takes_back() -> None:
    ring = replace(RING, member_count=MemberCount(5, 5))
    shot = on_platform(ring, view_of(chart_count=7))
    wishes = supervision().decide(shot).wishes
    assert SetWishes(member_count=MemberCount(7, 7)) in wishes


def test_an_eviction_is_allowed_after_a_while_of_calm_and_forbidden_at_once() -> None:
    machine = supervision()
    shot = on_platform(replace(RING, member_count=MemberCount(5, 5)))

    def allowed(now_us: int, seen: tuple[Seen, ...]) -> int | None:
        return machine.decide(at(now_us, replace(shot, seen=seen))).platform.evictions

    assert allowed(1 * SECOND, shot.seen) == 0
    assert allowed(2 * SECOND, shot.seen) == 0
    assert allowed(3 * SECOND, shot.seen) == 1
    assert allowed(3 * SECOND + 1, without(shot.seen, "m-1")) == 0
    assert allowed(4 * SECOND, shot.seen) == 0
    assert allowed(6 * SECOND, shot.seen) == 1


def test_nothing_is_concluded_while_the_platform_tells_nothing() -> None:
    machine = supervision()
    ring = RING.with_members([*RING.members, Member("disk-5", "m-5", "z0", "node-5")])
    blind = replace(view_of(), is_current=False, problems=("nothing is known",))
    decision = machine.decide(on_platform(ring, blind))
    assert decision.wishes == ()
    assert decision.platform.evictions is None
    assert decision.platform.scale is None
    assert [said.sentence for said in decision.said] == ["nothing is known"]


def test_a_supervisor_that_does_not_lead_judges_and_wishes_nothing() -> None:
    machine = supervision()
    shot = snapshot(seen=without(snapshot().seen, "m-4"))
    assert machine.observe(at(1 * SECOND, shot)).judgement.dead == ("disk-4",)
    machine.begin_anew()
    gone = PutMember(replace(RING.by_disk["disk-4"], state=MemberState.GONE))
    assert gone in machine.decide(at(3 * SECOND + 1, shot)).wishes, "it was dead all the time"
    assert machine.observe(snapshot(None)).wishes == ()


def test_a_smaller_count_is_drained_and_then_scaled_down() -> None:
    machine = supervision()
    ring = replace(RING, member_count=MemberCount(4, 5))
    places = snapshot().wished[:4]
    shot = on_platform(ring, wished=places)
    decision = machine.decide(shot)
    draining = PutMember(replace(RING.by_disk["disk-4"], state=MemberState.DRAINING))
    assert draining in decision.wishes
    assert decision.platform.scale is None
    assert "the scale to 4 pods waits for m-4" in " ".join(s.sentence for s in decision.said)
    left = [m for m in ring.members if m.name != "m-4"]
    four = turning_ring(count=4, partitions=16)
    without_it = replace(ring, members=tuple(left), configs=four.configs)
    view = view_of(RING)
    assert machine.decide(on_platform(without_it, view, wished=places)).platform.scale == 4


def test_newcomers_that_are_wished_for_together_join_together() -> None:
    machine = supervision()
    wished = (*snapshot().wished, Wished("m-5"), Wished("m-6"))
    one = (*snapshot().seen, Seen("m-5", "disk-5", at_us=1_000_000))
    both = (*one, Seen("m-6", "disk-6", at_us=1_000_000))
    first = machine.decide(at(1 * SECOND, snapshot(wished=wished, seen=one)))
    assert not any(isinstance(wish, PutMember) for wish in first.wishes)
    told = "m-5 joins together with m-6, as soon as they are there"
    assert told in [said.sentence for said in first.said]
    joined = machine.decide(at(2 * SECOND, snapshot(wished=wished, seen=both))).wishes
    assert {w.member.name for w in joined if isinstance(w, PutMember)} == {"m-5", "m-6"}


def test_a_newcomer_waits_for_another_one_for_a_while_only() -> None:
    machine = supervision()
    wished = (*snapshot().wished, Wished("m-5"), Wished("m-6"))
    seen = (*snapshot().seen, Seen("m-5", "disk-5", at_us=1_000_000))
    shot = snapshot(wished=wished, seen=seen)
    assert PutMember(Member("disk-5", "m-5")) not in machine.decide(at(1 * SECOND, shot)).wishes
    assert PutMember(Member("disk-5", "m-5")) not in machine.decide(at(30 * SECOND, shot)).wishes
    assert PutMember(Member("disk-5", "m-5")) in machine.decide(at(31 * SECOND, shot)).wishes


def test_a_lost_disk_that_is_replaced_waits_for_no_newcomer() -> None:
    machine = supervision()
    wished = (*snapshot().wished, Wished("m-5"))
    seen = (*without(snapshot().seen, "m-4"), Seen("m-4", "disk-new", at_us=1_000_000))
    wishes = machine.decide(snapshot(wished=wished, seen=seen)).wishes
    assert {w.member.disk for w in wishes if isinstance(w, PutMember)} == {"disk-4", "disk-new"}
