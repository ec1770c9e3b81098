"""A cell and its bytes, remembered for the short time in which both are asked for again.

A coordinator's cell goes to the engine and to each peer, and a replica's came as the bytes that its
engine keeps: each is encoded or decoded once. Owns nothing but that memory. Must not be relied on:
what it has forgotten is encoded again, to the same bytes.
"""

from __future__ import annotations

from typing import Final

from becket.core.replication.cells import Cell
from becket.core.replication.encoding import decode_cell, encode_cell

MOST_CELLS: Final = 256
MOST_BYTES: Final = 16 << 10
"""A longer cell is not remembered: it would cost more memory than time."""


class CellBytes:
    """The last few cells, by identity: two cells that are equal may be two entries."""

    def __init__(self) -> None:
        # The cell is kept beside its bytes, so that no other object can have its id meanwhile.
        self._known: dict[int, tuple[Cell, bytes]] = {}

    def encode(self, cell: Cell) -> bytes:
        """The cell as bytes."""
        known = self._known.get(id(cell))
        if known is not None:
            return known[1]
        data = encode_cell(cell)
        self._keep(cell, data)
        return data

    def decode(self, data: bytes) -> Cell:
        """The cell that these bytes are; raises EncodingError."""
        cell = decode_cell(data)
        self._keep(cell, data)
        return cell

    def _keep(self, cell: Cell, data: bytes) -> None:
        if len(data) > MOST_BYTES:
            return
        if len(self._known) >= MOST_CELLS:
            self._known.clear()
        self._known[id(cell)] = (cell, data)


CELL_BYTES: Final = CellBytes()
"""One for the process: what comes in at one end goes out at another."""
