"""From a step's present replicas to its wished ones, one newcomer at a time.

Owns the replica sets in between. Must not remember anything: they follow from the step and from
what the ring says of its members. Invariant: at most one replica of a partition moves at a time, so
a partition never has more than one member that is being filled, and a change that is broken off
anywhere leaves replicas of which all but one were there before.
"""

from __future__ import annotations

from becket.core.plans.plan import Step
from becket.core.ring.config import Disk
from becket.core.ring.members import MemberState
from becket.core.ring.ring import Ring


def path(ring: Ring, step: Step) -> tuple[tuple[Disk, ...], ...]:
    """The replica sets after ``step.present``, up to ``step.wished``; each brings one newcomer.

    Who is gone is replaced first, then who is to be emptied; a newcomer of the same zone takes the
    place where there is one. The coordinator changes once at most.
    """
    newcomers = [*step.newcomers]
    leaving = sorted(
        (disk for disk in step.present if disk not in step.wished),
        key=lambda disk: _urgency(ring, disk),
    )
    held, found = step.present, []
    while len(newcomers) > 1:
        go = leaving.pop(0) if leaving else None
        come = _of_zone(ring, newcomers, go)
        newcomers.remove(come)
        stay = [disk for disk in held if disk != go]
        held = _standing(held[0], step.wished[0], [*stay, come])
        found.append(held)
    return (*found, step.wished)


def next_replicas(ring: Ring, step: Step, held: tuple[Disk, ...]) -> tuple[Disk, ...]:
    """What follows ``held``: ``step.present`` in any order, or a set of the path but the last."""
    ways = path(ring, step)
    is_start = sorted(held) == sorted(step.present)
    return ways[0] if is_start else ways[ways.index(held) + 1]


def _urgency(ring: Ring, disk: Disk) -> tuple[bool, bool]:
    member = ring.by_disk.get(disk)
    if member is None:
        return False, False
    return member.state is not MemberState.GONE, member.may_hold


def _of_zone(ring: Ring, newcomers: list[Disk], go: Disk | None) -> Disk:
    table = ring.by_disk
    if go is not None and go in table:
        for disk in newcomers:
            if disk in table and table[disk].zone == table[go].zone:
                return disk
    return newcomers[0]


def _standing(before: Disk, after: Disk, disks: list[Disk]) -> tuple[Disk, ...]:
    """These, the coordinator that was first; where it goes, the one that is to be."""
    first = next((disk for disk in (before, after) if disk in disks), disks[0])
    return (first, *(disk for disk in disks if disk != first))
