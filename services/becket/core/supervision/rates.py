"""How fast plans go, measured, and how long one is expected to take.

Owns the rates and the expectation. Must not read clocks. A plan is bound by one of two things: how
fast bytes are copied, or how fast partitions change however little they hold. Each is measured
where it is what binds; until then it is assumed, and whoever is told so is told that, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

ASSUMED_BYTES_PER_S = 10_000_000.0
ASSUMED_STEPS_PER_S = 20.0
LARGE_STEP_BYTES = 1 << 20
"""From so many bytes a step on it is the bytes that bind."""

SLICE_US = 2_000_000
_SMOOTHING = 0.5


class Expectation(NamedTuple):
    """``seconds`` for the whole; ``is_measured``: by rates that were measured here."""

    seconds: float
    is_measured: bool


@dataclass
class _Slice:
    begun_us: int
    steps: int
    bytes: int


class Rates:
    """What was measured of the plans that this process saw."""

    def __init__(self) -> None:
        self.bytes_per_s: float | None = None
        self.steps_per_s: float | None = None
        self.plan_id = ""
        """The plan that was measured last."""
        self._slice: _Slice | None = None

    def note(self, now_us: int, plan_id: str, done_steps: int, done_bytes: int) -> None:
        """So much of the plan is done now; call it while the plan is running, not paused."""
        part = self._slice
        if part is None or plan_id != self.plan_id or done_steps < part.steps:
            self._slice, self.plan_id = _Slice(now_us, done_steps, done_bytes), plan_id
            return
        passed_us = now_us - part.begun_us
        if passed_us < SLICE_US or done_steps == part.steps:
            return  # A slice in which nothing was done goes on: it is slow, not a slice of nothing.
        self._learn(done_steps - part.steps, done_bytes - part.bytes, passed_us / 1e6)
        self._slice = _Slice(now_us, done_steps, done_bytes)

    def rest(self, now_us: int, done_steps: int, done_bytes: int) -> None:
        """Nothing is under way any more, or it is paused: the last slice ends here."""
        part, self._slice = self._slice, None
        if part is not None and now_us > part.begun_us and done_steps > part.steps:
            passed_s = (now_us - part.begun_us) / 1e6
            self._learn(done_steps - part.steps, done_bytes - part.bytes, passed_s)

    def _learn(self, steps: int, size: int, passed_s: float) -> None:
        if size / steps >= LARGE_STEP_BYTES:
            self.bytes_per_s = _smoothed(self.bytes_per_s, size / passed_s)
        else:
            self.steps_per_s = _smoothed(self.steps_per_s, steps / passed_s)

    def expectation(self, steps: int, size: int) -> Expectation:
        """How long so many steps of so many bytes together take, from now on."""
        if not steps:
            return Expectation(0.0, is_measured=True)
        binds_bytes = size / steps >= LARGE_STEP_BYTES
        known = self.bytes_per_s if binds_bytes else self.steps_per_s
        by_bytes = size / (self.bytes_per_s or ASSUMED_BYTES_PER_S)
        by_steps = steps / (self.steps_per_s or ASSUMED_STEPS_PER_S)
        if known is not None:
            # What binds is measured: what is only assumed of the other one says nothing beside it.
            seconds = size / known if binds_bytes else steps / known
            return Expectation(seconds, is_measured=True)
        return Expectation(max(by_bytes, by_steps), is_measured=False)


def _smoothed(known: float | None, new: float) -> float:
    return new if known is None else known + _SMOOTHING * (new - known)
