"""How long operations take, as callers feel it: the slowest hundredth of the newest ones.

Owns the counts. Must not read clocks. Buckets grow by a tenth from one to the next, so a figure is
right within a tenth. Seconds are counted apart: p99 is that of as many of the newest as hold
``ENOUGH`` operations, of two at least and of ``MOST_S`` at most. Of fewer operations it would be
the slowest one or two, which is chance: nobody can tell by it whether anything has become slower.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import NamedTuple

SECOND_US = 1_000_000
RECENT_S, MOST_S = 2, 10
ENOUGH = 500
LEAST_US, GROWTH, BUCKETS = 50.0, 1.1, 136
"""The last bucket begins above 17 s."""

_BOUNDS = [LEAST_US * GROWTH**place for place in range(BUCKETS - 1)]


class Felt(NamedTuple):
    """The upper bound of the bucket that holds p99, in microseconds; 0 where nothing was counted.

    ``recent``: operations of the last two seconds, the present one included.
    """

    p99_us: int
    recent: int


class _Second:
    """The operations of one second."""

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.total = 0


class Latencies:
    """The operations of one member."""

    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque([_Second()], MOST_S)
        self._since_us = 0

    def note(self, now_us: int, took_us: float, operations: int) -> None:
        """So many operations took so long together."""
        self._turn(now_us)
        second = self._seconds[-1]
        second.counts[bisect_left(_BOUNDS, took_us)] += operations
        second.total += operations

    def _turn(self, now_us: int) -> None:
        passed = (now_us - self._since_us) // SECOND_US
        if passed < 1:
            return
        # After a longer pause all that was before it is old.
        for _ in range(min(passed, MOST_S)):
            self._seconds.append(_Second())
        self._since_us += passed * SECOND_US

    def p99(self, now_us: int) -> Felt:
        """Of the newest operations."""
        self._turn(now_us)
        counts, total, recent = [0] * BUCKETS, 0, 0
        for age, second in enumerate(reversed(self._seconds)):
            if age >= RECENT_S and total >= ENOUGH:
                break
            if second.total:
                counts = [one + other for one, other in zip(counts, second.counts, strict=True)]
                total += second.total
                recent += second.total if age < RECENT_S else 0
        return Felt(_rank(counts, total - total // 100) if total else 0, recent)


def _rank(counts: list[int], rank: int) -> int:
    seen = 0
    for place, count in enumerate(counts):
        seen += count
        if seen >= rank:
            return round(_BOUNDS[min(place, BUCKETS - 2)])
    return round(_BOUNDS[-1])
