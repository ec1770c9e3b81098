"""The planner's promises: single changes, long sequences, odd clusters, and the true minimum."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from becket.core.errors import InvalidInputError, InvalidRingError
from becket.core.placement.planner import place, place_first
from becket.core.placement.result import Constraints
from becket.core.ring.members import Member, MemberState, in_order
from becket.core.ring.ring import Ring
from tests.properties.placement_checks import change, check, cluster, first, reweighted
from tests.properties.placement_grid import walk


@pytest.mark.parametrize("zones", [1, 2, 3, 5])
def test_every_single_change_moves_the_least_and_ends_even(zones: int) -> None:
    """A thin part of the grid; ``python -m tests.properties.placement_grid`` walks all of it."""
    for worst in walk((3, 4, 5, 6, 7, 9, 12, 16, 25, 34, 50), 256, zones, every=11).values():
        assert worst.ratio <= 1.01
        assert worst.above == 0
        assert worst.off < 1


@pytest.mark.parametrize("zones", [1, 3])
def test_shares_of_a_hundred_copies_and_more_are_even_within_one_percent(zones: int) -> None:
    members = cluster(27, zones)
    ring = first(1024, members)
    for after in (members[1:], (*members, Member("new", "m-99", "z0", "n99"))):
        _, verdict = change(ring, after)
        assert verdict.balance <= 1.01


@pytest.mark.parametrize("seed", range(6))
def test_a_hundred_changes_do_not_drift(seed: int) -> None:
    """Balance, limits and minimal moves hold after each of a random sequence of changes."""
    rng = random.Random(seed)
    zones, nodes = ((1, None), (3, None), (2, None), (4, None), (3, 9), (1, 5))[seed]
    members = list(cluster(6, zones, nodes))
    ring = first(256, members)
    for number in range(100):
        kind = rng.choice(("join", "join", "leave", "leave", "weight", "drain"))
        index = rng.randrange(len(members))
        if kind == "join" and len(members) < 20:
            node = f"n{rng.randrange(nodes)}" if nodes else f"n{number}"
            zone = f"z{int(node[1:]) % zones}"
            members.append(Member(f"x{number}", f"m-{100 + number}", zone, node))
        elif kind == "weight":
            members[index] = replace(members[index], weight=rng.choice((50, 100, 150, 300)))
        elif sum(member.may_hold for member in members) > 3:
            if kind == "drain":
                members[index] = replace(members[index], state=MemberState.DRAINING)
            else:
                del members[index]
        ring, verdict = change(ring, members)
        assert verdict.ratio <= 1.01, (number, kind, verdict)


def test_nothing_changed_moves_nothing() -> None:
    for zones in (1, 2, 3):
        members = cluster(7, zones)
        ring = first(256, members)
        again = place(ring, members, Constraints(3))
        assert again.moves == ()
        assert again.coordinator_moves == ()
        assert again.replicas == tuple(config.old for config in ring.configs)


def test_a_member_that_joins_and_leaves_costs_its_share_twice() -> None:
    members = cluster(9)
    ring = first(256, members)
    grown, there = change(ring, (*members, Member("new", "m-99", "z0", "n99")))
    _, back = change(grown, members)
    assert there.moved == back.moved in (76, 77)


def test_replicas_do_not_wrap_onto_one_member_in_small_rings() -> None:
    for count in (1, 2, 3, 4):
        for replicas in range(1, count + 1):
            ring = first(16, cluster(count), replicas)
            assert all(len(config.old_set) == replicas for config in ring.configs)


@pytest.mark.parametrize(("replicas", "count"), [(3, 2), (1, 0), (0, 3), (16, 20)])
def test_an_impossible_replica_count_is_refused(replicas: int, count: int) -> None:
    with pytest.raises(InvalidRingError) as caught:
        place_first(16, cluster(count), Constraints(replicas))
    assert caught.value.field == "replicas"


def test_draining_too_many_is_refused_and_nothing_is_planned() -> None:
    members = cluster(4)
    ring = first(16, members)
    drained = [replace(m, state=MemberState.DRAINING) for m in members[:2]]
    with pytest.raises(InvalidRingError, match="need as many members, there are 2"):
        place(ring, [*drained, *members[2:]], Constraints(3))


def test_an_impossible_partition_count_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="power of two"):
        place_first(100, cluster(3), Constraints(3))


def test_a_disk_that_nobody_knows_is_named() -> None:
    ring = first(16, cluster(4))
    broken = ring.with_members(ring.members[1:])
    with pytest.raises(InvalidRingError, match="d0 is not a member") as caught:
        place(broken, ring.members[1:], Constraints(3))
    assert caught.value.field.startswith("configs[")


@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), (1, 1, 4), (2, 5), (1, 7), (1, 1), (2, 3, 9), (1, 2, 3, 4)]
)
def test_unequal_zones_are_as_even_as_they_can_be(sizes: tuple[int, ...]) -> None:
    members = in_order(
        Member(f"d{z}-{i}", f"m-{z}{i}", f"z{z}", f"n{z}-{i}")
        for z, size in enumerate(sizes)
        for i in range(size)
    )
    ring = first(64, members, min(3, len(members)))
    for index in range(len(members)):
        if len(members) > 3:
            _, verdict = change(ring, (*members[:index], *members[index + 1 :]))
            assert verdict.ratio <= 1.01
    _, verdict = change(ring, (*members, Member("new", "m-new", "z9", "n-new")))
    assert verdict.ratio <= 1.01


def test_two_zones_hold_at_most_two_of_three() -> None:
    ring = first(64, cluster(6, zones=2))
    zone = {member.disk: member.zone for member in ring.members}
    for config in ring.configs:
        assert len({zone[disk] for disk in config.old}) == 2


def test_a_node_with_two_members_holds_one_copy() -> None:
    ring = first(64, cluster(8, nodes=4))
    node = {member.disk: member.node for member in ring.members}
    for config in ring.configs:
        assert len({node[disk] for disk in config.old}) == 3


def test_zones_that_appear_are_used() -> None:
    flat = cluster(6)
    ring = first(64, flat)
    zoned = [replace(m, zone=f"z{i % 3}") for i, m in enumerate(flat)]
    placement = place(ring, zoned, Constraints(3))
    verdict = check(ring, zoned, placement, Constraints(3))
    assert verdict.ratio <= 1.01
    assert any("because zone z" in sentence for sentence in placement.sentences)
    off = place(ring, zoned, Constraints(3, zones=False))
    assert off.moves == ()


@pytest.mark.parametrize("replicas", [1, 2, 4, 5])
def test_another_replica_count_costs_only_the_difference(replicas: int) -> None:
    members = cluster(7, zones=3)
    ring = first(64, members)
    rules = Constraints(replicas)
    placement = place(ring, members, rules)
    check(ring, members, placement, rules)
    if replicas > 3:
        assert len(placement.moves) >= 64 * (replicas - 3)
    else:
        assert placement.dropped >= 64 * (3 - replicas)


def test_the_same_input_gives_the_same_placement() -> None:
    members = cluster(9, zones=3)
    ring = first(64, members)
    one, other = (
        place(ring, members[order], Constraints(3)) for order in (slice(1, None), slice(9, 0, -1))
    )
    assert one == other


@pytest.mark.parametrize(("count", "partitions"), [(4, 64), (6, 64), (12, 256), (20, 1024)])
def test_what_a_lost_member_leaves_is_spread_over_many(count: int, partitions: int) -> None:
    """A member's partitions share their other replicas with all others, about evenly."""
    ring = first(partitions, cluster(count))
    for member in ring.members:
        held = [ring.configs[p] for p in ring.partitions_by_disk[member.disk]]
        mates = [disk for config in held for disk in config.old if disk != member.disk]
        counts = [mates.count(other.disk) for other in ring.members if other != member]
        assert len(counts) == count - 1
        assert max(counts) <= 1.3 * sum(counts) / len(counts)
        assert min(counts) >= 0.7 * sum(counts) / len(counts)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_no_placement_moves_fewer_copies(seed: int) -> None:
    """All placements of tiny clusters are tried: the planner's is among the best."""
    rng = random.Random(seed)
    count, zones = rng.choice(((3, 1), (4, 1), (4, 2), (5, 2), (5, 3), (4, 3)))
    members = list(cluster(count, zones))
    ring: Ring = first(4, members, 2)
    index = rng.randrange(count)
    if rng.random() < 0.4 and count > 3:
        after = (*members[:index], *members[index + 1 :])
    elif rng.random() < 0.5 and count < 5:
        after = (*members, Member("new", "m-99", f"z{rng.randrange(zones + 1)}", "n99"))
    else:
        after = reweighted(members, index, rng.choice((10, 50, 200, 400)))
    placement = place(ring, after, Constraints(2))
    assert len(placement.moves) == fewest(ring, after, placement.share, placement.zone_limit)
    assert placement.bound == len(placement.moves)


def fewest(
    ring: Ring, members: tuple[Member, ...], share: dict[str, float], zone_limit: int
) -> int:
    """The fewest copies to be made, by trying everything."""
    zone = {member.disk: member.zone for member in members}
    pairs = [(a, b) for a, b in combinations(zone, 2) if zone_limit > 1 or zone[a] != zone[b]]
    best = 1 << 30
    for choice in product(pairs, repeat=ring.partitions):
        counts = dict.fromkeys(zone, 0)
        for pair in choice:
            for disk in pair:
                counts[disk] += 1
        if all(abs(counts[disk] - share[disk]) < 1 - 1e-9 for disk in zone):
            new = zip(ring.configs, choice, strict=True)
            best = min(best, sum(len(set(pair) - config.new_set) for config, pair in new))
    return best
