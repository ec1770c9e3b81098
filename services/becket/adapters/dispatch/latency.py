"""How long a lane takes to answer: a smoothed mean and the 95th percentile of late.

Owns the arithmetic. Bounded: the last 128 samples. Figures are microseconds a batch.
"""

from __future__ import annotations

SAMPLES = 128
_EVERY = 16
_WEIGHT = 0.1


class Latency:
    """The answer times of one lane."""

    def __init__(self) -> None:
        self.mean_us = 1000.0
        """Smoothed; starts with a guess that lets a new lane be tried."""
        self.p95_us = 0
        """Of the last samples, renewed every 16 of them; 0 while there are fewer."""
        self._samples: list[int] = []
        self._at = 0
        self._noted_us = 0

    def expected_us(self, now_us: int) -> float:
        """The smoothed mean, halved for each second without a sample.

        Else a lane that was slow once would never be tried again, and never seem better.
        """
        idle_s = min((now_us - self._noted_us) / 1e6, 30.0)
        return self.mean_us if idle_s < 1 else self.mean_us / 2**idle_s

    def note(self, took_us: int, now_us: int) -> None:
        """Take one sample."""
        self._noted_us = now_us
        self.mean_us += _WEIGHT * (took_us - self.mean_us)
        if len(self._samples) < SAMPLES:
            self._samples.append(took_us)
        else:
            self._samples[self._at % SAMPLES] = took_us
        self._at += 1
        if self._at % _EVERY == 0:
            ordered = sorted(self._samples)
            self.p95_us = ordered[len(ordered) * 95 // 100]
