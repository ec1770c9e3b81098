"""One report of one member, checked at the edge."""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

from becket.core.errors import require
from becket.core.load.hot_keys import HotKey
from becket.core.ring.config import Disk

MAX_HOT_KEYS = 32
MAX_KEY_BYTES = 65_535
MAX_DISK_BYTES = 253


class Report(NamedTuple):
    """What a member says of itself; shares are 0.0 to 1.0, a latency of 0 says nothing."""

    disk: Disk
    incarnation: int
    in_flight: int = 0
    operations_per_second: float = 0.0
    latency_us: int = 0
    cpu: float = 0.0
    disk_used: float = 0.0
    hot_keys: tuple[HotKey, ...] = ()

    def check(self) -> Report:
        """This report; raises InvalidInputError naming the field that cannot be."""
        size = len(self.disk.encode(errors="replace"))
        require(1 <= size <= MAX_DISK_BYTES, "disk_id", f"must be 1..{MAX_DISK_BYTES} bytes")
        rate = self.operations_per_second
        require(isfinite(rate) and rate >= 0, "operations_per_second", "must be 0 or more")
        require(self.latency_us >= 0, "latency", "must be 0 or more")
        for field, value in (("cpu_utilization", self.cpu), ("disk_utilization", self.disk_used)):
            require(0.0 <= value <= 1.0, field, "must be in 0..1")
        require(len(self.hot_keys) <= MAX_HOT_KEYS, "hot_keys", f"must be at most {MAX_HOT_KEYS}")
        for place, (key, reads, error) in enumerate(self.hot_keys):
            field = f"hot_keys[{place}]"
            require(1 <= len(key) <= MAX_KEY_BYTES, f"{field}.key", f"must be 1..{MAX_KEY_BYTES}")
            fits = isfinite(reads) and 0 <= error <= reads
            require(fits, f"{field}.error_per_second", "must be in 0..reads_per_second")
        return self
