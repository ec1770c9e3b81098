"""The sketch against exact counts, and its bounds."""

from __future__ import annotations

import random
from collections import Counter
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becket.core.errors import InvalidInputError
from becket.core.load.sketch import MAX_CAPACITY, SpaceSaving

KEYS = st.integers(0, 30).map(lambda number: b"key-%d" % number)
ADDED = st.lists(st.tuples(KEYS, st.integers(1, 9)), max_size=300)


def zipf(keys: int, draws: int, exponent: float = 0.99) -> list[bytes]:
    rng = random.Random(7)
    weights = list(accumulate((rank + 1) ** -exponent for rank in range(keys)))
    return [b"%d" % key for key in rng.choices(range(keys), cum_weights=weights, k=draws)]


@given(st.integers(1, 12), ADDED)
def test_no_count_is_too_small_and_the_error_bounds_the_excess(
    capacity: int, added: list[tuple[bytes, int]]
) -> None:
    sketch, exact = SpaceSaving(capacity), Counter[bytes]()
    for key, count in added:
        sketch.add(key, count)
        exact[key] += count
    found = {each.key: each for each in sketch.top(capacity)}
    assert sketch.total == sum(exact.values()) == sum(each.times for each in found.values())
    assert len(found) == min(capacity, len(exact))
    for key, (_, times, error) in found.items():
        assert times - error <= exact[key] <= times
        assert error <= sketch.total / capacity
    for key in exact.keys() - found.keys():
        assert exact[key] <= sketch.least() <= sketch.total / capacity


@given(st.integers(1, 12), ADDED, ADDED)
def test_fading_keeps_the_bounds(
    capacity: int, before: list[tuple[bytes, int]], after: list[tuple[bytes, int]]
) -> None:
    sketch, exact = SpaceSaving(capacity), Counter[bytes]()
    for key, count in before:
        sketch.add(key, count)
        exact[key] += count
    sketch.scale(0.5)  # exact in floats
    halved = {key: count / 2 for key, count in exact.items()}
    for key, count in after:
        sketch.add(key, count)
        halved[key] = halved.get(key, 0) + count
    for key, times, error in sketch.top(capacity):
        assert times - error <= halved[key] <= times
    assert sketch.total == sum(halved.values())


def test_the_hottest_under_zipf_are_found_in_their_order() -> None:
    drawn = zipf(keys=10_000, draws=100_000)
    exact = Counter(drawn)
    sketch = SpaceSaving(256)
    for key in drawn:
        sketch.add(key)
    hottest = [key for key, _ in exact.most_common(8)]
    assert [each.key for each in sketch.top(8)] == hottest
    for key, times, error in sketch.top(256):
        assert times - error <= exact[key] <= times
        assert error <= len(drawn) / 256
    # The hottest came early, so almost nothing of them is doubtful.
    assert all(each.error <= 0.02 * each.times for each in sketch.top(8))


def test_weights_are_worth_as_many_single_counts() -> None:
    drawn = zipf(keys=50, draws=5_000)
    once, joined = SpaceSaving(64), SpaceSaving(64)
    for key in drawn:
        once.add(key)
    for key, count in Counter(drawn).items():
        joined.add(key, count)
    assert once.top(64) == joined.top(64)


def test_equal_counts_stand_in_the_order_of_keys() -> None:
    sketch = SpaceSaving(4)
    for key in (b"c", b"a", b"b"):
        sketch.add(key)
    assert [each.key for each in sketch.top(2)] == [b"a", b"b"]
    assert len(sketch) == 3
    assert sketch.least() == 0


@pytest.mark.parametrize("capacity", [0, -1, MAX_CAPACITY + 1])
def test_a_capacity_has_bounds(capacity: int) -> None:
    with pytest.raises(InvalidInputError, match="capacity"):
        SpaceSaving(capacity)
