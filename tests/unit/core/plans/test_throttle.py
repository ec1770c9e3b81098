"""Budgets rise by one an interval, are halved when the foreground suffers, and never end a plan."""

from __future__ import annotations

from dataclasses import replace

import pytest

from becket.core.errors import InvalidInputError
from becket.core.plans.throttle import Foreground, Steady, Throttle, ThrottleSettings

SETTINGS = ThrottleSettings(interval_ms=500, settle_ms=1000, first=4, least_percent=25)
LIMIT_US = 10_000
FAST, SLOW = Foreground(9_000, 1000), Foreground(10_001, 1000)

TABLE = (
    # at (ms), what is felt, the budget after it
    (0, FAST, 4.0),
    (999, FAST, 4.0),  # what its beginning changed cannot be seen yet
    (1000, FAST, 5.0),
    (1900, FAST, 5.0),
    (2000, FAST, 6.0),
    (2100, SLOW, 3.0),
    (2600, SLOW, 3.0),  # what the halving changed cannot be seen yet
    (3500, FAST, 3.0),  # and after it was slow that time has to pass
    (3600, FAST, 4.0),
    (3700, SLOW, 2.0),
    (4700, SLOW, 1.0),
    (5700, SLOW, 0.5),
    (6700, SLOW, 0.25),
    (7700, SLOW, 0.25),  # the least
    (8200, FAST, 0.5),  # below one it doubles each interval
    (8700, FAST, 1.0),
    (9200, FAST, 1.0),
    (9700, FAST, 2.0),
    (9750, None, 8.0),  # nobody calls: all that the limits allow
    (9800, FAST, 4.0),  # somebody does: from the first budget on
    (10799, FAST, 4.0),
    (10800, FAST, 5.0),
    (11800, FAST, 6.0),
    (12800, FAST, 7.0),
    (13800, FAST, 8.0),
    (14800, FAST, 8.0),  # the most
)


def test_the_budget_over_time() -> None:
    throttle = Throttle(SETTINGS, 8)
    assert throttle.budget == 8.0
    for at_ms, felt, budget in TABLE:
        throttle.note(at_ms * 1000, felt, LIMIT_US)
        assert (at_ms, throttle.budget) == (at_ms, budget)
    assert throttle.halvings == 5
    last = throttle.last_halving
    assert last is not None
    assert (last.p99_us, last.limit_us) == (SLOW.p99_us, LIMIT_US)
    assert last.at_us == 6_700_000, "at the least it is halved no more"


STRAINED = (
    # at (ms), what is felt, whether members are strained, the budget after it
    (0, None, False, 8.0),
    (100, None, True, 4.0),
    (600, None, True, 4.0),  # what the halving changed cannot be seen yet
    (1100, None, True, 2.0),
    (2000, None, False, 2.0),
    (2100, None, False, 3.0),  # nobody calls, but it was too much: step by step
    (3100, FAST, False, 4.0),
    (3200, FAST, True, 2.0),
    (4200, None, False, 3.0),
    (5200, None, False, 4.0),
    (6200, None, False, 5.0),
    (7200, None, False, 6.0),
    (8200, None, False, 7.0),
    (9200, None, False, 8.0),
    (9300, None, True, 4.0),
)


def test_members_that_have_too_much_to_do_halve_the_budget_too() -> None:
    throttle = Throttle(SETTINGS, 8)
    for at_ms, felt, is_strained, budget in STRAINED:
        throttle.note(at_ms * 1000, felt, LIMIT_US, is_strained=is_strained)
        assert (at_ms, throttle.budget) == (at_ms, budget)
    last = throttle.last_halving
    assert last is not None
    assert last.p99_us < last.limit_us
    assert throttle.halvings == 4


@pytest.mark.parametrize(
    ("budget", "pause_ms", "room"), [(0.5, 1000, 1), (0.25, 2000, 1), (2.5, 200, 2), (8, 62, 8)]
)
def test_as_many_begin_in_an_interval_as_the_budget_says(
    budget: float, pause_ms: int, room: int
) -> None:
    throttle = Throttle(SETTINGS, 9)
    throttle.note(0, FAST, LIMIT_US)
    throttle.budget = budget
    assert throttle.room() == room
    assert throttle.begins(0) == 1
    throttle.begun(0)
    assert throttle.begins(pause_ms * 1000 - 1) == 0
    assert throttle.begins(pause_ms * 1000 + 1000) == 1


