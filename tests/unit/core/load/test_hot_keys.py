"""Rates of hot keys: right from the first look on, and forgetting."""

from __future__ import annotations

import pytest

from becket.core.errors import InvalidInputError
from becket.core.load.hot_keys import LEAST_LOOK_US, SECOND_US, HotKeys


def steady(hot: HotKeys, start_us: int, seconds: int, rates: dict[bytes, int]) -> int:
    for second in range(1, seconds + 1):
        for key, rate in rates.items():
            hot.add(key, rate)
        hot.hottest(start_us + second * SECOND_US)
    return start_us + seconds * SECOND_US


def test_a_steady_rate_is_seen_at_once_and_stays() -> None:
    hot = HotKeys(0)
    for second in range(1, 20):
        hot.add(b"hot", 100)
        hot.add(b"cool", 3)
        hottest, cool = hot.hottest(second * SECOND_US)
        assert hottest.key == b"hot"
        assert hottest.reads_per_second == pytest.approx(100)
        assert cool.reads_per_second == pytest.approx(3)


@pytest.mark.parametrize("looks_per_second", [1, 7, 50])
def test_the_distance_of_looks_does_not_matter(looks_per_second: int) -> None:
    hot = HotKeys(0, memory_us=2 * SECOND_US)
    rate = 0.0
    for look in range(1, 10 * looks_per_second + 1):
        hot.add(b"hot", 350 / looks_per_second)
        rate = hot.hottest(look * SECOND_US // looks_per_second)[0].reads_per_second
    assert rate == pytest.approx(350, rel=0.01)


def test_what_has_cooled_is_forgotten() -> None:
    hot = HotKeys(0, memory_us=2 * SECOND_US)
    now = steady(hot, 0, 10, {b"old": 1000})
    steady(hot, now, 10, {b"new": 10})
    rates = {each.key: each.reads_per_second for each in hot.hottest(now + 11 * SECOND_US)}
    assert rates[b"old"] < 10
    assert rates[b"new"] > 5


def test_a_long_silence_leaves_nothing_to_speak_of() -> None:
    hot = HotKeys(0)
    now = steady(hot, 0, 3, {b"old": 1000})
    hot.hottest(now + 3600 * SECOND_US)
    assert hot.hottest(now + 3601 * SECOND_US)[0].reads_per_second < 1e-3


def test_looks_that_come_too_fast_repeat_the_last() -> None:
    hot = HotKeys(0)
    assert hot.hottest(0) == ()
    hot.add(b"k", 5)
    first = hot.hottest(SECOND_US)
    hot.add(b"k", 500)
    assert hot.hottest(SECOND_US + LEAST_LOOK_US - 1) == first


def test_the_error_is_what_may_be_too_much() -> None:
    hot = HotKeys(0, capacity=2)
    for key, count in ((b"a", 10), (b"b", 4), (b"c", 3)):
        hot.add(key, count)
    a, c = hot.hottest(SECOND_US)
    assert (a.key, a.reads_per_second, a.error_per_second) == (b"a", 10, 0)
    assert (c.key, c.reads_per_second, c.error_per_second) == (b"c", 7, 4)
    assert c.at_least == 3


def test_a_memory_must_be_positive() -> None:
    with pytest.raises(InvalidInputError, match="memory_us"):
        HotKeys(0, memory_us=0)
