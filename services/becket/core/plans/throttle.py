"""How much may be under way at once, so that whoever works with the cluster does not notice.

Owns one budget: additive increase, halved when the foreground suffers (DESIGN section 5; the rule
is that of congestion control, Chiu and Jain 1989). Must not measure or read clocks: latencies are
what members report, time is an argument.

Theory of operation. The budget is a number of partitions: so many changes may be under way, and so
many may begin in each interval, evenly spread. (A change has a cost of its own, however few keys
its partition has; of small partitions one after the other, ten were over in a second, and p99 had
doubled before any report could tell.) While the foreground's p99 is within its limit, the budget
rises by one, and not again before what that changed can be seen; when p99 passes the limit, it is
halved, likewise. (Where it rose each second, forty partitions of many keys were under way before
any was felt.) A budget below one doubles each interval. It never reaches 0, so a plan always ends.
Without foreground there is nobody to disturb, and everything that the limits of plans allow may be
under way, until members that run do not hear each other in time: that counts like a p99 over its
limit, and the budget then rises step by step.

The limit is the one that was set, or it follows from how things were before: a factor over the p99
that was steady while nothing moved, or, where p99 wandered further than that by itself, twice its
median deviation over it: chance must not slow a plan to its least.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from becket.core.errors import InvalidInputError

_LOOKS, _LOOK_US = 20, 500_000
"""So many of the newest looks tell what is steady: a mean would remember a load that has ended."""

_DEVIATIONS = 2
_FAR = 2
"""p99 is far shorter than it was where it is so many times shorter: chance does not halve it."""


class Foreground(NamedTuple):
    """What people and programs feel: p99 of operations, and how many of the last two seconds."""

    p99_us: int
    operations: int


class Halving(NamedTuple):
    """When a budget was halved: the p99 of that moment, and the limit.

    A p99 that is not over its limit: members that run did not hear each other.
    """

    at_us: int
    p99_us: int
    limit_us: int


@dataclass(frozen=True)
class ThrottleSettings:
    """How budgets move. Each field is checked on its own; see the head of this file."""

    interval_ms: int = 1000
    """So many as the budget says begin in each; and a budget below one doubles."""
    settle_ms: int = 4000
    """A greater one rises by one each time; and after a halving the next one comes no sooner. What
    either does is seen late where few call, and what was slow before is still reported."""
    first: int = 1
    """The budget at the beginning, with foreground: nobody knows yet what a change does to it."""
    least_percent: int = 20
    """The smallest budget, in hundredths of a partition."""
    p99_limit_ms: int = 0
    """The foreground's p99 may be so long; 0: a factor over what was steady before."""
    p99_percent: int = 110
    """That factor, in hundredths."""
    p99_floor_ms: int = 2
    """A shorter p99 is never too long."""
    p99_unknown_ms: int = 50
    """The limit while nobody knows what was steady: a supervisor that begins amid a plan."""
    least_operations: int = 50
    """Members that together answered fewer in two seconds have no foreground, nor has a member by
    itself for the copies that it makes."""

    def __post_init__(self) -> None:
        """Raise InvalidInputError naming a field that cannot be."""
        for field, least, most in (
            ("interval_ms", 10, 600_000),
            ("settle_ms", 0, 600_000),
            ("first", 1, 100_000),
            ("least_percent", 1, 100),
            ("p99_limit_ms", 0, 600_000),
            ("p99_percent", 101, 10_000),
            ("p99_floor_ms", 0, 600_000),
            ("p99_unknown_ms", 1, 600_000),
            ("least_operations", 1, 1_000_000),
        ):
            if not least <= getattr(self, field) <= most:
                raise InvalidInputError(field, f"must be in {least}..{most}")


