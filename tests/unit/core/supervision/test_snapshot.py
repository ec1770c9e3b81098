"""How a snapshot is read."""

from __future__ import annotations

from dataclasses import replace

from becket.core.replication.versions import Epoch
from becket.core.supervision.snapshot import Coordinated, Seen
from tests.unit.core.supervision.scenes import RING, snapshot, without


def test_who_is_silent_is_no_observer_even_while_its_stream_is_open() -> None:
    shot = snapshot()
    paused = tuple(
        each if each.name == "m-4" else replace(each, suspects=frozenset({"disk-4"}))
        for each in shot.seen
    )
    assert sorted(snapshot(seen=paused).observers(RING)) == ["disk-0", "disk-1", "disk-2", "disk-3"]
    assert len(shot.observers(RING)) == 5


def test_an_observer_that_some_do_not_hear_still_counts() -> None:
    seen = list(snapshot().seen)
    seen[0] = replace(seen[0], suspects=frozenset({"disk-1"}))
    assert len(snapshot(seen=tuple(seen)).observers(RING)) == 5


def test_processes_that_are_not_in_the_ring_observe_nothing() -> None:
    stranger = Seen("x", "disk-x", suspects=frozenset(RING.by_disk))
    assert "disk-x" not in snapshot(seen=(*snapshot().seen, stranger)).observers(RING)


def test_the_coordinator_is_the_one_of_the_highest_epoch() -> None:
    seen = list(snapshot().seen)
    later = Coordinated(0, 1, Epoch(9, "disk-2", 1))
    seen[2] = replace(seen[2], coordinates=(*seen[2].coordinates, later))
    assert snapshot(seen=tuple(seen)).coordinators[0] == later
    silent = without(tuple(seen), "m-2")
    assert snapshot(seen=silent).coordinators[0].epoch.disk == "disk-0"


def test_of_two_reports_of_one_disk_the_connected_one_counts() -> None:
    old = Seen("a", "disk-0", pid=1, is_connected=False, at_us=9)
    new = Seen("b", "disk-0", pid=2, at_us=5)
    assert snapshot(seen=(new, old)).by_disk["disk-0"].pid == 2


def test_the_foreground_is_the_mean_of_all_by_their_operations() -> None:
    first, second, *rest = snapshot().seen
    spread = (
        replace(first, p99_us=1000, operations=30),
        replace(second, p99_us=4000, operations=15),
        *rest,
    )
    assert snapshot(seen=spread).foreground(45) == (2000, 45)
    assert snapshot(seen=spread).foreground(46) is None
