"""The rules by which supervisors elect a leader over a Lease: a state machine without I/O.

Theory of operation. Each process has an identity drawn anew at its start. The holder writes the
Lease every renewal time; its reign lasts until the START of its last confirmed write, plus the
lease time, less a margin. The others read the Lease as often, and take it only when they have seen
holder, renewal time and transitions unchanged for the whole lease time by their own clock; they saw
the last write after it had begun, so their wait ends after the reign. No clock is compared with
another one. The margin is for clocks of different rates and for what is under way.

Owns who may write what, and when. Must not read a clock: times are microseconds of a monotonic one,
and arguments. Invariants: a reign is confirmed, never assumed (a lost answer gives none, one that
shows this process as holder only lets it write again); every reign has a higher term than all that
were seen before; who has resigned never stands again.
"""

from __future__ import annotations

from typing import NamedTuple

from becket.adapters.kubernetes.settings import MARGIN

MOST_LEASE_S = 600
"""A Lease that names a longer time, by mistake or malice, is not waited for longer."""


class Seen(NamedTuple):
    """What a Lease says. Two that are equal tell of no renewal between them."""

    holder: str
    """Empty: released."""
    transitions: int
    duration_s: int
    renewed: str
    """The holder's wall clock, as it wrote it: compared for equality only."""
    address: str = ""


class Election:
    """One process's view of the election."""

    def __init__(self, identity: str, *, lease_ms: int) -> None:
        self.identity = identity
        self.seen: Seen | None = None
        """The Lease as it was known last; None: there was none, or it was never read."""
        self._lease_us = lease_ms * 1000
        self._since_us: int | None = None
        self._until_us = 0
        self._term = 0
        self._highest = 0
        self._floor = 0
        self._resigned = False

    def is_leader(self, now_us: int) -> bool:
        """Whether this process leads at ``now_us``."""
        return not self._resigned and now_us < self._until_us

    def term(self, now_us: int) -> int:
        """The number of the present reign; 0 where there is none."""
        return self._term if self.is_leader(now_us) else 0

    def left_us(self, now_us: int) -> int:
        """How long the reign lasts yet without a renewal; 0 where there is none."""
        return max(0, self._until_us - now_us) if self.is_leader(now_us) else 0

    def holder(self, now_us: int) -> Seen | None:
        """Another process that holds the Lease, as far as is known."""
        seen = self.seen
        if seen is None or seen.holder in ("", self.identity) or self.wait_us(now_us) == 0:
            return None
        return seen

    def wait_us(self, now_us: int) -> int:
        """How long the Lease must stay as it was seen until this process may take it."""
        seen = self.seen
        if self._since_us is None or (seen is not None and seen.holder in ("", self.identity)):
            return 0
        # Somebody deleted the Lease: its holder does not know that yet.
        named_s = 0 if seen is None else min(seen.duration_s, MOST_LEASE_S)
        return max(0, self._since_us + max(self._lease_us, named_s * 1_000_000) - now_us)

    # What comes in

    def saw(self, seen: Seen | None, now_us: int) -> None:
        """A read found this; ``now_us``: when its answer was there."""
        if seen is None:
            if self.seen is not None:
                self._since_us = now_us
        else:
            self._highest = max(self._highest, seen.transitions)
            if seen != self.seen or self._since_us is None:
                self._since_us = now_us
        self.seen = seen
        if seen is None or seen.holder != self.identity:
            self._until_us = 0

    def wrote(self, written: Seen, started_us: int, now_us: int) -> None:
        """A write of this process is confirmed; ``started_us``: before it was sent."""
        self.saw(written, now_us)
        if written.holder == self.identity:
            self._term = written.transitions
            self._until_us = started_us + self._lease_us - self._lease_us // MARGIN

    def outbid(self, term: int) -> None:
        """Terms up to this one are used, although the Lease does not say so."""
        self._floor = max(self._floor, term)

    def resign(self) -> None:
        """Lead no more, and stand no more."""
        self._resigned = True

    # What is to be written

    def wish(self, now_us: int, renewed: str) -> Seen | None:
        """What to write now in the place of what was seen; None: nothing.

        ``renewed`` is this machine's wall time, as it is to stand in the Lease.
        """
        seen = self.seen
        if self._resigned:
            if seen is None or seen.holder != self.identity:
                return None
            return Seen("", seen.transitions, 1, renewed)
        duration_s = self._lease_us // 1_000_000
        if self.is_leader(now_us):
            term = self._term if self._term > self._floor else self._floor + 1
            return Seen(self.identity, term, duration_s, renewed)
        if self.wait_us(now_us) > 0:
            return None
        return Seen(self.identity, max(self._highest, self._floor) + 1, duration_s, renewed)
