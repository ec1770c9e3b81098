"""A placement in plain sentences.

Owns the wording. Must not decide anything. The same sentences go to plans, status, logs and tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from becket.core.placement.result import Cause, Placement
from becket.core.ring.config import Disk
from becket.core.ring.members import Member, MemberState
from becket.core.ring.ring import Ring

SHOWN = 8
"""How many partitions, or members, one sentence names."""


def explain(
    placement: Placement,
    present: Sequence[tuple[Disk, ...]],
    members: Sequence[Member],
    ring: Ring | None,
) -> tuple[str, ...]:
    """What the placement does and why, the members' changes first, a summary last."""
    known = {member.disk: member for member in members}
    lines = []
    for member in members:
        lines += _member(member, placement, known, ring)
    lines += _limits(placement, present, known)
    lines += _whole(placement, members)
    lines.append(_summary(placement))
    return tuple(lines)


def _member(
    member: Member, placement: Placement, known: dict[Disk, Member], ring: Ring | None
) -> list[str]:
    takes = Counter(m.source for m in placement.moves if m.to == member.disk and m.source)
    gives = Counter(m.to for m in placement.moves if m.source == member.disk)
    took = sum(m.to == member.disk for m in placement.moves)
    gave = sum(gives.values())
    earlier = None if ring is None else ring.by_disk.get(member.disk)
    if ring is not None and earlier is None and member.may_hold:
        head = f"{member.name} joins with weight {member.weight}"
        return [f"{head}: takes {took} copies{_spread('from', takes, known)}"]
    if not member.may_hold:
        if not gave:
            return []
        word = "is gone" if member.state is MemberState.GONE else "is to be emptied"
        return [f"{member.name} {word}: {gave} copies are made anew{_spread('on', gives, known)}"]
    if earlier is not None and earlier.weight != member.weight:
        head = f"{member.name}: weight {earlier.weight} becomes {member.weight}"
        return [f"{head}: takes {took} copies, gives {gave}"]
    return []


def _spread(word: str, counts: Counter[Disk], known: dict[Disk, Member]) -> str:
    """As in ", 31 from each of a, b and c" or ", 1 to 2 from each of 49 members"."""
    named = dict(counts)
    if not named:
        return ""
    low, high = min(named.values()), max(named.values())
    amount = str(low) if low == high else f"{low} to {high}"
    names = sorted(known[disk].name for disk in named)
    whom = _listed(names) if len(names) <= SHOWN else f"{len(names)} members"
    return f", {amount} {word} {whom if len(names) == 1 else 'each of ' + whom}"


def _listed(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _limits(
    placement: Placement, present: Sequence[tuple[Disk, ...]], known: dict[Disk, Member]
) -> list[str]:
    lines = []
    moves = [m for m in placement.moves if m.cause is Cause.ZONES and m.source is not None]
    for move in moves[:SHOWN]:
        if move.source is None:
            continue
        source, to = known[move.source], known[move.to]
        mates = sum(known[d].zone == source.zone for d in present[move.partition])
        what = f"zone {source.zone}" if mates > placement.zone_limit else f"node {source.node}"
        lines.append(
            f"partition {move.partition}: moves from {source.name} to {to.name} because {what}"
            " held more copies than it must"
        )
    if len(moves) > SHOWN:
        lines.append(f"{len(moves) - SHOWN} more partitions move for the same reason")
    return lines


def _whole(placement: Placement, members: Sequence[Member]) -> list[str]:
    """Which members cannot carry by weight, because one copy a partition is the most."""
    partitions, holders = len(placement.replicas), [m for m in members if m.may_hold]
    full = [m.name for m in holders if placement.share[m.disk] >= partitions]
    if not full or len(full) == len(holders):
        return []
    named = _listed(full) if len(full) <= SHOWN else f"{len(full)} members"
    verb = "holds" if len(full) == 1 else "hold"
    return [f"{named} {verb} a copy of every partition, more is not possible"]


def _summary(placement: Placement) -> str:
    counts = placement.counts.values()
    low, high = min(counts), max(counts)
    each = str(low) if low == high else f"{low} to {high}"
    return (
        f"{len(placement.moves)} copies are made, the fewest possible is {placement.bound};"
        f" {len(placement.coordinator_moves)} partitions get another first replica;"
        f" members then carry {each} copies each"
    )
