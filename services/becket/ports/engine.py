"""The engine port: ordered keys on one disk, written in atomic batches, synced on demand.

Guarantees that every adapter gives, and the contract suite checks: a batch is visible as a whole to
the next read, before it is synced; after ``sync`` everything applied before survives the power
going off; after a crash what was not synced is gone from the end, whole batches at a time, never
from the middle. Any failure of a write or a sync is final (``EngineFailedError``): the process
must stop acknowledging and end, and never sync again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from becket.core.errors import BecketError


class EngineFailedError(BecketError):
    """A write or a sync failed; what the disk holds is not known any more."""


class EngineCorruptError(BecketError):
    """The engine cannot be opened: its files are damaged. The disk counts as lost (R7)."""


class Put(NamedTuple):
    """Store ``value`` under ``key``."""

    key: bytes
    value: bytes


class Delete(NamedTuple):
    """Remove ``key``, which may be absent."""

    key: bytes


class DeleteRange(NamedTuple):
    """Remove every key in [start, end)."""

    start: bytes
    end: bytes


Change = Put | Delete | DeleteRange


class Engine(Protocol):
    """One open engine. Not safe for several threads at once, but for ``sync`` beside reads."""

    def get(self, key: bytes) -> bytes | None:
        """The value, None when absent."""

    def apply(self, batch: Sequence[Change]) -> None:
        """Apply all changes in order, atomically, without sync; raises EngineFailedError."""

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to ``limit`` pairs with start <= key < end, in order of key."""

    def sync(self) -> None:
        """Make everything applied so far durable; raises EngineFailedError. May run in a thread."""

    def flush(self) -> None:
        """Move everything from the log into tables, durably; for starts and checkpoints."""

    def checkpoint(self, folder: Path) -> None:
        """Write a consistent copy of the present state into ``folder``, which must not exist."""

    def close(self) -> None:
        """Release the files; every later call fails."""
