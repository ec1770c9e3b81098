"""Damage on members' disks: what status and events tell of it, and which disk may be given up.

A damaged cell is mended by coordinators (R8, R35). Damaged files are not: nobody can say which keys
were in them. Their disk is given up for an empty one, which is then filled like that of any lost
disk (R7); before that it must be certain that nobody needs it. Must not act on that itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from becket.core.ring.ring import Ring
from becket.core.supervision.saying import Said, Topic
from becket.core.supervision.snapshot import Seen, Snapshot
from becket.core.supervision.wholeness import Wholeness


@dataclass(frozen=True)
class Damages:
    """What is to be said, and the member whose disk may be given up now, if any."""

    said: tuple[Said, ...]
    give_up: Seen | None = None


def damages(ring: Ring, snapshot: Snapshot, whole: Wholeness, *, is_frozen: bool) -> Damages:
    """One sentence for each member that has found damage; an event when there is more.

    One disk at a time, in order of name: while it is being given up nobody else may be, as those
    that share a partition with it are not whole without it.
    """
    members = sorted(snapshot.connected, key=lambda seen: seen.name)
    said = [_said(seen) for seen in members if seen.damaged_cells]
    chosen: Seen | None = None
    for seen in members:
        if not seen.unreadable:
            continue
        held = ring.partitions_by_disk.get(seen.disk, ())
        needed = sum(whole.needs(partition, seen.disk) for partition in held)
        may_go = not needed and not is_frozen and chosen is None and seen.disk in ring.by_disk
        if may_go:
            chosen = seen
        said.append(_unreadable(seen, needed, may_go=may_go))
    return Damages(tuple(said), chosen)


def _unreadable(seen: Seen, needed: int, *, may_go: bool) -> Said:
    head = f"{seen.name}: files of its disk do not read ({seen.unreadable})"
    if may_go:
        sentence = f"{head}; it is given up for an empty one, as the others hold all of it"
    elif needed:
        sentence = (
            f"{head}; it is given up for an empty one when the others hold all of it and are"
            f" majorities without it, which {needed} of its partitions lack"
        )
    else:
        sentence = f"{head}; it is given up for an empty one when nothing else is in the way"
    key = f"unreadable {seen.disk} {'goes' if may_go else 'waits'}"
    return Said(Topic.MEMBER, sentence, seen.name, key=key, is_warning=True)


def _said(seen: Seen) -> Said:
    found, mended = seen.damaged_cells, seen.mended_cells
    cells = "1 damaged cell was" if found == 1 else f"{found} damaged cells were"
    head = f"{seen.name}: {cells} found on its disk"
    if mended < found:
        sentence = f"{head}, {mended} mended so far from other replicas"
        return Said(
            Topic.MEMBER, sentence, seen.name, key=f"damage {seen.disk} {found}", is_warning=True
        )
    sentence = f"{head} and mended from other replicas; look at the disk if there are more"
    return Said(Topic.MEMBER, sentence, seen.name, key=f"mended {seen.disk} {found}")
