"""How long a peer may be silent (``core.suspicion``)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from becket.core.suspicion import LATELY, SuspicionTime

LEAST_US = 400_000


def test_a_peer_that_is_heard_in_time_is_suspected_after_the_configured_time() -> None:
    suspicion = SuspicionTime(LEAST_US, 2)
    for now_us in range(0, 2_000_000, 130_000):
        suspicion.heard(130_000, now_us)
        assert suspicion.us == LEAST_US


def test_after_a_silence_that_ended_by_itself_the_next_is_waited_for_half_as_long_again() -> None:
    suspicion = SuspicionTime(LEAST_US, 2)
    suspicion.heard(500_000, 1_000_000)
    assert suspicion.us == 750_000
    suspicion.heard(100_000, 1_100_000)
    assert suspicion.us == 750_000, "one sign in time does not undo it"


def test_a_late_sign_is_forgotten_after_a_while() -> None:
    suspicion = SuspicionTime(LEAST_US, 2)
    suspicion.heard(500_000, 1_000_000)
    suspicion.heard(100_000, 1_000_000 + LATELY * LEAST_US)
    assert suspicion.us == LEAST_US


def test_a_longer_silence_is_remembered_from_when_it_ended() -> None:
    suspicion = SuspicionTime(LEAST_US, 2)
    suspicion.heard(420_000, 0)
    suspicion.heard(480_000, 5_000_000)
    suspicion.heard(100_000, LATELY * LEAST_US)
    assert suspicion.us == 720_000


@given(st.lists(st.tuples(st.integers(-(10**7), 10**16), st.integers(0, 10**6)), max_size=30))
def test_the_time_stays_within_its_bounds(heard: list[tuple[int, int]]) -> None:
    suspicion, now_us = SuspicionTime(LEAST_US, 2), 0
    for silent_us, later_us in heard:
        now_us += later_us
        suspicion.heard(silent_us, now_us)
        assert LEAST_US <= suspicion.us <= 2 * LEAST_US
