"""Weights: a table, the fading of old reports, and the loop that they close."""

from __future__ import annotations

from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becket.core.load.ledger import Ledger
from becket.core.load.reports import Report
from becket.core.load.settings import SECOND, LoadSettings
from becket.core.load.weights import Load, spare, weights

SETTINGS = LoadSettings()
USUAL = Load(in_flight=3, latency_us=1000, cpu=0.5)


def weighed(*loads: Load, settings: LoadSettings = SETTINGS) -> list[float]:
    named = {f"disk-{number}": load for number, load in enumerate(loads)}
    return list(weights(named, settings).values())


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        # Alone, or all alike: the mean, whatever the figures are.
        ([USUAL], [1.0]),
        ([Load(0, 0, 0.0)], [1.0]),
        ([USUAL, USUAL, USUAL], [1.0, 1.0, 1.0]),
        ([Load(0, 0, 1.0), Load(0, 0, 1.0)], [1.0, 1.0]),
        # Latency times what is in flight, four times as large: half the room.
        ([USUAL, USUAL._replace(latency_us=4000)], [4 / 3, 2 / 3]),
        ([USUAL, USUAL._replace(in_flight=15)], [4 / 3, 2 / 3]),
        # A processor with a quarter of the idle time: half the room.
        ([USUAL._replace(cpu=0.2), USUAL._replace(cpu=0.8)], [4 / 3, 2 / 3]),
        # No latency yet: as fast as the others, and nothing in flight.
        ([USUAL._replace(in_flight=0), USUAL._replace(in_flight=0, latency_us=0)], [1.0, 1.0]),
        # One in deep trouble keeps a quarter of the median.
        (
            [USUAL, USUAL, USUAL._replace(in_flight=100_000, latency_us=10**7, cpu=1.0)],
            [12 / 9, 12 / 9, 3 / 9],
        ),
        # One that looks infinitely fast is taken for four times the median.
        ([USUAL, USUAL, USUAL._replace(latency_us=1e-3)], [0.5, 0.5, 2.0]),
        # What is stale has the mean; half stale is half way.
        ([USUAL, USUAL._replace(latency_us=4000, freshness=0)], [8 / 7, 6 / 7]),
        ([USUAL._replace(freshness=0), USUAL._replace(latency_us=4000, freshness=0)], [1.0, 1.0]),
        (
            [USUAL._replace(freshness=0.5), USUAL._replace(latency_us=4000, freshness=0.5)],
            [7 / 6, 5 / 6],
        ),
    ],
)
def test_a_table_of_weights(loads: list[Load], expected: list[float]) -> None:
    assert weighed(*loads) == pytest.approx(expected)


def test_nobody_has_no_weights() -> None:
    assert weights({}, SETTINGS) == {}


LOADS = st.builds(
    Load,
    st.floats(0, 1e6),
    st.just(0.0) | st.floats(1, 1e9),
    st.floats(0, 1),
    st.floats(0, 1),
    st.just(1.0),
)


@given(st.lists(LOADS, min_size=1, max_size=20))
def test_the_mean_is_one_and_nobody_starves_or_is_flooded(loads: list[Load]) -> None:
    found = weighed(*loads)
    assert fmean(found) == pytest.approx(1.0)
    assert min(found) > 0
    assert max(found) / min(found) <= SETTINGS.spread**2 * 1.001


@given(LOADS, LOADS)
def test_more_room_is_never_less_weight(one: Load, other: Load) -> None:
    first, second = one._replace(freshness=1), other._replace(freshness=1)
    usual = fmean([each.latency_us for each in (first, second) if each.latency_us] or [1.0])
    if spare(first, usual) > spare(second, usual):
        assert weighed(first, second)[0] >= weighed(first, second)[1]


SPEEDS = [250.0] + [1000.0] * 9


def loop(utilisation: float, settings: LoadSettings) -> list[list[float]]:
    """Ten members as queues, one with a quarter of the speed, traffic by weight, two minutes."""
    traffic = utilisation * sum(SPEEDS)
    ledger = Ledger(settings)
    shares = [1.0] * 10
    story = []
    for second in range(120):
        for number, speed in enumerate(SPEEDS):
            # Nothing is faster than a queue that is full: figures end at 98 %.
            rate = min(traffic * shares[number] / 10, 0.98 * speed)
            latency_s = 1 / (speed - rate)
            report = Report(
                disk=f"disk-{number}",
                incarnation=1,
                in_flight=round(rate * latency_s),
                operations_per_second=rate,
                latency_us=round(1e6 * latency_s),
                cpu=rate / speed,
            )
            ledger.report(report, second * SECOND)
        told = ledger.look(second * SECOND).members
        shares = [told[f"disk-{number}"].weight for number in range(10)]
        story.append(shares)
    return story


def swing(story: list[list[float]]) -> float:
    """The largest change of a weight from second to second, at the end of a story."""
    last = zip(story[-20:-1], story[-19:], strict=True)
    return max(abs(now / before - 1) for pair in last for before, now in zip(*pair, strict=True))


@pytest.mark.parametrize("utilisation", [0.2, 0.5, 0.7, 0.8])
def test_the_loop_comes_to_rest_and_the_slow_member_is_spared(utilisation: float) -> None:
    story = loop(utilisation, SETTINGS)
    assert swing(story) < 0.02
    traffic = utilisation * sum(SPEEDS) / 10
    used = [traffic * share / speed for share, speed in zip(story[-1], SPEEDS, strict=True)]
    assert max(used) < 0.97
    assert story[-1][0] < 0.6


def test_without_smoothing_the_loop_swings() -> None:
    assert swing(loop(0.7, LoadSettings(smooth_us=1))) > 0.2
