"""The clocks of this machine, in the units of the core.

Owns reading them and nothing else. ``CLOCK_BOOTTIME`` goes on while a machine is suspended, which
leases rely on (PROTOCOL R22-R25); ``CLOCK_MONOTONIC`` stops.
"""

from __future__ import annotations

import time

_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def monotonic_us() -> int:
    """Microseconds since some fixed moment; never goes back."""
    return time.clock_gettime_ns(_MONOTONIC) // 1000


def wall_ms() -> int:
    """Milliseconds since 1970, by the machine's clock; may jump."""
    return time.time_ns() // 1_000_000


def both() -> tuple[int, int]:
    """(monotonic microseconds, wall milliseconds): what each step of the core takes."""
    return time.clock_gettime_ns(_MONOTONIC) // 1000, time.time_ns() // 1_000_000
