"""What every placement must hold, checked without the planner's own arithmetic.

Floors and ceilings are tested against shares that are themselves checked for being a water level.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from becket.core.placement.planner import place, place_first
from becket.core.placement.result import Constraints, Placement
from becket.core.ring.config import first_config
from becket.core.ring.members import Member, in_order
from becket.core.ring.ring import Ring

LARGE = 50
"""The smallest share, in copies, for which a ratio is looked at."""


@dataclass(frozen=True)
class Verdict:
    """The figures of one change; ``ratio`` is moved copies / lower bound."""

    moved: int
    bound: int
    ratio: float
    balance: float
    """Largest copies / share over the members with a share of at least 50 copies: below that one
    copy more or less says nothing."""
    off: float
    """Largest distance of a member's copies from its share."""


def cluster(count: int, zones: int = 1, nodes: int | None = None) -> tuple[Member, ...]:
    """``count`` members dealt over zones, and over nodes (one each if not said otherwise)."""
    return in_order(
        Member(f"d{i}", f"m-{i}", f"z{i % zones}", f"n{i % nodes if nodes else i}")
        for i in range(count)
    )


def ring_with(members: Sequence[Member], placement: Placement, replicas: int) -> Ring:
    """The ring after ``placement`` was carried out."""
    configs = tuple(first_config(disks) for disks in placement.replicas)
    return Ring(1, "test", replicas, in_order(members), configs)


def first(partitions: int, members: Sequence[Member], replicas: int = 3) -> Ring:
    """The ring of a new cluster, checked."""
    placement = place_first(partitions, members, Constraints(replicas))
    check(None, members, placement, Constraints(replicas))
    return ring_with(members, placement, replicas)


def change(ring: Ring, members: Sequence[Member]) -> tuple[Ring, Verdict]:
    """Plan for these members, check the result, carry it out."""
    rules = Constraints(ring.replicas)
    placement = place(ring, members, rules)
    verdict = check(ring, members, placement, rules)
    return ring_with(members, placement, ring.replicas), verdict


def check(
    ring: Ring | None, members: Sequence[Member], placement: Placement, rules: Constraints
) -> Verdict:
    """Assert what a placement must hold and return its figures."""
    holders = {member.disk: member for member in members if member.may_hold}
    for disks in placement.replicas:
        assert len(disks) == len(set(disks)) == rules.replicas
        assert set(disks) <= holders.keys()
        spread(disks, holders, placement)
    _limits(list(holders.values()), placement, rules)
    _water_level(list(holders.values()), placement, rules)
    counts = placement.counts
    off = max(abs(counts[d] - placement.share[d]) for d in holders)
    assert off < 1, off
    coordinators = Counter(disks[0] for disks in placement.replicas)
    uneven = max(abs(coordinators[d] - counts[d] / rules.replicas) for d in holders)
    assert uneven < 1, uneven
    moved = _moved(ring, placement)
    assert moved == len(placement.moves)
    assert moved >= placement.bound
    ratio = moved / placement.bound if placement.bound else 1.0 + moved
    large = [d for d in holders if placement.share[d] >= LARGE]
    balance = max((counts[d] / placement.share[d] for d in large), default=1.0)
    return Verdict(moved, placement.bound, ratio, balance, off)


def spread(disks: Sequence[str], holders: dict[str, Member], placement: Placement) -> None:
    """No zone and no node holds more of a partition than its limit."""
    zones = Counter(holders[disk].zone for disk in disks)
    nodes = Counter((holders[d].zone, holders[d].node) for d in disks if holders[d].node)
    assert max(zones.values()) <= placement.zone_limit
    assert max(nodes.values(), default=1) <= placement.node_limit


def _limits(holders: list[Member], placement: Placement, rules: Constraints) -> None:
    """The limits are one while zones and nodes suffice, and even when zones are large enough."""
    zones = Counter(member.zone for member in holders)
    even = ceil(rules.replicas / len(zones))
    assert placement.zone_limit >= even
    if min(zones.values()) >= even:
        assert placement.zone_limit == even
    if len({(member.zone, member.node or member.disk) for member in holders}) == len(holders):
        assert placement.node_limit == 1


def _water_level(holders: list[Member], placement: Placement, rules: Constraints) -> None:
    """Shares add up, and one per weight is below another's only where a cap holds it down."""
    partitions, share = len(placement.replicas), placement.share
    assert abs(sum(share.values()) - partitions * rules.replicas) < 1e-6
    level = {m.disk: share[m.disk] / m.weight for m in holders}
    highest = max(level.values())
    for member in holders:
        if level[member.disk] > highest - 1e-9:
            continue
        mates = [m for m in holders if m.zone == member.zone]
        room = [m for m in mates if m.node == member.node and m.node]
        capped = share[member.disk] > partitions - 1e-6
        capped |= sum(share[m.disk] for m in mates) > partitions * placement.zone_limit - 1e-6
        capped |= sum(share[m.disk] for m in room) > partitions * placement.node_limit - 1e-6
        assert capped, member


def _moved(ring: Ring | None, placement: Placement) -> int:
    if ring is None:
        return sum(len(disks) for disks in placement.replicas)
    pairs = zip(ring.configs, placement.replicas, strict=True)
    return sum(len(set(disks) - config.new_set) for config, disks in pairs)


def reweighted(members: Sequence[Member], index: int, weight: int) -> tuple[Member, ...]:
    """The same members, one with another weight."""
    changed = list(members)
    changed[index] = replace(members[index], weight=weight)
    return tuple(changed)
