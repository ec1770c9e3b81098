"""What a benchmark has measured: outcomes counted, times in an HDR histogram.

Owns the numbers of one run. Times are nanoseconds when they are handed in and microseconds in the
report; one over a minute counts as a minute. Must not measure. Samples are gathered and put into
the histogram in bulk, since one entry at a time would cost as much as a fast operation.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from hdrh.histogram import HdrHistogram

LONGEST_US = 60_000_000
DIGITS = 3
GATHERED = 200_000
"""Samples that are gathered before they are put into the histogram."""

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9, 99.99)
MOST_REASONS = 5


class Recording:
    """One run: ``done`` counts operations, also those of a batch; times are those of calls."""

    def __init__(self) -> None:
        self.done = 0
        self.absent = 0
        """Reads among them that found nothing."""
        self.seconds = 0.0
        self.processor_s: float | None = None
        """Processor time of every process that took part; None where it is not known."""
        self.failed: Counter[str] = Counter()
        """Operations that were not done, by outcome."""
        self.reasons: Counter[str] = Counter()
        self._histogram = HdrHistogram(1, LONGEST_US, DIGITS)
        self._samples: list[int] = []

    def note(self, took_ns: int, operations: int = 1) -> None:
        """A call has returned."""
        samples = self._samples
        samples.append(took_ns // 1000)
        self.done += operations
        if len(samples) >= GATHERED:
            self._gather()

    def fail(self, outcome: str, error: BaseException, operations: int = 1) -> None:
        """A call has failed; ``outcome`` says what that means for its operations."""
        self.failed[outcome] += operations
        reason = f"{type(error).__name__}: {error}"[:200]
        if reason in self.reasons or len(self.reasons) < MOST_REASONS:
            self.reasons[reason] += 1

    def _gather(self) -> None:
        samples, self._samples = self._samples, []
        for micros, count in Counter(samples).items():
            self._histogram.record_value(min(max(micros, 1), LONGEST_US), count)

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.done / self.seconds if self.seconds else 0.0

    def percentile_us(self, percent: float) -> int:
        """The time within which so many per cent of the calls returned."""
        if self._samples:
            self._gather()
        return int(self._histogram.get_value_at_percentile(percent))

    def curve(self) -> list[tuple[float, int]]:
        """Points (per cent, microseconds) for a plot of all percentiles."""
        shares = [0.0, 25.0, 50.0, 75.0]  # then each point halves the tail
        shares += [100 - 100 / 2**halving for halving in range(3, 16)]
        return [(share, self.percentile_us(share)) for share in shares]

    def row(self) -> dict[str, Any]:
        """The report of this run, as JSON takes it."""
        percentiles = {f"p{p:g}_us": self.percentile_us(p) for p in PERCENTILES}
        per_operation = None
        if self.processor_s is not None and self.done:
            per_operation = round(self.processor_s / self.done * 1e6, 2)
        return {
            "operations": self.done,
            "absent": self.absent,
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 1),
            **percentiles,
            "max_us": self.percentile_us(100),
            "processor_us": per_operation,
            "failed": dict(self.failed),
            "reasons": dict(self.reasons),
        }


class Clock:
    """How long a run takes."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def seconds(self) -> float:
        """Since it was made."""
        return time.perf_counter() - self._began
