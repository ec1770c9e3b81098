"""Gaps and percentiles."""

from __future__ import annotations

import pytest

from becket.core.histories.gaps import longest_gap_us, percentile


@pytest.mark.parametrize(
    ("successes", "gap"),
    [
        ([90, 100, 110, 150, 160, 200], 40),
        ([90, 180, 190, 200, 210], 90),
        ([], 100),
        ([90], 110),
        ([150], 50),
        ([90, 101, 300], 199),
        ([10, 20, 90, 100, 200, 900], 100),
    ],
)
def test_longest_gap_around_a_fault_from_100_to_200(successes: list[int], gap: int) -> None:
    assert longest_gap_us(successes, 100, 200) == gap


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, 0),
        ([7], 0.99, 7),
        ([3, 1, 2], 0.5, 2),
        (list(range(1, 101)), 0.99, 99),
        ([1, 2], 1, 2),
    ],
)
def test_percentile_is_a_value_that_occurred(
    values: list[int], share: float, expected: int
) -> None:
    assert percentile(values, share) == expected
