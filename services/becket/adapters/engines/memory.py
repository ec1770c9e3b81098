"""An engine in memory, for tests: what a crash leaves is what was synced.

Owns nothing on disk. ``crashed`` gives the engine that the next process would open.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from pathlib import Path

from becket.ports.engine import Change, Delete, EngineFailedError, Put


class MemoryEngine:
    """Sorted keys in memory, with the last synced state kept beside."""

    def __init__(self, content: dict[bytes, bytes] | None = None) -> None:
        self._values: dict[bytes, bytes] = dict(content or {})
        self._keys: list[bytes] = sorted(self._values)
        self._durable: dict[bytes, bytes] = dict(self._values)
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        """The value, None when absent."""
        self._check_open()
        return self._values.get(key)

    def apply(self, batch: Sequence[Change]) -> None:
        """Apply all changes in order."""
        self._check_open()
        for change in batch:
            if isinstance(change, Put):
                if change.key not in self._values:
                    insort(self._keys, change.key)
                self._values[change.key] = change.value
            elif isinstance(change, Delete):
                self._remove(change.key)
            else:
                low, high = (
                    bisect_left(self._keys, change.start),
                    bisect_left(self._keys, change.end),
                )
                for key in self._keys[low:high]:
                    del self._values[key]
                del self._keys[low : max(low, high)]

    def _remove(self, key: bytes) -> None:
        if self._values.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to ``limit`` pairs with start <= key < end, in order of key."""
        self._check_open()
        low, high = bisect_left(self._keys, start), bisect_left(self._keys, end)
        return [(key, self._values[key]) for key in self._keys[low : min(high, low + limit)]]

    def sync(self) -> None:
        """What is there now is what the next process will find."""
        self._check_open()
        self._durable = dict(self._values)

    def flush(self) -> None:
        """The same as a sync, here."""
        self.sync()

    def checkpoint(self, folder: Path) -> None:
        """Memory has no files to copy."""
        raise EngineFailedError(f"an engine in memory has no checkpoint for {folder}")

    def close(self) -> None:
        """Refuse every later call."""
        self._closed = True

    def crashed(self) -> MemoryEngine:
        """The engine as the next process finds it after a crash now."""
        return MemoryEngine(self._durable)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineFailedError("the engine is closed")
