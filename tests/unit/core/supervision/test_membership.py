"""Who belongs to the ring: joins, lost disks, the dead, and those who are wished no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from becket.core.membership.judgement import Judgement, Replacement
from becket.core.plans.wishes import PutMember, RemoveMember
from becket.core.ring.config import first_config
from becket.core.ring.members import Member, MemberState
from becket.core.ring.ring import Ring
from becket.core.supervision.membership import Changes, lost_volumes, member_changes
from becket.core.supervision.pods import Claim
from becket.core.supervision.snapshot import Seen, Snapshot, Wished
from tests.unit.core.supervision.pods import on_platform, pod, view_of
from tests.unit.core.supervision.scenes import RING, snapshot, without

CALM = Judgement((), (), (), ())
EXTRA = Seen("m-5", "disk-5")
SIX = (*snapshot().wished, Wished("m-5", "z0", "node-5", 70))


def changes(shot: Snapshot, judgement: Judgement = CALM, returned: tuple[str, ...] = ()) -> Changes:
    assert shot.found is not None
    return member_changes(shot.found, shot, judgement, returned)


def with_state(state: MemberState, *, empty: bool = False) -> Ring:
    """The ring with m-4 in this state, ``empty``: without copies."""
    table = [replace(m, state=state) if m.name == "m-4" else m for m in RING.members]
    ring = RING.with_members(table)
    if empty:
        kept = first_config(("disk-0", "disk-1", "disk-2"))
        ring = ring.with_configs(dict.fromkeys(range(ring.partitions), kept))
    return ring


def test_nothing_is_wished_when_all_is_well() -> None:
    assert changes(snapshot()) == Changes((), ())


def test_a_new_place_joins_with_what_its_place_says() -> None:
    found = changes(snapshot(wished=SIX, seen=(*snapshot().seen, EXTRA)))
    assert found.wishes == (PutMember(Member("disk-5", "m-5", "z0", "node-5", 70)),)
    assert found.said[0].sentence == "m-5 joins with disk disk-5"


@pytest.mark.parametrize("seen", [replace(EXTRA, is_connected=False), replace(EXTRA, name="m-9")])
def test_who_is_not_heard_or_has_no_place_does_not_join(seen: Seen) -> None:
    assert changes(snapshot(wished=SIX, seen=(*snapshot().seen, seen))).wishes == ()


def test_a_disk_of_this_cluster_that_the_ring_has_forgotten_joins_again() -> None:
    back = replace(EXTRA, cluster=RING.cluster, ring_version=1)
    assert len(changes(snapshot(wished=SIX, seen=(*snapshot().seen, back))).wishes) == 1


def test_a_disk_of_another_cluster_is_left_alone() -> None:
    stranger = replace(EXTRA, cluster="other")
    found = changes(snapshot(wished=SIX, seen=(*snapshot().seen, stranger)))
    assert found.wishes == ()
    assert "belongs to cluster other" in found.said[0].sentence


def test_a_member_at_the_address_of_another_name_is_left_alone() -> None:
    lost = replace(snapshot().seen[1], name="m-5")
    found = changes(snapshot(wished=SIX, seen=(*snapshot().seen, lost)))
    assert found.wishes == ()
    assert found.said[0].sentence == "at the address of m-5 answers m-1: it is left alone"


def test_a_place_that_moved_changes_its_member() -> None:
    places = [*snapshot().wished]
    places[2] = replace(places[2], zone="elsewhere", weight=7)
    found = changes(snapshot(wished=tuple(places)))
    # Its weight is not the place's to say: plans change it.
    moved = replace(RING.by_disk["disk-2"], zone="elsewhere")
    assert found.wishes == (PutMember(moved),)


def test_another_disk_takes_over_the_weight_of_its_name() -> None:
    light = RING.with_members(
        [replace(m, weight=7) if m.name == "m-4" else m for m in RING.members]
    )
    gone = replace(light.by_disk["disk-4"], state=MemberState.GONE)
    ring = light.with_members([*light.members[:4], gone])
    seen = (*without(snapshot().seen, "m-4"), Seen("m-4", "disk-new", at_us=2))
    found = changes(snapshot(ring, wished=snapshot().wished, seen=seen))
    assert PutMember(Member("disk-new", "m-4", gone.zone, gone.node, 7)) in found.wishes


def test_a_lost_disk_is_given_up_and_the_new_one_joins_in_the_same_round() -> None:
    seen = (*without(snapshot().seen, "m-4"), Seen("m-4", "disk-new", at_us=2))
    shot = snapshot(seen=seen)
    assert lost_volumes(RING, shot) == {"disk-4"}
    judgement = Judgement((), (), (Replacement("disk-4", "the volume of disk-4 is gone"),), ())
    found = changes(shot, judgement)
    gone = replace(RING.by_disk["disk-4"], state=MemberState.GONE)
    joined = Member("disk-new", "m-4", gone.zone, gone.node)
    assert found.wishes == (PutMember(gone), PutMember(joined))
    assert found.said[0].sentence == "the volume of m-4 is gone: it is replaced"


def test_a_disk_that_others_hear_is_not_lost_whoever_answers_at_its_address() -> None:
    others = tuple(each for each in snapshot().seen if each.name != "m-4")
    shot = snapshot(seen=(*others, Seen("m-4", "disk-new")))
    assert lost_volumes(RING, shot) == frozenset()
    found = changes(shot)
    assert found.wishes == ()
    assert "the one before is still heard" in found.said[0].sentence


def test_a_stranger_at_an_address_costs_no_disk() -> None:
    seen = (*without(snapshot().seen, "m-4"), Seen("m-4", "disk-new", cluster="other"))
    assert lost_volumes(RING, snapshot(seen=seen)) == frozenset()


def test_a_dead_member_is_given_up_unless_nobody_could_take_over() -> None:
    dead = Replacement("disk-4", "disk-4 has been dead for 600 s")
    judgement = Judgement(("disk-4",), (), (dead,), ())
    found = changes(snapshot(seen=without(snapshot().seen, "m-4")), judgement)
    gone = replace(RING.by_disk["disk-4"], state=MemberState.GONE)
    assert found.wishes == (PutMember(gone),)
    few = replace(RING, replicas=5)
    found = changes(snapshot(few, seen=without(snapshot().seen, "m-4")), judgement)
    assert found.wishes == ()
    assert "nobody could take over" in found.said[0].sentence


def test_a_member_that_is_given_up_stays_so_until_the_ring_forgets_it() -> None:
    found = changes(snapshot(with_state(MemberState.GONE)))
    assert found.wishes == ()
    assert "m-4 was given up" in found.said[0].sentence
    found = changes(snapshot(with_state(MemberState.GONE, empty=True)))
    assert RemoveMember("disk-4") in found.wishes


def test_a_place_that_vanished_is_drained_then_forgotten() -> None:
    four = snapshot().wished[:4]
    found = changes(snapshot(wished=four))
    draining = replace(RING.by_disk["disk-4"], state=MemberState.DRAINING)
    assert found.wishes == (PutMember(draining),)
    assert changes(snapshot(with_state(MemberState.DRAINING), wished=four)).wishes == ()
    found = changes(snapshot(with_state(MemberState.DRAINING, empty=True), wished=four))
    assert found.wishes == (RemoveMember("disk-4"),)


def test_no_more_are_drained_than_the_others_can_hold() -> None:
    found = changes(snapshot(wished=snapshot().wished[:1]))
    assert [wish.member.name for wish in found.wishes if isinstance(wish, PutMember)] == [
        "m-4",
        "m-3",
    ]
    assert any("wished no more, but 3 copies need it" in said.sentence for said in found.said)


def test_a_directory_that_knows_nobody_drains_nobody() -> None:
    assert changes(snapshot(wished=())).wishes == ()


def test_a_drain_that_a_person_asked_for_stays_while_its_place_is_there() -> None:
    ring = with_state(MemberState.DRAINING, empty=True)
    assert changes(snapshot(ring)).wishes == ()


def test_a_place_that_is_back_is_filled_again() -> None:
    found = changes(snapshot(with_state(MemberState.DRAINING)), returned=("m-4",))
    assert found.wishes == (PutMember(RING.by_disk["disk-4"]),)


def test_nothing_is_wished_while_frozen() -> None:
    frozen = Judgement((), ("disk-1 flaps",), (), ())
    found = changes(snapshot(wished=SIX, seen=(*snapshot().seen, EXTRA)), frozen)
    assert found.wishes == ()
    assert found.said[0].sentence == "ring changes are frozen: m-1 flaps"


def test_who_is_dead_is_waited_for_in_one_sentence_that_counts_down() -> None:
    first, second = (
        changes(
            snapshot(),
            Judgement((), (), (), (f"disk-1 is dead and will be replaced in {left} s",)),
        ).said[0]
        for left in (9, 8)
    )
    assert first.sentence == "m-1 is dead and will be replaced in 9 s"
    assert first.identity == second.identity


def with_claim(claim: Claim, seen: tuple[Seen, ...] | None = None) -> Snapshot:
    return on_platform(view=view_of(claims={"m-4": claim}), seen=seen or snapshot().seen)


@pytest.mark.parametrize("claim", [Claim.LOST, Claim.ABSENT])
def test_a_disk_whose_claim_is_gone_is_lost_when_nobody_hears_it(claim: Claim) -> None:
    silent = without(snapshot().seen, "m-4")
    assert lost_volumes(RING, with_claim(claim, silent)) == {"disk-4"}
    assert lost_volumes(RING, with_claim(claim)) == frozenset(), "the others hear it"
    assert lost_volumes(RING, with_claim(Claim.PENDING, silent)) == frozenset()
    assert lost_volumes(RING, with_claim(Claim.UNKNOWN, silent)) == frozenset()


def test_an_api_that_tells_nothing_is_no_witness() -> None:
    silent = without(snapshot().seen, "m-4")
    blind = view_of(claims={"m-4": Claim.LOST}, is_current=False)
    assert lost_volumes(RING, on_platform(view=blind, seen=silent)) == frozenset()


def test_a_claim_alone_condemns_nobody_where_there_is_no_other_member() -> None:
    silent = tuple(replace(each, is_connected=False) for each in snapshot().seen)
    assert lost_volumes(RING, with_claim(Claim.LOST, silent)) == frozenset()


FLAPS = ("disk-1 flaps: 6 changes in 60 s",)


def test_a_flap_holds_up_no_disk_that_is_known_to_be_lost() -> None:
    seen = (*without(snapshot().seen, "m-4"), Seen("m-4", "disk-new", at_us=2), EXTRA)
    shot = snapshot(wished=SIX[:5], seen=seen)
    lost = (Replacement("disk-4", "the volume of disk-4 is gone"),)
    found = changes(shot, Judgement((), FLAPS, lost, (), FLAPS))
    gone = replace(RING.by_disk["disk-4"], state=MemberState.GONE)
    joined = Member("disk-new", "m-4", gone.zone, gone.node)
    assert found.wishes == (PutMember(gone), PutMember(joined))
    assert found.said[0].sentence == "ring changes are frozen: m-1 flaps: 6 changes in 60 s"
    both = (*FLAPS, "only 2 of 5 members report")
    assert changes(shot, Judgement((), both, lost, (), FLAPS)).wishes == ()


def test_a_flap_holds_up_whoever_comes_or_goes_as_wished() -> None:
    flapping = Judgement((), FLAPS, (), (), FLAPS)
    shot = snapshot(wished=SIX, seen=(*snapshot().seen, EXTRA))
    assert changes(shot, flapping).wishes == ()
    assert changes(snapshot(wished=snapshot().wished[:4]), flapping).wishes == ()
    empty = snapshot(with_state(MemberState.GONE, empty=True))
    assert changes(empty, flapping).wishes == ()


def test_a_pod_that_is_about_to_go_is_given_no_place() -> None:
    six = view_of(scale=6)
    six = replace(six, pods=(*six.pods, pod("m-5")))
    seen = (*snapshot().seen, EXTRA)
    assert len(changes(on_platform(view=six, wished=SIX, seen=seen)).wishes) == 1
    sinking = replace(six, sinking=5)
    assert changes(on_platform(view=sinking, wished=SIX, seen=seen)).wishes == ()
