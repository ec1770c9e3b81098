"""The paper clusters: detection is quick and quiet at any size, and a join moves the least."""

from __future__ import annotations

import pytest

from becket.core.placement.result import Constraints
from becket.core.plans.recovery import first_ring
from tests.simulation.scale import PARTITIONS, detection, members_of, rows, take_over


@pytest.mark.parametrize("size", [10, 20])
def test_a_death_is_seen_within_half_a_second_and_nobody_is_slandered(size: int) -> None:
    seen = detection(size, trials=3, seed=1)
    assert (seen.missed, seen.false_alarms) == (0, 0)
    assert len(seen.times_us) == 3 * (size - 1)
    assert seen.at(1) < 500
    assert seen.beats == 10 * size * (size - 1 if size == 10 else 5)


def test_a_take_over_costs_at_most_one_prepare_a_pair() -> None:
    over = take_over(first_ring("paper", members_of(9), 256, Constraints(3)))
    assert over.bulk < over.singly == over.partitions == 256 / 9
    assert over.members <= 6


def test_the_table_has_a_column_for_each_size() -> None:
    table = {row[0]: row[1:] for row in rows([5], runs=1)}
    assert table[""] == ("5 members",)
    moved, fewest = table["copies a join moves / fewest possible"][0].split(" / ")
    assert moved == fewest
    assert int(moved) < PARTITIONS
