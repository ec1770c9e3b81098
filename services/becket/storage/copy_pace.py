"""How many keys this member takes up for copying in each tick, so that its callers do not notice.

Owns a throttle of its own beside that of plans: the supervisor decides how many partitions are on
the move, from reports that are seconds old; here it is decided how fast the keys of those that this
member coordinates go, by what its own callers feel. The rule is the same (``core.plans.throttle``),
its budget counts ``KEYS`` a tick. Must not measure or read clocks. Invariants: without callers
there is no limit; while a disk that was given up still counts as a replica, copies are not slowed
below what plans grant to those that restore.
"""

from __future__ import annotations

from becket.core.plans.throttle import Steady, Throttle, ThrottleSettings
from becket.core.ring.members import MemberState
from becket.core.ring.ring import Ring
from becket.storage.latencies import Latencies

KEYS = 8
"""Keys a tick by which the pace rises."""

GATHERED = 16
"""Keys that are taken up together where the pace is slow: a message and its sync cost both ends as
much as some ten of its keys do, and callers wait for either."""

MOST = 32
"""Times ``KEYS``, 6,400 a second: more than a member copies where nothing holds it up."""

RESTORING = 2
"""Times ``KEYS`` at the least while replicas are restored, 400 a second: another loss would be
worse than what callers feel."""

EVERY_US = 200_000
"""How often the callers' latency is looked at."""


class CopyPace:
    """The pace of one member."""

    def __init__(self, settings: ThrottleSettings, latencies: Latencies) -> None:
        self._settings = settings
        self._latencies = latencies
        self._steady = Steady(settings)
        self._throttle = Throttle(settings, MOST)
        self._is_moving = self._is_restoring = False
        self._look_us = 0
        self._credit = 0.0

    def set_ring(self, ring: Ring) -> None:
        """Partitions on the move, wherever they are, are felt everywhere."""
        joint = [config for config in ring.configs if config.is_joint]
        gone = {member.disk for member in ring.members if member.state is MemberState.GONE}
        self._is_moving = bool(joint)
        self._is_restoring = any(not gone.isdisjoint(config.old) for config in joint)

    def copies(self, now_us: int) -> int | None:
        """So many keys may be taken up until this is asked again; None: any number."""
        if now_us >= self._look_us:
            self._look_us = now_us + EVERY_US
            self._look(now_us)
        if self._throttle.budget >= MOST:
            return None
        least = RESTORING if self._is_restoring else 0
        self._credit += KEYS * max(least, self._throttle.budget)
        if self._credit < GATHERED:
            return 0
        taken = int(self._credit)
        self._credit -= taken
        return taken

    def _look(self, now_us: int) -> None:
        felt = self._latencies.p99(now_us)
        foreground = felt if felt.operations >= self._settings.least_operations else None
        self._steady.note(now_us, foreground, is_calm=not self._is_moving)
        if self._is_moving:
            self._throttle.note(now_us, foreground, self._steady.limit_us)
        else:
            self._throttle.meet(foreground)
