"""From the present and the wished replicas to single moves, each with its cause.

Owns the pairing of a newcomer with the member whose place it takes, and the causes. Must not
choose replicas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from becket.core.placement.result import Cause, Move
from becket.core.placement.shares import Layout
from becket.core.ring.config import Disk
from becket.core.ring.members import Member, MemberState


def moves_between(
    present: Sequence[tuple[Disk, ...]],
    wished: Sequence[tuple[Disk, ...]],
    known: Mapping[Disk, Member],
    where: Layout,
) -> tuple[Move, ...]:
    """One move for each copy that has to be made, in order of partition."""
    moves = []
    for partition, (old, new) in enumerate(zip(present, wished, strict=True)):
        go = sorted(
            (disk for disk in old if disk not in new), key=lambda disk: _urgency(known[disk])
        )
        for disk in new:
            if disk not in old:
                source = _partner(disk, go, known)
                if source is not None:
                    go.remove(source)
                cause = _cause([known[other] for other in old], known.get(source or ""), where)
                moves.append(Move(partition, source, disk, cause))
    return tuple(moves)


def _urgency(member: Member) -> tuple[bool, bool]:
    return member.state is not MemberState.GONE, member.may_hold


def _partner(disk: Disk, go: Sequence[Disk], known: Mapping[Disk, Member]) -> Disk | None:
    """Whose place a newcomer takes: of those that go, one of its own zone if there is one."""
    zone = known[disk].zone
    return next((other for other in go if known[other].zone == zone), go[0] if go else None)


def _cause(old: Sequence[Member], source: Member | None, where: Layout) -> Cause:
    if source is None:
        return Cause.COPIES
    if source.state is MemberState.GONE:
        left = sum(member.state is not MemberState.GONE for member in old)
        # A bare majority is left, or less: one more loss stops the partition's writes.
        return Cause.QUORUM if left <= len(old) // 2 + 1 else Cause.COPIES
    if not source.may_hold:
        return Cause.DRAIN
    stay = [member for member in old if member.may_hold]
    in_zone = sum(member.zone == source.zone for member in stay)
    on_node = sum(
        member.zone == source.zone and member.node == source.node for member in stay if source.node
    )
    crowded = in_zone > where.zone_limit or on_node > where.node_limit
    return Cause.ZONES if crowded else Cause.BALANCE
