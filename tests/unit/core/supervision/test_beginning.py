"""How a ring object comes to be, from a snapshot (R1)."""

from __future__ import annotations

from dataclasses import replace

from becket.core.placement.result import Constraints
from becket.core.plans.wishes import Install
from becket.core.supervision.beginning import NewCluster, begin
from becket.core.supervision.snapshot import Seen, Snapshot, Wished
from tests.unit.core.supervision.scenes import RING, seen_of, snapshot

NEW = NewCluster("fresh-1", 16, Constraints(3))
NEWER = replace(RING, version=4)


def fresh(count: int, *, heard: int) -> Snapshot:
    """A cluster to be: ``count`` places, of which ``heard`` answer with new disks."""
    wished = tuple(Wished(f"m-{i}", "z", f"n-{i}", 50 + i) for i in range(count))
    seen = tuple(Seen(f"m-{i}", f"disk-{i}") for i in range(heard))
    return Snapshot(now_us=1, found=None, wished=wished, seen=seen)


def held(ring_version: int, **changes: object) -> tuple[Seen, ...]:
    return tuple(replace(s, ring_version=ring_version, **changes) for s in seen_of(RING))  # type: ignore[arg-type]


def test_an_object_as_new_as_any_ring_is_settled() -> None:
    assert begin(snapshot(), NEW).is_settled
    assert begin(snapshot(seen=held(0)), NEW).is_settled


def test_the_first_ring_has_the_places_of_the_directory() -> None:
    beginning = begin(fresh(3, heard=3), NEW)
    assert not beginning.is_settled
    assert isinstance(beginning.wish, Install)
    ring = beginning.wish.ring
    assert (ring.cluster, ring.version, ring.partitions) == ("fresh-1", 1, 16)
    assert [(m.name, m.disk, m.weight) for m in ring.members] == [
        ("m-0", "disk-0", 50),
        ("m-1", "disk-1", 51),
        ("m-2", "disk-2", 52),
    ]


def test_the_first_ring_waits_for_every_place() -> None:
    beginning = begin(fresh(3, heard=2), NEW)
    assert beginning.wish is None
    assert beginning.said[0].sentence == "the first ring waits for m-2"
    nobody = begin(fresh(0, heard=0), NEW)
    assert nobody.wish is None


def test_a_report_of_a_process_that_has_gone_does_not_count() -> None:
    shot = fresh(3, heard=3)
    gone = (*shot.seen[:2], replace(shot.seen[2], is_connected=False))
    assert begin(replace(shot, seen=gone), NEW).wish is None


def test_counts_that_cannot_be_are_told() -> None:
    beginning = begin(fresh(2, heard=2), NEW)
    assert beginning.wish is None
    assert "no first ring is possible: replicas" in beginning.said[0].sentence


def test_rings_are_asked_for_before_one_is_restored() -> None:
    beginning = begin(snapshot(None, seen=held(4), confirmed=None), NEW)
    assert beginning.wish is None
    names = "m-0, m-1, m-2, m-3, m-4"
    assert beginning.said[0].sentence == f"the rings that {names} hold are asked for"


def test_the_highest_ring_is_restored_where_the_object_is_gone_or_old() -> None:
    for found in (None, RING):
        shot = replace(snapshot(None), found=found, seen=held(4, ring=NEWER))
        beginning = begin(shot, NEW)
        assert isinstance(beginning.wish, Install)
        assert beginning.wish == Install(NEWER, None if found is None else 1)


def test_what_was_confirmed_is_restored_even_if_no_member_has_it_yet() -> None:
    shot = snapshot(None, seen=held(1, ring=RING), confirmed=NEWER)
    assert begin(shot, NEW).wish == Install(NEWER, None)


def test_restoring_waits_for_every_member_unless_one_is_declared_gone() -> None:
    shot = snapshot(None, seen=held(4, ring=NEWER)[:4], confirmed=None)
    waiting = begin(shot, NEW)
    assert waiting.wish is None
    assert "missing: m-4 (disk-4)" in waiting.said[0].sentence
    declared = replace(shot, declared_gone=frozenset({"disk-4"}))
    assert begin(declared, NEW).wish == Install(NEWER, None)


def test_rings_of_other_clusters_do_not_make_the_object_old() -> None:
    stranger = Seen("x", "disk-x", cluster="other", ring_version=99)
    assert begin(snapshot(seen=(*seen_of(RING), stranger)), NEW).is_settled
