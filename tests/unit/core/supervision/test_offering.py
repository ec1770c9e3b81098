"""Who is told of the ring, when, and of which changes by themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from becket.core.ring.members import Member
from becket.core.ring.ring import Ring
from becket.core.supervision.offering import LATER_US, Offer, Offering
from becket.core.supervision.snapshot import Seen
from tests.unit.core.supervision.scenes import RING, seen_of, snapshot

CHANGED = RING.with_configs({3: RING.configs[3].begin(("disk-3", "disk-4", "disk-1"))})
LATER = CHANGED.succeeding(RING)
AT_US = snapshot().now_us


def offered(
    offering: Offering, ring: Ring, seen: Iterable[Seen], at_us: int = AT_US
) -> tuple[Offer, ...]:
    """What is offered when members are seen so."""
    return offering.offers(ring, snapshot(ring, seen=tuple(seen), now_us=at_us))


def knowing() -> Offering:
    """One that everybody has been told the first ring by."""
    offering = Offering()
    assert offered(offering, RING, seen_of(RING)) == ()
    return offering


def test_who_holds_a_partition_that_changes_is_told_at_once_and_its_coordinator_of_the_change() -> (
    None
):
    assert RING.configs[3].old == ("disk-3", "disk-4", "disk-0")
    assert offered(knowing(), LATER, seen_of(RING)) == (
        Offer("m-0", ()),
        Offer("m-1", ()),
        Offer("m-3", (3,)),
        Offer("m-4", ()),
    )


def test_the_others_are_told_a_little_later_and_of_several_rings_once() -> None:
    offering = knowing()
    behind = [s for s in seen_of(RING) if s.name == "m-2"]
    assert offered(offering, LATER, behind) == ()
    again = LATER.with_configs({8: RING.configs[8].begin(("disk-3", "disk-4", "disk-1"))})
    newer = again.succeeding(LATER)
    assert offered(offering, newer, behind, AT_US + LATER_US - 1) == ()
    assert offered(offering, newer, behind, AT_US + LATER_US) == (Offer("m-2", ()),)
    assert offered(offering, newer, [replace(s, ring_version=newer.version) for s in behind]) == ()


def test_who_is_late_for_a_change_of_its_own_is_told_with_the_next_ring_too() -> None:
    offering = knowing()
    late = [s for s in seen_of(RING) if s.name == "m-1"]
    assert offered(offering, LATER, late) == (Offer("m-1", ()),)
    done = LATER.with_configs({}).succeeding(LATER)
    assert offered(offering, done, late) == (Offer("m-1", ()),), "it still does not know the first"


def test_other_members_are_news_for_everybody() -> None:
    joined = replace(RING, members=(*RING.members, Member("disk-9", "m-9", "z", "n")))
    assert len(offered(knowing(), joined.succeeding(RING), seen_of(RING))) == 5


def test_a_supervisor_that_begins_tells_everybody_who_is_behind() -> None:
    assert len(offered(Offering(), LATER, seen_of(RING))) == 5


def test_a_new_disk_is_told_once_the_ring_names_it() -> None:
    seen = [replace(s, cluster="", ring_version=0) for s in seen_of(RING)]
    assert len(offered(Offering(), RING, [*seen, Seen("m-5", "disk-5")])) == 5


def test_other_clusters_and_silent_processes_are_not_told() -> None:
    assert offered(Offering(), LATER, [replace(s, cluster="other") for s in seen_of(RING)]) == ()
    silent = [replace(s, is_connected=False) for s in seen_of(RING)]
    assert offered(Offering(), LATER, silent) == ()
