"""How long a plan takes: measured where that is known, assumed where it is not."""

from __future__ import annotations

from becket.core.supervision.rates import (
    ASSUMED_BYTES_PER_S,
    ASSUMED_STEPS_PER_S,
    LARGE_STEP_BYTES,
    SLICE_US,
    Rates,
)

MIB = 1 << 20


def test_before_anything_was_measured_it_is_assumed() -> None:
    rates = Rates()
    small = rates.expectation(100, 1000)
    assert small == (100 / ASSUMED_STEPS_PER_S, False)
    large = rates.expectation(10, 100 * LARGE_STEP_BYTES)
    assert large == (100 * LARGE_STEP_BYTES / ASSUMED_BYTES_PER_S, False)
    assert rates.expectation(0, 0) == (0.0, True)


def test_small_steps_tell_how_fast_partitions_change_and_nothing_of_bytes() -> None:
    rates = Rates()
    rates.note(0, "p", 0, 0)
    rates.note(SLICE_US, "p", 20, 2000)
    assert rates.steps_per_s == 10.0
    assert rates.bytes_per_s is None
    assert rates.expectation(50, 5000) == (5.0, True)
    assert not rates.expectation(1, 100 * MIB).is_measured


def test_large_steps_tell_the_rate_of_bytes() -> None:
    rates = Rates()
    rates.note(0, "p", 0, 0)
    rates.note(SLICE_US, "p", 4, 40 * MIB)
    assert rates.bytes_per_s == 20 * MIB
    rates.note(2 * SLICE_US, "p", 6, 60 * MIB)
    assert rates.bytes_per_s == 15 * MIB, "half of it is what was known"
    assert rates.expectation(3, 30 * MIB) == (2.0, True)


def test_a_slice_in_which_nothing_ended_goes_on() -> None:
    rates = Rates()
    rates.note(0, "p", 0, 0)
    rates.note(SLICE_US, "p", 0, 0)
    rates.note(2 * SLICE_US, "p", 8, 0)
    assert rates.steps_per_s == 2.0


def test_a_pause_is_not_counted_and_a_short_plan_is() -> None:
    rates = Rates()
    rates.note(0, "p", 0, 0)
    rates.rest(1_000_000, 10, 0)
    assert rates.steps_per_s == 10.0
    rates.rest(50_000_000, 10, 0)
    rates.note(60_000_000, "p", 10, 0)
    rates.note(60_000_000 + SLICE_US, "p", 30, 0)
    assert rates.steps_per_s == 10.0


def test_another_plan_begins_another_slice() -> None:
    rates = Rates()
    rates.note(0, "p", 50, 0)
    rates.note(SLICE_US, "q", 0, 0)
    rates.note(2 * SLICE_US, "q", 2, 0)
    assert rates.steps_per_s == 1.0
