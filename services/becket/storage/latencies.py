"""How long operations take, as callers feel it: the slowest hundredth of the last two seconds.

Owns the counts. Must not read clocks. Buckets grow by a fifth from one to the next, so a figure is
right within a tenth; two halves of a second each are told together, so what is told is never older
than two seconds and never of less than one, once that has passed.
"""

from __future__ import annotations

from bisect import bisect_left

HALF_US = 1_000_000
LEAST_US, GROWTH, BUCKETS = 50.0, 1.2, 72
"""The last bucket begins above 20 s."""

_BOUNDS = [LEAST_US * GROWTH**place for place in range(BUCKETS - 1)]


class Latencies:
    """The operations of one member."""

    def __init__(self) -> None:
        self._now = [0] * BUCKETS
        self._before = [0] * BUCKETS
        self._since_us = 0

    def note(self, now_us: int, took_us: float, operations: int) -> None:
        """So many operations took so long together."""
        self._turn(now_us)
        self._now[bisect_left(_BOUNDS, took_us)] += operations

    def _turn(self, now_us: int) -> None:
        passed_us = now_us - self._since_us
        if passed_us < HALF_US:
            return
        # After a pause of more than a half, what was before it is old, too.
        self._before = self._now if passed_us < 2 * HALF_US else [0] * BUCKETS
        self._now, self._since_us = [0] * BUCKETS, now_us

    def p99(self, now_us: int) -> tuple[int, int]:
        """The upper bound of the bucket that holds p99, in microseconds, and how many there were.

        (0, 0) where there was none.
        """
        self._turn(now_us)
        counts = [one + other for one, other in zip(self._now, self._before, strict=True)]
        total = sum(counts)
        if not total:
            return 0, 0
        beyond = total - total // 100
        seen = 0
        for place, count in enumerate(counts):
            seen += count
            if seen >= beyond:
                return round(_BOUNDS[min(place, BUCKETS - 2)]), total
        return round(_BOUNDS[-1]), total
