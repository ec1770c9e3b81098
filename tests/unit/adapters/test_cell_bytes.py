"""Cells and their bytes are remembered for a moment, and never told wrongly."""

from __future__ import annotations

import pytest

from becket.adapters.cell_bytes import MOST_BYTES, MOST_CELLS, CellBytes
from becket.core.errors import EncodingError
from becket.core.replication.cells import Cell
from becket.core.replication.encoding import decode_cell, encode_cell
from becket.core.replication.versions import ZERO, Epoch, Version


def cell(number: int, value: bytes = b"v") -> Cell:
    ver = Version(Epoch(1, "disk", 1), number)
    return Cell(ver, ver, value, 0, (), ZERO)


def test_a_cell_is_encoded_once_and_a_decoded_one_not_again() -> None:
    known = CellBytes()
    one = cell(1)
    data = known.encode(one)
    assert data == encode_cell(one)
    assert known.encode(one) is data
    came = known.decode(data)
    assert came == one
    assert known.encode(came) is data


def test_cells_that_came_and_went_are_never_taken_for_one_another() -> None:
    known = CellBytes()
    for number in range(3 * MOST_CELLS):
        assert decode_cell(known.encode(cell(number))).ver.seq == number
        assert len(known._known) <= MOST_CELLS


def test_a_long_cell_is_not_remembered() -> None:
    known = CellBytes()
    long = cell(1, bytes(MOST_BYTES))
    assert known.encode(long) == encode_cell(long)
    assert not known._known


def test_bytes_that_are_no_cell_are_refused_and_not_remembered() -> None:
    known = CellBytes()
    with pytest.raises(EncodingError):
        known.decode(b"no cell at all")
    assert not known._known