class Steady:
    """What p99 was while nothing moved, how far it wandered, and the limit of both; by medians.

    What moves only adds to p99. So where it is far shorter while something moves, what was learnt
    before was a load that has ended, or nothing was known, and what is felt now takes its place.
    """

    def __init__(self, settings: ThrottleSettings) -> None:
        self._settings = settings
        self._next_us = 0
        self._looks: deque[int] = deque(maxlen=_LOOKS)
        self._moving: deque[int] = deque(maxlen=_LOOKS)
        """Looks while something moves."""
        self._moving_us = 0
        self.p99_us: int | None = None
        self.deviation_us = 0
        """How far p99 was from that, in the middle."""

    def note(self, now_us: int, foreground: Foreground | None, *, is_calm: bool) -> None:
        """Learn from this moment, if nothing moves."""
        if not is_calm:
            # What was disturbed until now is still in the next reports.
            self._next_us = now_us + self._settings.settle_ms * 1000
            if foreground is not None and now_us >= self._moving_us:
                self._moving_us = now_us + _LOOK_US
                self._note_moving(foreground.p99_us)
            return
        self._moving.clear()
        if foreground is not None and now_us >= self._next_us:
            self._next_us = now_us + _LOOK_US
            self._looks.append(foreground.p99_us)
            self._learn()

    def _note_moving(self, p99_us: int) -> None:
        self._moving.append(p99_us)
        known_us = self._settings.p99_unknown_ms * 1000 if self.p99_us is None else self.p99_us
        if len(self._moving) == _LOOKS and _FAR * median(self._moving) < known_us:
            self._looks = self._moving.copy()
            self._learn()

    def _learn(self) -> None:
        self.p99_us = middle = round(median(self._looks))
        self.deviation_us = round(median(abs(look - middle) for look in self._looks))

    @property
    def limit_us(self) -> int:
        """How long p99 may be."""
        settings = self._settings
        if settings.p99_limit_ms:
            return settings.p99_limit_ms * 1000
        if self.p99_us is None:
            return settings.p99_unknown_ms * 1000
        return max(
            settings.p99_floor_ms * 1000,
            self.p99_us * settings.p99_percent // 100,
            self.p99_us + _DEVIATIONS * self.deviation_us,
        )


class Throttle:
    """One budget; ``most`` is what the limits of plans allow."""

    def __init__(self, settings: ThrottleSettings, most: int) -> None:
        self._settings = settings
        self._most = most
        self.budget = float(most)
        """Partitions that may be under way at once, and begin in one interval."""
        self.halvings = 0
        """How often it was halved."""
        self.last_halving: Halving | None = None
        self._is_alone = True
        self._is_wary = False
        """Whether members were strained, and the budget has not risen to the most since."""
        self._raise_us = 0
        self._halve_us = 0
        self._begin_us = 0

    def note(
        self,
        now_us: int,
        foreground: Foreground | None,
        limit_us: int,
        *,
        is_strained: bool = False,
    ) -> None:
        """What the foreground feels now, while something moves; ``is_strained``: so do members."""
        self._is_wary = is_strained or (self._is_wary and self.budget < self._most)
        if foreground is None and not self._is_wary:
            self.budget, self._is_alone = float(self._most), True
            return
        if self._is_alone:
            self._is_alone = False
            if foreground is not None:
                self.budget = self._beginning(foreground)
            self._raise_us = now_us + self._pause_ms * 1000
        is_felt = foreground is not None and foreground.p99_us > limit_us
        if is_strained or is_felt:
            if now_us >= self._halve_us:
                self._halve(now_us, 0 if foreground is None else foreground.p99_us, limit_us)
        elif now_us >= self._raise_us:
            more = self.budget + 1 if self.budget >= 1 else min(1.0, self.budget * 2)
            self.budget = min(float(self._most), more)
        else:
            return
        self._raise_us = now_us + self._pause_ms * 1000

    @property
    def _pause_ms(self) -> int:
        interval_ms, settle_ms = self._settings.interval_ms, self._settings.settle_ms
        return interval_ms if self.budget < 1 else max(interval_ms, settle_ms)

    def meet(self, foreground: Foreground | None) -> None:
        """Nothing moves now: what begins next begins small where somebody will feel it.

        What an earlier change has learnt of the foreground stays.
        """
        if self._is_alone:
            self.budget = self._beginning(foreground)

    def _beginning(self, foreground: Foreground | None) -> float:
        return float(self._most if foreground is None else min(self._most, self._settings.first))

    def _halve(self, now_us: int, p99_us: int, limit_us: int) -> None:
        halved = max(self._settings.least_percent / 100, self.budget / 2)
        if halved < self.budget:
            self.halvings += 1
            self.last_halving = Halving(now_us, p99_us, limit_us)
        self.budget = halved
        self._halve_us = now_us + self._settings.settle_ms * 1000

    def begun(self, now_us: int) -> None:
        """Something begins now."""
        self._begin_us = now_us + int(self._settings.interval_ms * 1000 / self.budget)

    def room(self) -> int:
        """So many partitions may be under way."""
        return max(1, int(self.budget))

    def begins(self, now_us: int) -> int:
        """So many may begin at this moment."""
        if self._is_alone and not self._is_wary:
            return self._most
        return int(now_us >= self._begin_us)
