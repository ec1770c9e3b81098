"""A member's load: what it says when it is busy, and what when it has nothing to do."""

from __future__ import annotations

from typing import Any

import pytest

from becket.storage.load import LoadMeasure


class FakeCalls:
    """The figures of a member's calls."""

    in_flight = 0
    served = 0
    latency_s = 0.004


def test_rates_follow_and_the_wait_for_the_loop_counts() -> None:
    calls: Any = FakeCalls()
    measure = LoadMeasure(calls, lambda: 0.010)
    begun, used = measure._at, measure._cpu_s
    for second in range(1, 31):
        calls.served += 200
        measure._measure(begun + second, used + 0.5 * second)
    figures = measure.look()
    assert figures.rate == pytest.approx(200, rel=0.01)
    assert figures.cpu == pytest.approx(0.5, rel=0.01)
    assert figures.latency_s == pytest.approx(0.014)


def test_who_has_nothing_to_do_does_not_tell_of_what_was_slow_once() -> None:
    calls: Any = FakeCalls()
    measure = LoadMeasure(calls, lambda: 0.001)
    begun = measure._at
    calls.served = 10
    measure._measure(begun + 1, 0.0)
    assert measure.look().latency_s == pytest.approx(0.005)
    measure._measure(begun + 2, 0.0)
    assert measure.look().latency_s == pytest.approx(0.001)
    calls.in_flight = 1  # one that never ends is no idleness
    measure._measure(begun + 3, 0.0)
    assert measure.look().latency_s == pytest.approx(0.005)
