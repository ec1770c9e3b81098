"""Every time and limit of the replication core, frozen, with the relations between them checked.

Units are in the names: microseconds on the monotonic clock, milliseconds on the wall clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from becket.core.errors import require
from becket.core.suspicion import SuspicionTime

MS = 1000

SPREAD_STEPS = 16
"""See ``spread_us``."""


@dataclass(frozen=True)
class Settings:
    """Times and limits; the defaults are for a cluster on one local network.

    Raises InvalidInputError naming the field when a relation between two fields is broken.
    """

    lease_us: int = 400 * MS
    """D of R22-R25; at most one second, because the quarantine after a start is that long."""
    clock_rate_error: float = 0.01
    """Rho: bound of the clock rate's error against real time, on both sides."""
    quarantine_us: int = 1000 * MS
    suspicion_us: int = 400 * MS
    suspicion_factor: int = 2
    """So many times ``suspicion_us`` at most, for a peer whose claims come late."""
    stand_step_us: int = 40 * MS
    """Replica number k of a partition's order stands k steps later than the first."""
    stand_unlevel_us: int = 300 * MS
    """A member that is not level stands this much later than a level one (R11)."""
    candidature_us: int = 1500 * MS
    would_promise_us: int = 100 * MS
    claim_us: int = 100 * MS
    """As often as beats go out, which go along: one message a peer carries both."""
    resend_us: int = 100 * MS
    round_us: int = 1000 * MS
    """A write that no quorum has taken for so long is given up as unknown (R15)."""
    isolation_us: int = 1200 * MS
    """A coordinator that has heard no quorum for so long steps down."""
    drain_us: int = 50 * MS
    """A hand-over waits this long for operations that have started (R24)."""
    park_us: int = 100 * MS
    """A hand-over holds new operations this long for the successor (R24)."""
    gossip_us: int = 1000 * MS
    purge_age_us: int = 60_000 * MS
    sweep_us: int = 1000 * MS
    page_us: int = 100 * MS
    """How often one page of one coordinated partition is swept for tombstones and what has expired:
    background reading costs the same however much a member holds."""
    laggard_us: int = 500 * MS
    """A member that has not acked a chosen write for so long is taken to lack it (R35)."""
    calm_us: int = 300 * MS
    """A reign that begins with equal digests of a quorum compares with the others so much later, or
    up to twice that: nobody waits for it, while clients of other partitions may wait."""
    compare_us: int = 30_000 * MS
    return_us: int = 1000 * MS
    """How often a coordinator looks whether the first of the order should have it back."""
    buckets: int = 64
    page_keys: int = 128
    copy_window: int = 64
    """Keys that copying or purging has under way one by one in a partition."""
    copy_keys: int = 32
    """Keys in one message of a copy, of which a partition has one under way: a newcomer stores so
    many in some 2 ms, and callers wait no longer behind them."""
    copy_bytes: int = 256 * 1024
    """A message of a copy takes no further key once it holds so much."""
    level_window: int = 64
    """Keys that levelling has under way in all partitions together: after a member's return each of
    them differs, and clients' operations wait behind what is done for it."""
    queue_limit: int = 1000
    """Attempts waiting for one key; beyond it they are refused as overload."""
    park_limit: int = 10_000
    hand_over_window: int = 4
    """Partitions that a member which leaves has on their way to successors at any moment (R24): all
    at once would keep each of them waiting for the others."""
    fold_limit: int = 64
    """Writes of one key that are joined into one Accept (R14a)."""
    fresh_limit: int = 10_000
    """Keys of one partition whose chosen cell is remembered."""
    records_kept: int = 8
    records_limit: int = 64
    record_age_ms: int = 5000

    def __post_init__(self) -> None:
        """Check each relation; the names of the fields are in the message."""
        require(0 < self.lease_us <= 1_000_000, "lease_us", "must be within 1 s (R22)")
        require(self.lease_us <= self.quarantine_us, "quarantine_us", "must not be under lease_us")
        require(self.lease_us <= self.suspicion_us, "suspicion_us", "must not be under lease_us")
        require(self.suspicion_factor >= 1, "suspicion_factor", "must be at least 1")
        require(self.claim_us < self.lease_us, "claim_us", "must be under lease_us")
        require(0 <= self.clock_rate_error < 0.5, "clock_rate_error", "must be in [0, 0.5)")
        require(self.drain_us < self.park_us, "park_us", "must be over drain_us")
        require(1 <= self.buckets <= 4096, "buckets", "must be in 1..4096")
        require(
            0 < self.records_kept <= self.records_limit,
            "records_limit",
            "must not be under records_kept",
        )
        for name in (
            "page_keys",
            "copy_window",
            "copy_keys",
            "copy_bytes",
            "level_window",
            "queue_limit",
            "park_limit",
            "hand_over_window",
            "fold_limit",
        ):
            require(getattr(self, name) > 0, name, "must be positive")

    def suspicion_time(self) -> SuspicionTime:
        """That of a peer of which nothing is known."""
        return SuspicionTime(self.suspicion_us, self.suspicion_factor)

    def lease_until(self, sent_us: int) -> int:
        """When a lease that was asked for at ``sent_us`` ends for its owner (R23)."""
        rho = self.clock_rate_error
        return sent_us + int(self.lease_us * (1 - rho) / (1 + rho))


def spread_us(pause_us: int, partition: int) -> int:
    """``pause_us`` or up to twice that, in so many steps, by the partition.

    What begins for many partitions together goes on for a few of them at a time.
    """
    return pause_us + pause_us * (partition % SPREAD_STEPS) // SPREAD_STEPS
