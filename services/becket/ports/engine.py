"""The engine port: ordered keys on one disk, written in atomic batches, synced on demand.

Guarantees that every adapter gives, and the contract suite checks: a batch is visible as a whole to
the next read, before it is synced; after ``sync`` everything applied before survives the power
going off; after a crash what was not synced is gone from the end, whole batches at a time, never
from the middle. Any failure of a write or a sync is final (``EngineFailedError``): the process
must stop acknowledging and end, and never sync again. What does not read is an error
(``EngineCorruptError``), never absent: neither a key nor the rest of a range.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from becket.core.errors import BecketError


class EngineFailedError(BecketError):
    """A write or a sync failed; what the disk holds is not known any more.

    ``is_corrupt``: it was refused because files that were written before do not read.
    """

    def __init__(self, message: str, *, is_corrupt: bool = False) -> None:
        super().__init__(message)
        self.is_corrupt = is_corrupt


class EngineCorruptError(BecketError):
    """Files are damaged.

    An engine that cannot be opened is a lost disk (R7). Otherwise a part of it does not read, and
    nobody can say which keys were there (R8).
    """


class Put:
    """Store ``value`` under ``key``.

    A class and no tuple: two are made for each write of a client, and a compiled one is made in a
    quarter of the time.
    """

    __slots__ = ("key", "value")

    def __init__(self, key: bytes, value: bytes) -> None:
        self.key = key
        self.value = value


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
        """The value, None when absent; raises EngineCorruptError."""

    def apply(self, batch: Sequence[Change]) -> None:
        """Apply all changes in order, atomically, without sync; raises EngineFailedError."""

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to ``limit`` pairs with start <= key < end, in order of key.

        Raises EngineCorruptError where the range does not read: a part of it would be no answer.
        """

    def sync(self) -> None:
        """Make everything applied so far durable; raises EngineFailedError. May run in a thread."""

    def flush(self) -> None:
        """Move everything from the log into tables, durably; for starts and checkpoints."""

    def checkpoint(self, folder: Path) -> None:
        """Write a consistent copy of the present state into ``folder``, which must not exist."""

    def close(self) -> None:
        """Release the files; every later call fails."""
