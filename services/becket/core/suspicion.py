"""How long a peer may be silent before it is suspected: longer for one whose signs come late.

Owns that time for one peer, from the configured one upwards. A process that gets too little
of its processor is heard again after each silence; every member that had taken over from it would
have done so for nothing, and soon the other way round. The next silence of such a peer is waited
for half as long again as the longest that it has lately ended by itself. Failure detectors of the
field scale their times in the same way (phi accrual; Lifeguard). Must not judge anybody. Invariant:
never under the configured time, which bounds leases (PROTOCOL R25), never over ``factor`` of them.
"""

from __future__ import annotations

LATELY = 25
"""For so many suspicion times a late sign is remembered: 10 s of 0.4 s."""


class SuspicionTime:
    """The suspicion time of one peer, in microseconds like all here."""

    __slots__ = ("_least_us", "_longest_us", "_most_us", "_until_us", "us")

    def __init__(self, least_us: int, factor: int) -> None:
        self._least_us = least_us
        self._most_us = factor * least_us
        self._longest_us = 0
        self._until_us = 0
        self.us = least_us
        """A peer that is silent for so long is suspected."""

    def heard(self, silent_us: int, now_us: int) -> None:
        """The same process of the peer was heard again, after ``silent_us``."""
        if silent_us < self._longest_us and now_us < self._until_us:
            return
        self._longest_us = silent_us
        self._until_us = now_us + LATELY * self._least_us
        self.us = min(self._most_us, max(self._least_us, silent_us + silent_us // 2))
