"""How long operations take, as callers feel it: the slowest hundredth of the newest ones.

Owns the counts. Must not read clocks. Buckets grow by a tenth from one to the next, so a figure is
right within a tenth. Seconds are counted apart: p99 is that of as many of the newest as hold
``ENOUGH`` operations, of two at least and of ``MOST_S`` at most. Of fewer operations it would be
the slowest one or two, which is chance: nobody can tell by it whether anything has become slower.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque

from becket.core.plans.throttle import Foreground

SECOND_US = 1_000_000
RECENT_S, MOST_S = 2, 10
ENOUGH = 500
LEAST_US, GROWTH, BUCKETS = 50.0, 1.1, 136
"""The last bucket begins above 17 s."""

_BOUNDS = [LEAST_US * GROWTH**place for place in range(BUCKETS - 1)]


class Latencies:
    """The operations of one member."""

    def __init__(self) -> None:
        # Of each second how many operations ended in which bucket, the present one last.
        self._seconds: deque[Counter[int]] = deque((Counter() for _ in range(MOST_S)), MOST_S)
        self._since_us = 0

    def note(self, now_us: int, took_us: float, operations: int) -> None:
        """So many operations took so long together."""
        self._turn(now_us)
        self._seconds[-1][bisect_left(_BOUNDS, took_us)] += operations

    def _turn(self, now_us: int) -> None:
        passed = (now_us - self._since_us) // SECOND_US
        if passed < 1:
            return
        # After a longer pause all that was before it is old.
        for _ in range(min(passed, MOST_S)):
            self._seconds.append(Counter())
        self._since_us += passed * SECOND_US

    def p99(self, now_us: int) -> Foreground:
        """The upper bound of the bucket that holds p99 of the newest operations.

        0 where there was none. How many: of the last two seconds, the present one included.
        """
        self._turn(now_us)
        counts: Counter[int] = Counter()
        recent = 0
        for age, second in enumerate(reversed(self._seconds)):
            if age == RECENT_S:
                recent = counts.total()
            if age >= RECENT_S and counts.total() >= ENOUGH:
                break
            counts.update(second)
        return Foreground(_p99_us(counts), recent)


def _p99_us(counts: Counter[int]) -> int:
    total = counts.total()
    seen = 0
    for place in sorted(counts):
        seen += counts[place]
        if seen >= total - total // 100:
            return round(_BOUNDS[min(place, BUCKETS - 2)])
    return 0
