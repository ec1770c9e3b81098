"""What of a disk does not read: which cells, how many were mended, and whether files are damaged.

Owns the counts and which cells are damaged now. Must not mend: a cell is written anew by the
coordinator of its partition (PROTOCOL R8, R35); a disk with damaged files is given up for an empty
one when the supervisor allows it. Bounded: of more than ``MOST`` at one time the rest is counted
when there is room, at a later look.
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
        self.unreadable = ""
        """Why files do not read, in the engine's words; empty as long as all that were read did."""
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

    def note_unreadable(self, why: str) -> None:
        """A part of a file does not read; the first one is kept."""
        self.unreadable = self.unreadable or why

    def note_written(self, partition: int, key: bytes) -> None:
        """This cell was replaced or deleted."""
        if self._now and (partition, key) in self._now:
            self._now.discard((partition, key))
            self.mended += 1

    def note_cleared(self, partition: int) -> None:
        """All cells of the partition are gone."""
        for cell in [cell for cell in self._now if cell[0] == partition]:
            self.note_written(*cell)
