"""The slowest hundredth of the newest operations."""

from __future__ import annotations

from becket.storage.latencies import ENOUGH, GROWTH, MOST_S, SECOND_US, Latencies


def near(found_us: int, us: float) -> bool:
    return us / GROWTH <= found_us <= us * GROWTH


def test_p99_of_even_latencies_is_near_the_99th() -> None:
    latencies = Latencies()
    for ms in range(1, 1001):
        latencies.note(10, ms * 1000, 1)
    p99_us, count = latencies.p99(10)
    assert count == 1000
    assert near(p99_us, 990_000)


def test_one_slow_call_of_a_hundred_and_one_is_not_p99_and_of_fifty_is() -> None:
    for fast, expected in ((200, 500), (50, 80_000)):
        latencies = Latencies()
        latencies.note(0, 500, fast)
        latencies.note(0, 80_000, 1)
        assert near(latencies.p99(0).p99_us, expected)


def test_of_many_operations_two_seconds_are_enough() -> None:
    latencies = Latencies()
    assert latencies.p99(0) == (0, 0)
    latencies.note(0, 80_000, ENOUGH)
    latencies.note(SECOND_US, 500, ENOUGH)
    assert near(latencies.p99(SECOND_US).p99_us, 80_000)
    found = latencies.p99(2 * SECOND_US)
    assert near(found.p99_us, 500)
    assert found.operations == ENOUGH


def test_of_few_operations_p99_is_that_of_more_seconds_and_recent_ones_are_counted_apart() -> None:
    latencies = Latencies()
    for second in range(10):
        latencies.note(second * SECOND_US, 80_000 if second == 4 else 500, 20)
    found = latencies.p99(9 * SECOND_US)
    assert near(found.p99_us, 80_000), "20 of 200 were slow, five seconds ago"
    assert found.operations == 40


def test_what_is_older_than_the_longest_span_is_forgotten() -> None:
    latencies = Latencies()
    latencies.note(0, 80_000, 1)
    assert near(latencies.p99((MOST_S - 1) * SECOND_US).p99_us, 80_000)
    assert latencies.p99(MOST_S * SECOND_US) == (0, 0)
    latencies.note(900 * SECOND_US, 500, 1)
    assert latencies.p99(900 * SECOND_US).operations == 1


def test_a_call_that_took_for_ever_is_in_the_last_bucket() -> None:
    latencies = Latencies()
    latencies.note(0, 1e12, 1)
    assert latencies.p99(0).p99_us > 15_000_000
