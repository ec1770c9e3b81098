"""The pace of copying (``storage.copy_pace``)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from becket.core.ring.config import first_config
from becket.core.ring.members import Member, MemberState
from becket.core.ring.ring import Ring
from becket.storage.copy_pace import GATHERED, KEYS, RESTORING, CopyPace
from becket.storage.latencies import Latencies
from becket.storage.settings import COPYING

TICK_US = 40_000
LEAST = 200.0
"""Keys a second."""
STEADY = Ring(1, "c", 1, (Member("a", "a"), Member("b", "b")), (first_config(("a",)),))
MOVING = replace(STEADY, configs=(STEADY.configs[0].begin(("b",)),))


class Hand:
    """Lets time pass at a member whose callers wait for so long."""

    def __init__(self) -> None:
        self.now_us = 10**9
        self.latencies = Latencies()
        self.pace = CopyPace(COPYING, self.latencies)

    def wait(self, seconds: float, took_us: float, a_tick: int = 2) -> list[int | None]:
        """What may be copied in each tick."""
        found = []
        for _ in range(int(seconds * 1_000_000 / TICK_US)):
            self.now_us += TICK_US
            if a_tick:
                self.latencies.note(self.now_us, took_us, a_tick)
            found.append(self.pace.copies(self.now_us))
        return found


def amid(ring: Ring) -> Hand:
    """A change begins after ten seconds in which callers waited for 5 ms."""
    hand = Hand()
    hand.pace.set_ring(STEADY)
    hand.wait(10, 5_000)
    hand.pace.set_ring(ring)
    return hand


def keys_a_second(found: list[int | None]) -> float:
    assert None not in found
    return sum(each or 0 for each in found) / len(found) * 1_000_000 / TICK_US


def test_without_callers_there_is_no_limit() -> None:
    hand = Hand()
    hand.pace.set_ring(MOVING)
    assert set(hand.wait(20, 0, a_tick=0)) == {None}


def test_copying_slows_down_to_its_least_while_callers_suffer_and_never_stops() -> None:
    hand = amid(MOVING)
    hand.wait(40, 50_000)
    found = hand.wait(10, 50_000)
    assert keys_a_second(found) == pytest.approx(LEAST, abs=GATHERED / 10)
    # Each message costs as much as some keys, however few are in it.
    assert {each for each in found if each} == {GATHERED}


def test_what_restores_replicas_is_not_slowed_as_far() -> None:
    gone = Member("a", "a", state=MemberState.GONE)
    hand = amid(replace(MOVING, members=(gone, MOVING.members[1])))
    hand.wait(40, 50_000)
    assert keys_a_second(hand.wait(10, 50_000)) == KEYS * RESTORING * 1_000_000 / TICK_US


def test_it_becomes_faster_while_callers_feel_nothing() -> None:
    hand = amid(MOVING)
    first = keys_a_second(hand.wait(2, 5_000))
    later = keys_a_second(hand.wait(10, 5_000))
    assert 0 < first < later
    assert hand.wait(300, 5_000)[-1] is None


def test_what_others_felt_during_a_change_is_not_taken_for_steady() -> None:
    hand = amid(MOVING)
    hand.wait(60, 50_000)
    assert keys_a_second(hand.wait(2, 50_000)) == pytest.approx(LEAST, abs=GATHERED / 2)
