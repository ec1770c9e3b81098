"""Cells that do not read: how many were found, and what became of them.

Owns the counts and which cells are damaged now. Must not mend: the coordinator of the partition
does (PROTOCOL R8, R35), by writing the cell anew. Bounded: of more than ``MOST``
at one time the rest is counted when there is room, at a later look.
"""

from __future__ import annotations

MOST = 10_000


class Damage:
    """What one process knows of its disk; ``mended`` never passes ``found``."""

    def __init__(self) -> None:
        self.found = 0
        """Cells that were found damaged since the start."""
        self.mended = 0
        """Of these, the ones that were written anew, or deleted."""
        self._now: set[tuple[int, bytes]] = set()

    @property
    def present(self) -> int:
        """Cells that are known to be damaged now."""
        return len(self._now)

    def note(self, partition: int, key: bytes) -> None:
        """This cell does not read."""
        cell = (partition, key)
        if cell not in self._now and len(self._now) < MOST:
            self._now.add(cell)
            self.found += 1

    def note_written(self, partition: int, key: bytes) -> None:
        """This cell was replaced or deleted."""
        if self._now and (partition, key) in self._now:
            self._now.discard((partition, key))
            self.mended += 1

    def note_cleared(self, partition: int) -> None:
        """All cells of the partition are gone."""
        for cell in [cell for cell in self._now if cell[0] == partition]:
            self.note_written(*cell)
