"""From the present replicas and the members wished for to a placement.

Owns the order of the work. Pure: the same input gives the same placement. It starts from what is
there, so what it is not forced to move stays.

1. Copies on members that may hold none are dropped; so are those above a limit of zone, node or
   replica count, from the member with most to spare.
2. Whole targets are chosen near the fair shares (``shares``).
3. Vacancies are filled, then surplus is moved to where copies lack (``exchange``).
4. The first replicas are spread (``coordinators``), and the result is explained (``sentences``).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from becket.core.errors import BugError, InvalidRingError
from becket.core.hashing import check_partition_count
from becket.core.placement.bound import lower_bound
from becket.core.placement.coordinators import spread_coordinators
from becket.core.placement.exchange import fill, settle, shift
from becket.core.placement.holding import Holding
from becket.core.placement.moves import moves_between
from becket.core.placement.result import Constraints, Placement
from becket.core.placement.sentences import explain
from becket.core.placement.shares import (
    Group,
    Layout,
    fair_shares,
    groups,
    layout,
    whole_targets,
)
from becket.core.ring.config import Disk
from becket.core.ring.members import Member, MemberState, in_order
from becket.core.ring.ring import Ring
from becket.core.ring.validation import check_replica_count

Present = Sequence[tuple[Disk, ...]]
"""The replicas of each partition, in their order; empty tuples where there are none yet."""


def place(ring: Ring, members: Sequence[Member], constraints: Constraints) -> Placement:
    """Where the copies of ``ring`` should be, given these members.

    A change under way counts as done (``Config.target``). Members of the ring that are missing
    from ``members``, or may hold nothing (draining, gone), end without copies.

    :raises InvalidRingError: the replica count is impossible with the members that may hold
        copies; ``field`` is ``replicas``.
    """
    given = {member.disk: member for member in members}
    left = [
        replace(member, state=MemberState.DRAINING)
        for member in ring.members
        if member.disk not in given
    ]
    return _place([config.target for config in ring.configs], [*members, *left], constraints, ring)


def place_first(partitions: int, members: Sequence[Member], constraints: Constraints) -> Placement:
    """The placement of a new cluster.

    :raises InvalidInputError: an impossible partition count or replica count.
    """
    check_partition_count(partitions)
    return _place([()] * partitions, members, constraints, None)


@dataclass(frozen=True)
class _Problem:
    """The present copies by place: ``held`` what may stay, ``original`` what was there."""

    holders: tuple[Member, ...]
    where: Layout
    shares: tuple[Fraction, ...]
    caps: tuple[Group, ...]
    before: list[list[int]]
    kept: list[list[int]]


def _place(
    present: Present, members: Sequence[Member], constraints: Constraints, ring: Ring | None
) -> Placement:
    known = {member.disk: member for member in in_order(members)}
    problem = _problem(present, tuple(known.values()), constraints)
    targets = whole_targets(problem.shares, _counts(problem.kept, problem), problem.caps)
    index = {member.disk: i for i, member in enumerate(problem.holders)}
    first = [index.get(disks[0]) if disks else None for disks in present]
    placed, prices = _assign(problem, targets, constraints.replicas, first)
    changing = _bits(p for p, old in enumerate(problem.before) if set(old) != set(placed[p]))
    coordinators = spread_coordinators(problem.where, placed, first, changing)
    replicas = tuple(
        _in_standing_order(problem, present[p], places, coordinators[p])
        for p, places in enumerate(placed)
    )
    moves = moves_between(present, replicas, known, problem.where)
    placement = Placement(
        replicas=replicas,
        moves=moves,
        coordinator_moves=tuple(
            p
            for p, (old, new) in enumerate(zip(present, replicas, strict=True))
            if old and old[0] != new[0]
        ),
        dropped=sum(len(set(old) - set(new)) for old, new in zip(present, replicas, strict=True))
        - sum(move.source is not None for move in moves),
        share={m.disk: float(s) for m, s in zip(problem.holders, problem.shares, strict=True)},
        zone_limit=problem.where.zone_limit,
        node_limit=problem.where.node_limit,
        bound=lower_bound(problem.where, problem.before, problem.shares, prices),
        sentences=(),
    )
    return replace(placement, sentences=explain(placement, present, tuple(known.values()), ring))


def _problem(present: Present, members: tuple[Member, ...], rules: Constraints) -> _Problem:
    holders = tuple(member for member in members if member.may_hold)
    check_replica_count(rules.replicas, len(holders))
    where = layout(holders, rules.replicas, zones=rules.zones, nodes=rules.nodes)
    shares = fair_shares(where, len(present), rules.replicas)
    index = {member.disk: i for i, member in enumerate(holders)}
    known = {member.disk for member in members}
    for partition, disks in enumerate(present):
        for disk in disks:
            if disk not in known:
                raise InvalidRingError(f"configs[{partition}]", f"{disk} is not a member")
    before = [[index[disk] for disk in disks if disk in index] for disks in present]
    kept = _within_limits(before, where, shares, rules.replicas)
    return _Problem(holders, where, shares, groups(where, len(present)), before, kept)


def _within_limits(
    before: list[list[int]], where: Layout, shares: Sequence[Fraction], replicas: int
) -> list[list[int]]:
    """What stays of each partition when the fewest copies above a limit are dropped."""
    counts = Counter(place for places in before for place in places)
    kept = []
    for places in before:
        stay = list(places)
        # Nodes before zones before the count: a copy dropped for the inner limit serves the outer.
        for numbers, limit in (
            (where.node, where.node_limit),
            (where.zone, where.zone_limit),
            ((0,) * len(where.zone), replicas),
        ):
            for number in dict.fromkeys(numbers[place] for place in stay):
                group = [place for place in stay if numbers[place] == number]
                for _ in range(len(group) - limit):
                    worst = max(group, key=lambda i: (counts[i] - shares[i], i))
                    group.remove(worst)
                    stay.remove(worst)
                    counts[worst] -= 1
        kept.append(stay)
    return kept


def _counts(held: Sequence[Sequence[int]], problem: _Problem) -> list[int]:
    counts = [0] * len(problem.holders)
    for places in held:
        for place in places:
            counts[place] += 1
    return counts


def _bits(partitions: Iterable[int]) -> int:
    mask = 0
    for partition in partitions:
        mask |= 1 << partition
    return mask


def _assign(
    problem: _Problem, targets: Sequence[int], replicas: int, first: Sequence[int | None]
) -> tuple[list[list[int]], list[int]]:
    everything = (1 << len(problem.kept)) - 1
    original, standing = [0] * len(targets), [0] * len(targets)
    for partition, places in enumerate(problem.before):
        for place in places:
            original[place] |= 1 << partition
        leader = first[partition]
        if leader is not None:
            standing[leader] |= 1 << partition
    game = Holding(
        problem.where,
        problem.kept,
        replicas,
        original=original,
        allowed=[everything] * len(targets),
        reluctant=standing,
    )
    counts = _counts(problem.kept, problem)
    room = [max(0, t - n) for t, n in zip(targets, counts, strict=True)]
    surplus = [max(0, n - t) for t, n in zip(targets, counts, strict=True)]
    if fill(game, room) or shift(game, surplus, room):
        raise BugError(f"placement: no way to {targets} from {counts} under {problem.where}")
    floor = [int(share) for share in problem.shares]
    prices = settle(game, floor, [math.ceil(share) for share in problem.shares])
    return game.holders, prices


def _in_standing_order(
    problem: _Problem, present: tuple[Disk, ...], places: Sequence[int], first: int
) -> tuple[Disk, ...]:
    """The coordinator first, then those that stay in their order, then newcomers."""
    disks = [problem.holders[place].disk for place in places]
    leader = problem.holders[first].disk
    stay = [disk for disk in present if disk in disks and disk != leader]
    come = sorted(disk for disk in disks if disk not in present and disk != leader)
    return (leader, *stay, *come)
