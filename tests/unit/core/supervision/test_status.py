"""Numbers of a status: whole, degraded, stalled; alive, suspect, dead."""

from __future__ import annotations

from dataclasses import replace

from becket.core.ring.members import MemberCount, MemberState
from becket.core.supervision.snapshot import Seen, Wished
from becket.core.supervision.status import Liveness, cluster_view, liveness_of, member_views
from tests.unit.core.supervision.scenes import RING, seen_of, snapshot, without


def test_all_is_well() -> None:
    view = cluster_view(snapshot())
    assert (view.partitions, view.whole, view.degraded, view.stalled) == (16, 16, 0, 0)
    assert (view.wished_members, view.alive_members) == (5, 5)
    assert view.sentences == ()


def test_one_silent_member_degrades_and_two_stall() -> None:
    one = cluster_view(snapshot(seen=without(snapshot().seen, "m-4")))
    held = len(RING.partitions_by_disk["disk-4"])
    assert (one.whole, one.degraded, one.stalled) == (16 - held, held, 0)
    two = cluster_view(snapshot(seen=without(snapshot().seen, "m-4", "m-3")))
    both = sum({"disk-3", "disk-4"} <= config.old_set for config in RING.configs)
    assert two.stalled == both
    assert two.whole + two.degraded + two.stalled == 16
    assert two.sentences[0] == f"{both} of 16 partitions have no majority"


def test_a_lagging_replica_or_an_old_report_is_not_whole() -> None:
    seen = list(seen_of(RING))
    first = seen[0].coordinates
    seen[0] = replace(
        seen[0],
        coordinates=(replace(first[0], lagging=("disk-1",)), replace(first[1], gen=0), *first[2:]),
    )
    view = cluster_view(snapshot(seen=tuple(seen)))
    assert (view.whole, view.degraded) == (14, 2)
    assert view.sentences == ("2 of 16 partitions lack a replica that is level",)


def test_changes_under_way_are_told_whoever_began_them() -> None:
    ring = RING.with_configs({3: RING.configs[3].begin(("disk-3", "disk-4", "disk-1"))})
    view = cluster_view(snapshot(ring, seen=tuple(seen_of(ring))))
    assert view.whole == 16
    assert view.sentences == ("1 of 16 partitions are changing their replicas",)


def test_without_a_ring_there_is_nothing_to_count() -> None:
    shot = replace(snapshot(None), wished=(Wished("m-0"),), seen=(Seen("m-0", "disk-0"),))
    view = cluster_view(shot)
    assert (view.partitions, view.wished_members, view.alive_members) == (0, 1, 1)
    assert view.sentences == ("there is no ring",)
    assert [each.member.name for each in member_views(shot)] == ["m-0"]


def test_the_wish_in_the_ring_counts_before_the_places() -> None:
    ring = replace(RING, member_count=MemberCount(wished=7))
    view = cluster_view(snapshot(ring))
    assert view.wished_members == 7
    assert view.sentences == ("7 members are wished for, there are places for 5",)


def test_liveness_is_what_the_observers_say() -> None:
    seen = list(snapshot().seen)
    seen[0] = replace(seen[0], suspects=frozenset({"disk-1"}))
    some = snapshot(seen=tuple(seen))
    assert liveness_of("disk-1", some, RING) is Liveness.SUSPECT
    assert liveness_of("disk-2", some, RING) is Liveness.ALIVE
    silent = snapshot(seen=without(snapshot().seen, "m-1"))
    assert liveness_of("disk-1", silent, RING) is Liveness.DEAD
    # The others hear it, only the supervisor does not.
    apart = [replace(s, is_connected=s.name != "m-1") for s in snapshot().seen]
    assert liveness_of("disk-1", snapshot(seen=tuple(apart)), RING) is Liveness.ALIVE


def test_without_observers_it_is_what_the_supervisor_hears() -> None:
    nobody = snapshot(seen=())
    assert liveness_of("disk-1", nobody, RING) is Liveness.DEAD
    alone = snapshot(seen=tuple(s for s in snapshot().seen if s.name == "m-1"))
    assert liveness_of("disk-1", alone, RING) is Liveness.ALIVE


def test_members_of_the_ring_and_those_who_wait_to_join() -> None:
    waiting = Seen("m-5", "disk-5")
    shot = snapshot(wished=(*snapshot().wished, Wished("m-5")), seen=(*seen_of(RING), waiting))
    views = {view.member.name: view for view in member_views(shot)}
    assert sorted(views) == ["m-0", "m-1", "m-2", "m-3", "m-4", "m-5"]
    assert views["m-5"].partitions == 0
    assert sum(view.coordinating for view in views.values()) == 16
    assert sum(view.partitions for view in views.values()) == 48


def test_who_is_given_up_is_not_counted_as_alive() -> None:
    table = [replace(m, state=MemberState.GONE) if m.name == "m-4" else m for m in RING.members]
    assert cluster_view(snapshot(RING.with_members(table))).alive_members == 4
