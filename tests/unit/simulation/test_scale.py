"""The paper clusters: detection is quick and quiet at any size."""

from __future__ import annotations

import pytest

from becket.core.placement.result import Constraints
from becket.core.plans.recovery import first_ring
from tests.simulation.scale import beats, members, plan_cost, take_over


@pytest.mark.parametrize("size", [10, 20])
def test_a_death_is_known_within_half_a_second_and_nobody_is_slandered(size: int) -> None:
    measured = beats(size, deaths=3)
    assert measured.false_alarms == 0
    assert measured.max_ms < 500
    assert measured.per_member == (9 * 10 if size == 10 else 5 * 10)


def test_a_take_over_costs_envelopes_by_pair_and_a_join_no_more_than_it_must() -> None:
    ring = first_ring("paper", members(9), 256, Constraints(3))
    cost = take_over(ring)
    assert cost.envelopes <= cost.partitions
    assert cost.successors <= 8
    _, moved, fewest = plan_cost(ring, members(9))
    assert moved == fewest
