"""Limits, fair shares and whole targets."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becket.core.placement.shares import (
    Group,
    fair_shares,
    groups,
    layout,
    whole_targets,
)
from becket.core.ring.members import Member


def members(*places: str) -> list[Member]:
    """Members from texts such as ``"z1/n1"`` or ``"z1/n1*200"``."""
    found = []
    for i, text in enumerate(places):
        where, _, weight = text.partition("*")
        zone, _, node = where.partition("/")
        found.append(Member(f"d{i}", f"m-{i}", zone, node, int(weight or 100)))
    return found


@pytest.mark.parametrize(
    ("places", "replicas", "zone_limit", "node_limit"),
    [
        (("a/1", "b/2", "c/3"), 3, 1, 1),
        (("a/1", "a/2", "b/3", "b/4"), 3, 2, 1),
        (("a/1", "b/2", "b/3", "b/4"), 3, 2, 1),
        (("a/1", "b/2", "b/3", "b/4"), 4, 3, 1),
        (("a/1", "a/2", "a/3"), 3, 3, 1),
        (("a/1", "a/1", "a/2", "a/2"), 3, 3, 2),
        (("a/1", "a/1", "a/2", "a/3"), 3, 3, 1),
        (("a/1", "a/1", "b/2", "b/3", "b/4"), 4, 2, 2),
        (("/", "/", "/"), 3, 3, 1),
        (("a/1",), 1, 1, 1),
    ],
)
def test_limits_are_the_smallest_that_leave_room(
    places: tuple[str, ...], replicas: int, zone_limit: int, node_limit: int
) -> None:
    where = layout(members(*places), replicas, zones=True, nodes=True)
    assert (where.zone_limit, where.node_limit) == (zone_limit, node_limit)


def test_a_rule_that_is_off_limits_nothing() -> None:
    placed = members("a/1", "b/1", "c/2")
    where = layout(placed, 2, zones=False, nodes=False)
    assert (where.zone_limit, where.node_limit) == (2, 2)
    assert groups(where, 8) == (Group((0, 1, 2), 16),)


def test_a_node_name_in_two_zones_is_two_nodes() -> None:
    assert layout(members("a/1", "b/1"), 2, zones=True, nodes=True).node == (0, 1)


@pytest.mark.parametrize(
    ("places", "shares"),
    [
        (("a/1", "a/2", "a/3", "a/4"), (9, 9, 9, 9)),
        (("a/1*200", "a/2", "a/3", "a/4"), (12, 8, 8, 8)),
        (("a/1*1000", "a/2", "a/3", "a/4"), (12, 8, 8, 8)),
        (("a/1", "b/2", "c/3", "c/4"), (12, 12, 6, 6)),
        (("a/1", "b/2", "c/3", "c/4*200"), (12, 12, 4, 8)),
        (("a/1", "a/1", "a/2", "a/3"), (6, 6, 12, 12)),
    ],
)
def test_shares_fill_like_water(places: tuple[str, ...], shares: tuple[int, ...]) -> None:
    where = layout(members(*places), 3, zones=True, nodes=True)
    assert fair_shares(where, 12, 3) == shares


def test_what_stays_is_rounded_so_that_it_may_stay() -> None:
    third = Fraction(4, 3)
    assert whole_targets([third, third, third], [1, 1, 2], []) == (1, 1, 2)
    assert whole_targets([third, third, third], [2, 1, 1], []) == (2, 1, 1)
    assert whole_targets([third, third, third], [0, 0, 0], []) == (2, 1, 1)


def test_rounding_up_respects_a_full_node() -> None:
    half = Fraction(1, 2)
    targets = whole_targets([half] * 4, [1, 1, 0, 0], [Group((0, 1), 1)])
    assert targets == (1, 0, 1, 0)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(1, 400)), min_size=1),
    st.integers(1, 5),
    st.integers(0, 6),
)
def test_shares_and_targets_fit_the_caps(
    where_and_weight: list[tuple[int, int, int]], replicas: int, bits: int
) -> None:
    placed = members(*(f"z{z}/{n}*{weight}" for z, n, weight in where_and_weight))
    replicas = min(replicas, len(placed))
    where = layout(placed, replicas, zones=True, nodes=True)
    shares = fair_shares(where, 2**bits, replicas)
    caps = groups(where, 2**bits)
    targets = whole_targets(shares, [0] * len(placed), caps)
    assert sum(shares) == sum(targets) == 2**bits * replicas
    for share, target in zip(shares, targets, strict=True):
        assert share <= 2**bits
        assert abs(target - share) < 1
    for cap in caps:
        assert sum(shares[i] for i in cap.places) <= cap.cap
        assert sum(targets[i] for i in cap.places) <= cap.cap
