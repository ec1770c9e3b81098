"""The bound is true for any prices, and zero prices already say what is missing."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from becket.core.placement.bound import lower_bound
from becket.core.placement.planner import place
from becket.core.placement.result import Constraints
from becket.core.placement.shares import Layout, fair_shares, layout
from tests.properties.placement_checks import cluster, first

FLAT = Layout((1,) * 4, (0, 1, 2, 3), (0, 0, 0, 0), 1, 3)


def test_missing_copies_must_be_made() -> None:
    shares = [Fraction(3, 2)] * 4
    assert lower_bound(FLAT, [[0, 1, 2], [0, 1]], shares, [0] * 4) == 1


def test_a_price_shows_what_a_member_must_gain() -> None:
    shares = [Fraction(3, 2)] * 4
    present = [[0, 1, 2], [0, 1, 2]]
    assert lower_bound(FLAT, present, shares, [0] * 4) == 0
    assert lower_bound(FLAT, present, shares, [0, 0, 0, -1]) == 1


def test_a_full_zone_costs_a_copy() -> None:
    where = Layout((1, 1, 1), (0, 1, 2), (0, 0, 1), 1, 1)
    shares = [Fraction(1, 2), Fraction(1, 2), Fraction(1)]
    assert lower_bound(where, [[0, 1]], shares, [0] * 3) == 1


@given(st.lists(st.integers(-2, 2), min_size=8, max_size=8), st.integers(1, 3))
def test_no_prices_prove_more_than_is_needed(prices: list[int], zones: int) -> None:
    members = cluster(7, zones)
    ring = first(16, members)
    after = cluster(8, zones)
    placement = place(ring, after, Constraints(3))
    where = layout(after, 3, zones=True, nodes=True)
    index = {member.disk: i for i, member in enumerate(after)}
    before = [[index[disk] for disk in config.old] for config in ring.configs]
    proven = lower_bound(where, before, fair_shares(where, 16, 3), prices)
    assert proven <= placement.bound == len(placement.moves)
