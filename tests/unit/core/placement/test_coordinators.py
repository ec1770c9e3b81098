"""First replicas are spread evenly and few of them move."""

from __future__ import annotations

from collections import Counter

from becket.core.placement.coordinators import spread_coordinators
from becket.core.placement.planner import place
from becket.core.placement.result import Constraints
from becket.core.placement.shares import Layout
from tests.properties.placement_checks import cluster, first, reweighted

FLAT = Layout((1,) * 3, (0, 1, 2), (0, 0, 0), 1, 3)


def test_all_vacant_is_spread_evenly() -> None:
    chosen = spread_coordinators(FLAT, [[0, 1, 2]] * 9, [None] * 9, 0)
    assert Counter(chosen) == {0: 3, 1: 3, 2: 3}


def test_only_the_surplus_moves_and_first_where_a_change_is_made_anyway() -> None:
    now = [0, 0, 0, 0, 1, 2]
    chosen = spread_coordinators(FLAT, [[0, 1, 2]] * 6, now, 0b001010)
    assert Counter(chosen) == {0: 2, 1: 2, 2: 2}
    assert [p for p in range(6) if chosen[p] != now[p]] == [1, 3]


def test_one_that_no_longer_holds_the_partition_is_replaced() -> None:
    assert spread_coordinators(FLAT, [[1, 2]], [0], 0)[0] in (1, 2)


def test_a_join_moves_first_replicas_only_to_the_newcomer() -> None:
    members = cluster(9)
    ring = first(256, members)
    placement = place(ring, cluster(10), Constraints(3))
    moved = Counter(placement.replicas[p][0] for p in placement.coordinator_moves)
    assert moved["d9"] in (25, 26)
    assert sum(moved.values()) <= 2 * moved["d9"]


def test_a_heavy_member_coordinates_more() -> None:
    members = reweighted(cluster(6), 0, 200)
    ring = first(256, members)
    leads = Counter(config.old[0] for config in ring.configs)
    copies = Counter(disk for config in ring.configs for disk in config.old)
    for disk, count in copies.items():
        assert abs(leads[disk] - count / 3) < 1
