"""Times, numbers and shares of weighing, frozen, with the relations between them checked."""

from __future__ import annotations

from dataclasses import dataclass

from becket.core.errors import require

SECOND = 1_000_000


@dataclass(frozen=True)
class LoadSettings:
    """Times in microseconds of a monotonic clock.

    Raises InvalidInputError naming the field when a value or a relation is broken.
    """

    report_us: int = 1 * SECOND
    """How often a member reports, as long as ``reports_per_second`` allows it."""
    reports_per_second: int = 500
    """Of all members together; with more members than that each reports less often."""
    members: int = 1000
    """So many members are known at most; a report of a further one is refused."""
    smooth_us: int = 5 * SECOND
    """A report counts for ``1 - exp(-distance / smooth_us)`` of what is known."""
    fresh_reports: int = 3
    """A report is as good as new until so many should have followed it."""
    fade_us: int = 7 * SECOND
    """Then its weight goes to the mean over this time."""
    keep_us: int = 20 * SECOND
    """After that it is kept, at the mean, for this time, and forgotten."""
    slow_start_us: int = 10 * SECOND
    """A process that has just begun gets its full weight after this time: its caches are cold."""
    slow_least: float = 0.2
    """It begins with this share of its weight."""
    spread: float = 4.0
    """No member's room is taken for more than so many times the median's, or less than its part."""
    change: float = 0.05
    """Weights are told anew when one has changed by this share."""
    wide_share: float = 0.05
    """A key is wide when its reads are this share of what an average member does in all."""
    wide_reads_per_second: float = 200.0
    """But not below this rate: few reads burden nobody."""
    cool_share: float = 0.5
    """A wide key stays wide until its reads are below this share of what made it wide."""
    wide_keys: int = 64
    """So many keys are wide at most, the hottest."""
    staleness_us: int = 1 * SECOND
    """How old an answer of a wide key's replica may be."""

    def __post_init__(self) -> None:
        """Check each value and relation."""
        for field in ("report_us", "reports_per_second", "members", "smooth_us", "fade_us"):
            require(getattr(self, field) > 0, field, "must be positive")
        require(self.slow_start_us > 0, "slow_start_us", "must be positive")
        require(0 < self.slow_least <= 1, "slow_least", "must be in (0, 1]")
        require(self.fresh_reports >= 2, "fresh_reports", "must be at least 2: one may be late")
        require(self.keep_us >= 0, "keep_us", "must not be negative")
        require(self.spread >= 1, "spread", "must be at least 1")
        require(0 < self.change < 1, "change", "must be in (0, 1)")
        require(0 < self.wide_share <= 1, "wide_share", "must be in (0, 1]")
        require(self.wide_reads_per_second > 0, "wide_reads_per_second", "must be positive")
        require(0 < self.cool_share < 1, "cool_share", "must be in (0, 1): wide and cool are apart")
        require(0 <= self.wide_keys <= 1000, "wide_keys", "must be in 0..1000")
        require(self.staleness_us > 0, "staleness_us", "must be positive")

    def interval_us(self, members: int) -> int:
        """How often each of so many members should report."""
        return max(self.report_us, members * SECOND // self.reports_per_second)

    def freshness(self, age_us: int, members: int) -> float:
        """1.0 for a report that is as good as new, 0.0 for one that says nothing any more."""
        faded_us = age_us - self.fresh_reports * self.interval_us(members)
        return min(1.0, max(0.0, 1.0 - faded_us / self.fade_us))

    def growth(self, since_us: int) -> float:
        """The share of its weight that a process gets which has reported for so long."""
        grown = min(1.0, max(0, since_us) / self.slow_start_us)
        return self.slow_least + (1.0 - self.slow_least) * grown

    def gone_us(self, members: int) -> int:
        """The age at which a report is forgotten."""
        return self.fresh_reports * self.interval_us(members) + self.fade_us + self.keep_us
