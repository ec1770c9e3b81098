"""Cells and partition records: what was written reads back, and nothing else reads at all."""

from __future__ import annotations

import contextlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becket.core.errors import EncodingError
from becket.core.replication.cells import Cell, Record, Result, Verdict
from becket.core.replication.encoding import (
    FORMAT,
    decode_cell,
    decode_head,
    decode_partition,
    decode_shown,
    encode_cell,
    encode_partition,
    seal,
)
from becket.core.replication.store import EMPTY, PartitionRecord
from becket.core.replication.versions import ZERO, Epoch, Version
from becket.core.ring.config import first_config

U64 = st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
DISKS = st.text(st.characters(codec="utf-8"), max_size=20)
EPOCHS = st.builds(Epoch, U64, DISKS, U64)
VERSIONS = st.builds(Version, EPOCHS, U64)
VALUES = st.none() | st.binary(max_size=40)
RESULTS = st.builds(Result, st.sampled_from(Verdict), st.none() | VERSIONS, VALUES, I64)
RECORDS = st.builds(Record, DISKS, U64, st.lists(RESULTS, max_size=3).map(tuple), VERSIONS, I64)
CELLS = st.builds(
    Cell, VERSIONS, VERSIONS, VALUES, I64, st.lists(RECORDS, max_size=3).map(tuple), VERSIONS
)
FINAL = first_config(("a", "b", "c"))
CONFIGS = st.sampled_from([None, FINAL, FINAL.begin(("d", "é"))])
PARTITIONS = st.builds(
    PartitionRecord, CONFIGS, EPOCHS, VERSIONS, st.none() | st.integers(1, 2**62)
)


@given(CELLS)
def test_a_cell_reads_back(cell: Cell) -> None:
    encoded = encode_cell(cell)
    assert decode_cell(encoded) == cell
    assert decode_head(encoded) == cell.head
    assert decode_shown(encoded) == cell.shown
    sealed = seal(encoded)
    assert (sealed.ver, sealed.rec_floor, sealed.head) == (cell.ver, cell.rec_floor, cell.head)
    assert sealed.opened() == cell


@given(PARTITIONS)
def test_a_partition_reads_back(record: PartitionRecord) -> None:
    assert decode_partition(encode_partition(record)) == record


def test_the_empty_ones() -> None:
    assert decode_partition(encode_partition(EMPTY)) == EMPTY
    tombstone = Cell(Version(Epoch(1, "a", 1), 1), ZERO, None, 0, (), ZERO)
    assert decode_cell(encode_cell(tombstone)) == tombstone
    empty = tombstone._replace(value=b"")
    assert decode_cell(encode_cell(empty)) == empty


@given(CELLS, st.data())
def test_r8_one_flipped_bit_is_noticed(cell: Cell, data: st.DataObject) -> None:
    encoded = bytearray(encode_cell(cell))
    bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    for decode in (decode_cell, decode_head, decode_shown, seal):
        with pytest.raises(EncodingError):
            decode(bytes(encoded))


@given(CELLS, st.data())
def test_a_cell_cut_short_is_noticed(cell: Cell, data: st.DataObject) -> None:
    encoded = encode_cell(cell)
    short = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    for decode in (decode_cell, decode_head, decode_shown, seal):
        with pytest.raises(EncodingError):
            decode(short)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_read_or_raise_encoding_error(body: bytes, sealed: bool) -> None:
    data = struct.pack("<BI", FORMAT, zlib.crc32(body)) + body if sealed else body
    for decode in (decode_cell, decode_head, decode_shown, decode_partition, seal):
        with contextlib.suppress(EncodingError):
            decode(data)


def test_a_newer_format_is_named() -> None:
    encoded = bytes((FORMAT + 1,)) + encode_cell(Cell(ZERO, ZERO, b"v", 0, (), ZERO))[1:]
    with pytest.raises(EncodingError, match=r"cell\.format: is 2, this program reads 1"):
        decode_cell(encoded)
