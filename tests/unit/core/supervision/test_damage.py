"""Damage: cells are told of; a disk is given up only where nobody needs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from becket.core.placement.result import Constraints
from becket.core.ring.ring import Ring
from becket.core.supervision.beginning import NewCluster
from becket.core.supervision.damage import Damages, damages
from becket.core.supervision.deciding import Decision, Supervision, SupervisionSettings
from becket.core.supervision.snapshot import Seen, Snapshot
from becket.core.supervision.wholeness import wholeness
from tests.unit.core.ring.rings import turning_ring
from tests.unit.core.supervision.scenes import RING, snapshot, without

WHY = "Corruption: block checksum mismatch"


def judged(shot: Snapshot, *, is_frozen: bool = False) -> Damages:
    """What the snapshot is judged to be."""
    ring = shot.found
    assert ring is not None
    return damages(ring, shot, wholeness(ring, shot), is_frozen=is_frozen)


def decided(shot: Snapshot) -> Decision:
    """What a supervisor makes of the snapshot."""
    new = NewCluster("fresh", 16, Constraints(3))
    return Supervision(SupervisionSettings(), new).decide(shot)


def changed(change: Callable[[Seen], Seen], *names: str, ring: Ring = RING) -> Snapshot:
    """All is well, but for the reports of these members."""
    shot = snapshot(ring)
    return replace(shot, seen=tuple(change(s) if s.name in names else s for s in shot.seen))


def unreadable(*names: str, ring: Ring = RING) -> Snapshot:
    """All is well, but for the disks of these members."""
    return changed(lambda seen: replace(seen, unreadable=WHY), *names, ring=ring)


def partitions_of(name: str) -> tuple[int, ...]:
    """What a member of the ring holds."""
    disk = next(member.disk for member in RING.members if member.name == name)
    return tuple(RING.partitions_by_disk[disk])


def test_damaged_cells_are_told_and_when_they_are_mended() -> None:
    shot = changed(lambda seen: replace(seen, damaged_cells=2, mended_cells=1), "m-1")
    (said,) = judged(shot).said
    assert said in decided(shot).said
    assert said.is_warning
    assert said.sentence == (
        "m-1: 2 damaged cells were found on its disk, 1 mended so far from other replicas"
    )
    (after,) = judged(changed(lambda s: replace(s, damaged_cells=2, mended_cells=2), "m-1")).said
    assert not after.is_warning
    assert after.identity != said.identity


def test_a_disk_that_nobody_needs_is_given_up() -> None:
    shot = unreadable("m-1")
    found = judged(shot)
    assert found.give_up is not None
    assert found.give_up.name == "m-1"
    assert decided(shot).give_up == found.give_up
    (said,) = found.said
    assert said.sentence == (
        f"m-1: files of its disk do not read ({WHY}); it is given up for an empty one, as the"
        " others hold all of it"
    )
    assert not judged(snapshot()).said


def test_one_disk_at_a_time_is_given_up() -> None:
    found = judged(unreadable("m-0", "m-1", "m-2"))
    assert found.give_up is not None
    assert found.give_up.name == "m-0"
    assert len(found.said) == 3
    gone = unreadable("m-0", "m-1", "m-2")
    after = judged(replace(gone, seen=without(gone.seen, "m-0")))
    assert after.give_up is None or not set(partitions_of("m-0")) & set(
        partitions_of(after.give_up.name)
    )


def test_a_disk_waits_for_others_that_lack_what_it_holds() -> None:
    disk = next(member.disk for member in RING.members if member.name == "m-1")
    shared = {
        other
        for partition in partitions_of("m-1")
        for other in RING.configs[partition].member_set - {disk}
    }
    lacking = min(shared)
    shot = unreadable("m-1")
    seen = tuple(
        replace(s, coordinates=tuple(replace(c, lagging=(lacking,)) for c in s.coordinates))
        for s in shot.seen
    )
    found = judged(replace(shot, seen=seen))
    assert found.give_up is None
    assert "majorities without it" in found.said[0].sentence


@pytest.mark.parametrize("silent", [m.name for m in RING.members if m.name != "m-1"])
def test_a_disk_waits_for_members_that_are_not_heard(silent: str) -> None:
    shot = unreadable("m-1")
    found = judged(replace(shot, seen=without(shot.seen, silent)))
    shares = set(partitions_of(silent)) & set(partitions_of("m-1"))
    assert (found.give_up is None) == bool(shares)


def test_nothing_is_given_up_while_changes_are_frozen_or_copies_are_made() -> None:
    assert judged(unreadable("m-1"), is_frozen=True).give_up is None
    disk = next(member.disk for member in RING.members if member.name == "m-1")
    partition = partitions_of("m-1")[0]
    config = RING.configs[partition]
    spare = next(m.disk for m in RING.members if m.disk not in config.member_set)
    leaves = next(each for each in config.old if each != disk)
    moving = tuple(spare if each == leaves else each for each in config.old)
    configs = list(RING.configs)
    configs[partition] = config.begin(moving)
    assert judged(unreadable("m-1", ring=replace(RING, configs=tuple(configs)))).give_up is None


@pytest.mark.parametrize("replicas", [1, 2])
def test_without_a_majority_beside_it_a_disk_is_kept(replicas: int) -> None:
    ring = turning_ring(count=5, partitions=16, replicas=replicas)
    found = judged(unreadable("m-1", ring=ring))
    assert found.give_up is None
    assert "majorities without it" in found.said[0].sentence


def test_a_disk_that_the_ring_does_not_know_is_not_given_up() -> None:
    shot = changed(lambda seen: replace(seen, disk="another", unreadable=WHY), "m-1")
    assert judged(shot).give_up is None
