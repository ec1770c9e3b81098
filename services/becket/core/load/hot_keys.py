"""How often the hottest keys of a member are asked for, in reads a second, forgetting the past.

Owns the fading over a sketch. Must not read a clock: the time is an argument. Invariants: for each
key ``reads_per_second - error_per_second <= true rate <= reads_per_second``, the true rate being
the one in which a read counts the less the older it is.

Theory: at each look, a time dt after the last, dt is added to the time over which was counted, and
the rate is count by time; then both are multiplied by ``exp(-dt / memory)``. So the rate is an
average with weights that fall with age; it is right from the first look on, whatever the distance
of the looks, because numerator and denominator fade alike.
"""

from __future__ import annotations

from math import exp
from typing import NamedTuple

from becket.core.errors import InvalidInputError
from becket.core.load.sketch import SpaceSaving

SECOND_US = 1_000_000
LEAST_LOOK_US = 1000
"""Looks that come faster are answered with the last figures: a rate over nothing is noise."""
LEAST_FACTOR = 1e-9
"""After a long pause: what was is next to nothing, but no zero."""
REMEMBERED = 64
"""So many keys a look finds at most."""


class HotKey(NamedTuple):
    """A key with its rate: at most ``reads_per_second``, which may be too large by the error."""

    key: bytes
    reads_per_second: float
    error_per_second: float

    @property
    def at_least(self) -> float:
        """The reads a second that are certain."""
        return self.reads_per_second - self.error_per_second


class HotKeys:
    """Count reads by ``add``, look at them by ``hottest``. The sketch bounds the memory."""

    def __init__(self, now_us: int, *, capacity: int = 256, memory_us: int = 5 * SECOND_US) -> None:
        if memory_us <= 0:
            raise InvalidInputError("memory_us", "must be positive")
        self._sketch = SpaceSaving(capacity)
        self._memory_us = memory_us
        self._looked_us = now_us
        self._seconds = 0.0
        self._looked: tuple[HotKey, ...] = ()
        self.add = self._sketch.add
        """``add(key, count=1)``: a read of ``key``. Bound here, for it is in the hot path."""

    def hottest(self, now_us: int, most: int = 32) -> tuple[HotKey, ...]:
        """The ``most`` hottest keys at ``now_us``, the hottest first; then the past fades."""
        passed_us = max(0, now_us - self._looked_us)
        if passed_us < LEAST_LOOK_US:
            return self._looked[:most]
        self._looked_us = now_us
        self._seconds += passed_us / SECOND_US
        self._looked = tuple(
            HotKey(key, count / self._seconds, error / self._seconds)
            for key, count, error in self._sketch.top(REMEMBERED)
        )
        factor = max(LEAST_FACTOR, exp(-passed_us / self._memory_us))
        self._sketch.scale(factor)
        self._seconds *= factor
        return self._looked[:most]
