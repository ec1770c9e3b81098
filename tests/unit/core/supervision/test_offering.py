"""Who is told of the ring, and of which changes by themselves."""

from __future__ import annotations

from dataclasses import replace

from becket.core.supervision.offering import Offer, offers
from becket.core.supervision.snapshot import Seen
from tests.unit.core.supervision.scenes import RING, seen_of, snapshot

CHANGED = RING.with_configs({3: RING.configs[3].begin(("disk-3", "disk-4", "disk-1"))})
LATER = CHANGED.succeeding(RING)


def test_nobody_is_told_what_it_knows() -> None:
    assert offers(RING, snapshot()) == ()


def test_everybody_is_told_of_a_new_ring_and_the_coordinator_of_its_change() -> None:
    found = offers(LATER, snapshot(LATER, seen=tuple(seen_of(RING))))
    assert found == (
        Offer("m-0", ()),
        Offer("m-1", ()),
        Offer("m-2", ()),
        Offer("m-3", (3,)),
        Offer("m-4", ()),
    )


def test_a_new_disk_is_told_once_the_ring_names_it() -> None:
    seen = tuple(replace(s, cluster="", ring_version=0) for s in seen_of(RING))
    stranger = Seen("m-5", "disk-5")
    assert len(offers(RING, snapshot(seen=(*seen, stranger)))) == 5


def test_other_clusters_and_silent_processes_are_not_told() -> None:
    foreign = tuple(replace(s, cluster="other") for s in seen_of(RING))
    assert offers(LATER, snapshot(seen=foreign)) == ()
    silent = tuple(replace(s, is_connected=False) for s in seen_of(RING))
    assert offers(LATER, snapshot(seen=silent)) == ()