def test_without_foreground_everything_may_begin_at_once() -> None:
    throttle = Throttle(SETTINGS, 8)
    throttle.note(0, None, LIMIT_US)
    throttle.begun(0)
    assert (throttle.room(), throttle.begins(0)) == (8, 8)
    throttle.note(0, None, LIMIT_US, is_strained=True)
    throttle.begun(0)
    assert (throttle.room(), throttle.begins(0)) == (4, 0)


def test_the_limit_follows_from_what_was_steady_while_nothing_moved() -> None:
    steady = Steady(replace(SETTINGS, p99_percent=125, p99_floor_ms=2, p99_unknown_ms=50))
    assert steady.limit_us == 50_000
    steady.note(0, None, is_calm=True)
    assert steady.limit_us == 50_000, "who is silent tells nothing"
    steady.note(0, Foreground(8_000, 100), is_calm=True)
    assert steady.limit_us == 10_000
    steady.note(499_000, Foreground(80_000, 100), is_calm=True)
    assert steady.limit_us == 10_000, "one look each half second"
    steady.note(500_000, Foreground(10_000, 100), is_calm=True)
    assert steady.p99_us == 9_000
    for at_ms in range(1000, 5000, 100):
        steady.note(at_ms * 1000, Foreground(80_000, 100), is_calm=False)
    steady.note(5_000_000, Foreground(80_000, 100), is_calm=True)
    assert steady.p99_us == 9_000, "what was disturbed is still in the reports"
    steady.note(5_900_000, Foreground(9_000, 100), is_calm=True)
    assert steady.p99_us == 9_000
    calm = Steady(replace(SETTINGS, p99_floor_ms=2))
    calm.note(0, Foreground(300, 100), is_calm=True)
    assert calm.limit_us == 2_000, "nobody minds less than that"


def test_a_p99_that_wanders_by_itself_may_wander_as_far_during_a_plan() -> None:
    steady = Steady(SETTINGS)
    for number in range(100):
        felt = Foreground(5_000 if number % 2 else 15_000, 100)
        steady.note(number * 500_000, felt, is_calm=True)
    assert steady.p99_us is not None
    assert 9_000 <= steady.p99_us <= 11_000
    assert 4_500 <= steady.deviation_us <= 6_500
    assert steady.limit_us == steady.p99_us + 2 * steady.deviation_us
    # Once it is steady again, so is the limit.
    for number in range(100, 160):
        steady.note(number * 500_000, Foreground(10_000, 100), is_calm=True)
    assert steady.p99_us is not None
    assert steady.limit_us == steady.p99_us * 110 // 100


def test_a_load_that_has_ended_is_forgotten_while_something_moves() -> None:
    steady = Steady(SETTINGS)
    for number in range(20):
        steady.note(number * 500_000, Foreground(40_000, 100), is_calm=True)
    assert steady.limit_us == 44_000
    for number in range(20, 60):
        # As long as chance could do it, or as it was for a moment only, nothing is learnt.
        felt = 21_000 if number < 40 or number == 45 else 19_000
        steady.note(number * 500_000, Foreground(felt, 100), is_calm=False)
        assert (steady.p99_us == 19_000) == (number >= 51), number
    assert steady.limit_us == 20_900
    # Nor is it ever learnt that more may be felt.
    for number in range(60, 100):
        steady.note(number * 500_000, Foreground(80_000, 100), is_calm=False)
    assert steady.limit_us == 20_900


def test_who_begins_amid_a_plan_learns_what_is_at_least_steady() -> None:
    steady = Steady(replace(SETTINGS, p99_unknown_ms=50))
    for number in range(20):
        assert steady.limit_us == 50_000
        steady.note(number * 500_000, Foreground(6_000, 100), is_calm=False)
    assert steady.limit_us == 6_600
    slow = Steady(replace(SETTINGS, p99_unknown_ms=50))
    for number in range(20):
        slow.note(number * 500_000, Foreground(45_000, 100), is_calm=False)
    assert slow.limit_us == 50_000


def test_a_limit_that_was_set_is_the_limit() -> None:
    steady = Steady(replace(SETTINGS, p99_limit_ms=7))
    steady.note(0, Foreground(90_000, 100), is_calm=True)
    assert steady.limit_us == 7_000


@pytest.mark.parametrize(
    "field",
    [
        *("interval_ms", "settle_ms", "first", "least_percent", "p99_limit_ms"),
        *("p99_percent", "p99_floor_ms", "p99_unknown_ms", "least_operations"),
    ],
)
@pytest.mark.parametrize("value", [-1, 1_000_001])
def test_settings_out_of_their_limits(field: str, value: int) -> None:
    with pytest.raises(InvalidInputError, match="must be in") as caught:
        replace(SETTINGS, **{field: value})
    assert caught.value.field == field
