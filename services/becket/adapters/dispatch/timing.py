"""The clock and the timer of a dispatcher, so that tests can hold both.

Owns nothing but the port and its adapter to an event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from becket.adapters.clocks import monotonic_us


class Clock(Protocol):
    """Time that never goes back, and a call after some of it."""

    def now_us(self) -> int:
        """Microseconds since some fixed moment."""

    def call_later(self, delay_us: int, callback: Callable[[], None]) -> None:
        """Call back once, after the delay, from the event loop."""


class LoopClock:
    """The machine's clock and the running loop's timer."""

    def now_us(self) -> int:
        return monotonic_us()

    def call_later(self, delay_us: int, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(delay_us / 1e6, callback)
