"""A simulated disk: what was written, what of it is synced, and what a crash leaves.

Owns the durable state of one disk id. A crash keeps what was synced and, of what was not, any
number of whole transactions from the front: a write-ahead log loses its tail, never its middle.
"""

from __future__ import annotations

import random

from becket.core.replication import registers
from becket.core.replication.cells import Cell, Head, Result, SealedCell
from becket.core.replication.store import (
    ClearCells,
    CorruptCellError,
    DeleteCell,
    PartitionRecord,
    PutCell,
    PutDigest,
    PutRecord,
    Recovered,
    UnreadableError,
    Write,
)


class Image:
    """The content of a disk at one moment."""

    def __init__(self) -> None:
        self.records: dict[int, PartitionRecord] = {}
        self.cells: dict[int, dict[bytes, Cell]] = {}
        self.digests: dict[int, dict[int, int]] = {}
        self.corrupt: set[tuple[int, bytes]] = set()

    def copy(self) -> Image:
        """An independent copy."""
        image = Image()
        image.records = dict(self.records)
        image.cells = {p: dict(cells) for p, cells in self.cells.items()}
        image.digests = {p: dict(digests) for p, digests in self.digests.items()}
        image.corrupt = set(self.corrupt)
        return image

    def apply(self, writes: list[Write]) -> None:
        """Apply one transaction."""
        for write in writes:
            if isinstance(write, PutCell):
                cell = write.cell.opened() if isinstance(write.cell, SealedCell) else write.cell
                self.cells.setdefault(write.partition, {})[write.key] = cell
                self.corrupt.discard((write.partition, write.key))
            elif isinstance(write, PutDigest):
                self.digests.setdefault(write.partition, {})[write.bucket] = write.digest
            elif isinstance(write, PutRecord):
                self.records[write.partition] = write.record
            elif isinstance(write, DeleteCell):
                self.cells.get(write.partition, {}).pop(write.key, None)
                self.corrupt.discard((write.partition, write.key))
            else:
                assert isinstance(write, ClearCells)
                self.cells.pop(write.partition, None)
                self.digests.pop(write.partition, None)
                self.corrupt = {at for at in self.corrupt if at[0] != write.partition}


class SimulatedDisk:
    """One disk id, with the engine's view of it."""

    def __init__(self, disk: str) -> None:
        self.disk = disk
        self.incarnation = 0
        self.durable = Image()
        self.view = Image()
        self.unsynced: list[list[Write]] = []
        self.unreadable: set[int] = set()
        """Partitions of which no page reads any more, as where a block of a file is damaged."""

    def apply(self, writes: list[Write]) -> None:
        """Apply a transaction without sync."""
        self.view.apply(writes)
        self.unsynced.append(writes)

    def sync(self, transactions: int) -> None:
        """The first ``transactions`` of what was not synced are durable now."""
        for writes in self.unsynced[:transactions]:
            self.durable.apply(writes)
        del self.unsynced[:transactions]

    def crash(self, rng: random.Random) -> None:
        """Lose the unsynced tail, or a part of it."""
        if self.unsynced:
            self.sync(rng.randint(0, len(self.unsynced)))
        self.unsynced = []
        self.view = self.durable.copy()

    def corrupt(self, rng: random.Random) -> bool:
        """Damage one stored cell for good; False when there is none."""
        stored = sorted(
            (p, key)
            for p, cells in self.durable.cells.items()
            for key in cells
            if key in self.view.cells.get(p, {})
        )
        if not stored:
            return False
        at = rng.choice(stored)
        self.durable.corrupt.add(at)
        self.view.corrupt.add(at)
        return True

    def recovered(self) -> Recovered:
        """What a process finds when it opens this disk."""
        return Recovered(dict(self.view.records), self.view.digests)

    # CellReader

    def get(self, partition: int, key: bytes) -> Cell | None:
        """The cell; raises CorruptCellError."""
        if (partition, key) in self.view.corrupt:
            raise CorruptCellError(f"{key!r} of partition {partition}")
        cells = self.view.cells.get(partition)
        return cells.get(key) if cells is not None else None

    def head(self, partition: int, key: bytes) -> Head | None:
        """The head of the cell; raises CorruptCellError."""
        cell = self.get(partition, key)
        return cell.head if cell is not None else None

    def shown(self, partition: int, key: bytes) -> Result:
        """What a get of the cell finds; raises CorruptCellError."""
        return registers.read(self.get(partition, key))

    def page(
        self, partition: int, after: bytes | None, limit: int
    ) -> list[tuple[bytes, Head | None]]:
        """Heads in order of key; raises UnreadableError."""
        if partition in self.unreadable:
            raise UnreadableError(f"partition {partition}")
        cells = self.view.cells.get(partition)
        if not cells:
            return []
        keys = sorted(key for key in cells if after is None or key > after)[:limit]
        corrupt = self.view.corrupt
        return [(key, None if (partition, key) in corrupt else cells[key].head) for key in keys]
