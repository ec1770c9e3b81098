"""How many copies each member should hold.

Owns the limits by zone and node, the fair shares, and the whole numbers near them. Must not know
which partition lies where. Everything is exact (fractions of whole weights), so that a sequence of
changes cannot drift.

Theory: each partition has ``replicas`` copies, at most one a member, ``node_limit`` a node and
``zone_limit`` a zone; the limits are the smallest that leave room for all copies, zones first.
Shares fill like water: all members rise in proportion to their weight; a member that holds every
partition, or whose node or zone is full, rises no further, and the others share the rest. For
*any* whole numbers that respect these caps an assignment exists: spread each member's copies evenly
over all partitions, and no partition breaks a limit; flows that fit in fractions fit in whole
numbers, because the limits nest (member in node in zone). So the choice between the two whole
numbers around a share is free, and is made so that the fewest copies move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from becket.core.ring.members import Member


@dataclass(frozen=True)
class Group:
    """Members that may hold only so many copies together: one node, or one zone."""

    places: tuple[int, ...]
    cap: int


@dataclass(frozen=True)
class Layout:
    """The members that may hold copies, as places ``0 .. len - 1``, and their limits.

    ``node[i]`` and ``zone[i]`` number the node and zone of place ``i``; ``node_limit`` and
    ``zone_limit`` are the most copies of one partition on one of them.
    """

    weights: tuple[int, ...]
    node: tuple[int, ...]
    zone: tuple[int, ...]
    node_limit: int
    zone_limit: int


def layout(members: Sequence[Member], replicas: int, *, zones: bool, nodes: bool) -> Layout:
    """Number the nodes and zones of ``members`` and find the smallest limits.

    A member without a node is alone on one; members without a zone are in one zone. A node name in
    two zones is two nodes. ``zones`` and ``nodes`` switch the rule off (limit = ``replicas``).
    There must be at least ``replicas`` members.
    """
    zone_names = [member.zone if zones else "" for member in members]
    node_names = [
        (zone, member.node or member.disk, "" if member.node else "alone")
        for zone, member in zip(zone_names, members, strict=True)
    ]
    zone_number = {name: i for i, name in enumerate(dict.fromkeys(zone_names))}
    node_number = {name: i for i, name in enumerate(dict.fromkeys(node_names))}
    in_zone = [zone_names.count(name) for name in zone_number]
    zone_limit = next(n for n in range(1, replicas + 1) if _room(in_zone, n) >= replicas)
    node_limit = replicas
    if nodes:
        node_limit = _node_limit(node_names, list(zone_number), zone_limit, replicas)
    return Layout(
        weights=tuple(member.weight for member in members),
        node=tuple(node_number[name] for name in node_names),
        zone=tuple(zone_number[name] for name in zone_names),
        node_limit=node_limit,
        zone_limit=zone_limit,
    )


def _room(sizes: Sequence[int], limit: int) -> int:
    return sum(min(limit, size) for size in sizes)


def _node_limit(
    node_names: list[tuple[str, str, str]], zones: list[str], zone_limit: int, replicas: int
) -> int:
    sizes = {name: node_names.count(name) for name in node_names}
    limit = 1
    while limit < replicas:
        rooms = [_room([n for name, n in sizes.items() if name[0] == z], limit) for z in zones]
        if _room(rooms, zone_limit) >= replicas:
            break
        limit += 1
    return limit


def groups(where: Layout, partitions: int) -> tuple[Group, ...]:
    """The caps that bind several members together."""
    found = []
    for numbers, limit in ((where.node, where.node_limit), (where.zone, where.zone_limit)):
        for number in dict.fromkeys(numbers):
            places = tuple(i for i, n in enumerate(numbers) if n == number)
            if len(places) > limit:
                found.append(Group(places, partitions * limit))
    return tuple(found)


def fair_shares(where: Layout, partitions: int, replicas: int) -> tuple[Fraction, ...]:
    """Each place's share of all copies, by weight, within the caps; their sum is exact."""
    count = len(where.weights)
    shares = [Fraction(0)] * count
    rising = set(range(count))
    caps = [Group((i,), partitions) for i in range(count)]
    caps += groups(where, partitions)
    left = Fraction(partitions * replicas)
    while left > 0 and rising:
        step = left / sum(where.weights[i] for i in rising)
        for cap in caps:
            weight = sum(where.weights[i] for i in cap.places if i in rising)
            if weight:
                step = min(
                    step, (cap.cap - sum((shares[i] for i in cap.places), Fraction(0))) / weight
                )
        for i in rising:
            shares[i] += step * where.weights[i]
            left -= step * where.weights[i]
        full = [cap for cap in caps if sum(shares[i] for i in cap.places) >= cap.cap]
        rising.difference_update(i for cap in full for i in cap.places)
    return tuple(shares)


def whole_targets(
    shares: Sequence[Fraction], kept: Sequence[int], caps: Sequence[Group]
) -> tuple[int, ...]:
    """Whole numbers, each the floor or the ceiling of its share, that cost the fewest arrivals.

    Going up from the floor costs an arrival, except for a member that already keeps so many: those
    go up first. Sets that can go up together under nested caps form a matroid, so taking them
    greedily in order of preference is exact, and all that must go up can.
    """
    targets = [share.numerator // share.denominator for share in shares]
    extra = int(sum(shares)) - sum(targets)
    order = sorted(
        (i for i, share in enumerate(shares) if share > targets[i]),
        key=lambda i: (kept[i] <= targets[i], targets[i] - shares[i], i),
    )
    for i in order:
        if not extra:
            break
        binding = [cap for cap in caps if i in cap.places]
        if all(sum(targets[j] for j in cap.places) < cap.cap for cap in binding):
            targets[i] += 1
            extra -= 1
    return tuple(targets)
