"""The slowest hundredth of the last two seconds."""

from __future__ import annotations

from becket.storage.latencies import GROWTH, HALF_US, Latencies


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
        assert near(latencies.p99(0)[0], expected)


def test_what_is_old_is_forgotten() -> None:
    latencies = Latencies()
    assert latencies.p99(0) == (0, 0)
    latencies.note(0, 80_000, 100)
    latencies.note(HALF_US, 500, 900)
    assert near(latencies.p99(HALF_US)[0], 80_000)
    assert latencies.p99(2 * HALF_US)[1] == 900
    assert latencies.p99(5 * HALF_US) == (0, 0)
    latencies.note(9 * HALF_US, 500, 1)
    assert latencies.p99(9 * HALF_US)[1] == 1


def test_a_call_that_took_for_ever_is_in_the_last_bucket() -> None:
    latencies = Latencies()
    latencies.note(0, 1e12, 1)
    assert latencies.p99(0)[0] > 15_000_000
