"""How many keys this member takes up for copying in each tick, so that its callers do not notice.

Owns a throttle of its own beside that of plans: the supervisor decides how many partitions are on
the move, from reports that are seconds old; here it is decided how fast the keys of those that this
member coordinates go, by what its own callers feel. The rule is the same (``core.plans.throttle``),
its budget counts keys a tick. Must not measure or read clocks. Without callers there is no limit.
"""

from __future__ import annotations

from becket.core.plans.throttle import Foreground, Steady, Throttle, ThrottleSettings
from becket.core.ring.ring import Ring
from becket.storage.latencies import Latencies

MOST = 64
"""Keys a tick, 1,600 a second: more than a member copies where nothing holds it up."""

EVERY_US = 200_000
"""How often the callers' latency is looked at."""


class CopyPace:
    """The pace of one member."""

    def __init__(self, settings: ThrottleSettings, latencies: Latencies) -> None:
        self._settings = settings
        self._latencies = latencies
        self._steady = Steady(settings)
        self._throttle = Throttle(settings, MOST)
        self._is_moving = False
        self._look_us = 0
        self._credit = 0.0

    def set_ring(self, ring: Ring) -> None:
        """Partitions on the move, wherever they are, are felt everywhere."""
        self._is_moving = any(config.is_joint for config in ring.configs)

    def copies(self, now_us: int) -> int | None:
        """So many keys may be taken up until this is asked again; None: any number."""
        if now_us >= self._look_us:
            self._look_us = now_us + EVERY_US
            self._look(now_us)
        if self._throttle.budget >= MOST:
            return None
        # Below one a tick the rest is kept for the next ones.
        self._credit = self._credit % 1 + self._throttle.budget
        return int(self._credit)

    def _look(self, now_us: int) -> None:
        p99_us, operations = self._latencies.p99(now_us)
        enough = operations >= self._settings.least_operations
        foreground = Foreground(p99_us, operations) if enough else None
        self._steady.note(now_us, foreground, is_calm=not self._is_moving)
        if self._is_moving:
            self._throttle.note(now_us, foreground, self._steady.limit_us)
