"""Cells and partition records as bytes, for an engine's values.

Owns the format: one byte for its version, a checksum over the rest, then the fields; integers are
little-endian, texts carry their length. Must not know where the bytes are kept. Invariants: what
was written reads back equal; any other bytes raise EncodingError, never something else, so that a
damaged cell is told from an absent one (R8).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeVar

from becket.core.errors import EncodingError
from becket.core.replication.cells import (
    NOTHING,
    Cell,
    Head,
    Record,
    Result,
    SealedCell,
    Verdict,
)
from becket.core.replication.store import PartitionRecord
from becket.core.replication.versions import NO_EPOCH, ZERO, Epoch, Version
from becket.core.ring.config import Config

Decoded = TypeVar("Decoded")

# Compiled, a constant that is final needs no look into the module.
FORMAT: Final = 1

_HEAD: Final = struct.Struct("<BI")
_EPOCH: Final = struct.Struct("<QQB")
_SEQ: Final = struct.Struct("<Q")
_SIZE: Final = struct.Struct("<I")
_COUNT: Final = struct.Struct("<H")
_SIGNED: Final = struct.Struct("<q")
_TIME_COUNT: Final = struct.Struct("<qH")
_HEAD_BYTES: Final = 5
_EPOCH_BYTES: Final = 17
_NO_TIME: Final = _SIGNED.pack(0)
_FEW_BYTES: Final = 4096
_VERDICTS: Final = {int(verdict): verdict for verdict in Verdict}

MOST_EPOCHS: Final = 4096
"""Epochs remembered in either direction: about one a partition, so that nearly all are known."""

_TOMBSTONE: Final = 1
_OWN_MOD: Final = 2
_EXPIRES: Final = 4
_FLOOR: Final = 8
_HAS_VERSION: Final = 1
_HAS_VALUE: Final = 2


def encode_cell(cell: Cell) -> bytes:
    """The cell as bytes."""
    flags = (
        (_TOMBSTONE if cell.value is None else 0)
        | (_OWN_MOD if cell.mod == cell.ver else 0)
        | (_EXPIRES if cell.expire_ms else 0)
        | (_FLOOR if cell.rec_floor != ZERO else 0)
    )
    parts = [bytes((flags,)), _version(cell.ver)]
    if not flags & _OWN_MOD:
        parts.append(_version(cell.mod))
    if flags & _EXPIRES:
        parts.append(_SIGNED.pack(cell.expire_ms))
    if flags & _FLOOR:
        parts.append(_version(cell.rec_floor))
    parts.append(_COUNT.pack(len(cell.records)))
    parts += [_record(record) for record in cell.records]
    if cell.value is not None:
        parts.append(cell.value)
    return _sealed(parts)


def decode_cell(data: bytes) -> Cell:
    """The cell that ``encode_cell`` wrote; raises EncodingError."""
    return _decoded(data, _read_cell)


def decode_head(data: bytes) -> Head:
    """The head of the cell that ``encode_cell`` wrote: a sixth of the cost beside two records.

    Raises EncodingError: the checksum is over all of it.
    """
    return _decoded(data, _read_head)


def decode_shown(data: bytes) -> Result:
    """What a get finds in the cell that ``encode_cell`` wrote: its records are passed over.

    Raises EncodingError.
    """
    return _decoded(data, _read_shown)


def seal(data: bytes) -> SealedCell:
    """The cell that ``encode_cell`` wrote, as those bytes; raises EncodingError.

    That its records and its value have their places is seen here, what they say is not read.
    """
    _check_seal(data, "cell")
    try:
        head, _, at = _read_beginning(data)
        _after_records(data, at, head)
    except (struct.error, IndexError, ValueError) as error:
        raise EncodingError("cell", f"does not read: {error}") from error
    return SealedCell(data, head, decode_cell)


def _decoded(data: bytes, read: Callable[[bytes], Decoded]) -> Decoded:
    _check_seal(data, "cell")
    try:
        return read(data)
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise EncodingError("cell", f"does not read: {error}") from error


# Plain functions over an offset: each write of a key decodes its cell first, and a reader object
# costs four times as much.


def _read_head(data: bytes) -> Head:
    return _read_beginning(data)[0]


def _read_beginning(data: bytes) -> tuple[Head, Version, int]:
    """The head, ``mod``, and where the records begin."""
    flags, at = data[_HEAD_BYTES], _HEAD_BYTES + 1
    ver, at = _read_version(data, at)
    mod = ver
    if not flags & _OWN_MOD:
        mod, at = _read_version(data, at)
    expire_ms, rec_floor = 0, ZERO
    if flags & _EXPIRES:
        (expire_ms,) = _SIGNED.unpack_from(data, at)
        at += 8
    if flags & _FLOOR:
        rec_floor, at = _read_version(data, at)
    return Head(ver, bool(flags & _TOMBSTONE), expire_ms, rec_floor), mod, at


def _read_cell(data: bytes) -> Cell:
    (ver, is_tombstone, expire_ms, rec_floor), mod, at = _read_beginning(data)
    count, at = _number(data, at, 2), at + 2
    records = []
    for _ in range(count):
        record, at = _read_record(data, at)
        records.append(record)
    value = None
    if not is_tombstone:
        value, at = data[at:], len(data)
    if at != len(data):
        raise ValueError(f"goes on after {at} bytes")
    return Cell(ver, mod, value, expire_ms, tuple(records), rec_floor)


def _read_shown(data: bytes) -> Result:
    head, mod, at = _read_beginning(data)
    at = _after_records(data, at, head)
    if head.is_tombstone:
        return NOTHING
    return Result(Verdict.DONE, mod, data[at:], head.expire_ms)


def _after_records(data: bytes, at: int, head: Head) -> int:
    """Where the value begins, behind the records that begin at ``at``."""
    count, at = _number(data, at, 2), at + 2
    for _ in range(count):
        at = _after_record(data, at)
    if at > len(data) or (head.is_tombstone and at != len(data)):
        raise ValueError(f"goes on after {at} bytes")
    return at


def _after_record(data: bytes, at: int) -> int:
    """Where the record that begins at ``at`` ends."""
    at = _epoch_end(data, at + 2 + _number(data, at, 2) + 8) + 16
    count, at = _number(data, at, 2), at + 2
    for _ in range(count):
        flags, at = data[at + 1], at + 2
        if flags & _HAS_VERSION:
            at = _epoch_end(data, at) + 8
        if flags & _HAS_VALUE:
            at += 4 + _number(data, at, 4)
        at += 8
    return at


def _number(data: bytes, at: int, size: int) -> int:
    """A number of 2, 4 or 8 bytes: compiled, adding it up costs a fraction of unpacking it."""
    number = data[at] | data[at + 1] << 8
    if size > 2:
        number |= data[at + 2] << 16 | data[at + 3] << 24
    if size > 4:
        number |= _number(data, at + 4, 4) << 32
    return number


def _epoch_end(data: bytes, at: int) -> int:
    # The size of the disk's name is the last byte of the head.
    return at + _EPOCH_BYTES + data[at + _EPOCH_BYTES - 1]


def _read_version(data: bytes, at: int) -> tuple[Version, int]:
    upto = _epoch_end(data, at)
    epoch = _read_epoch(data[at:upto])
    return Version(epoch, _number(data, upto, 8)), upto + 8


@lru_cache(MOST_EPOCHS)
def _read_epoch(data: bytes) -> Epoch:
    counter, incarnation, size = _EPOCH.unpack_from(data)
    disk = data[_EPOCH_BYTES:]
    if len(disk) != size:
        raise ValueError("ends within an epoch")
    return Epoch(counter, disk.decode(), incarnation)


def _read_record(data: bytes, at: int) -> tuple[Record, int]:
    size, at = _number(data, at, 2), at + 2
    session = data[at : at + size].decode()
    at += size
    number = _number(data, at, 8)
    executed_at, at = _read_version(data, at + 8)
    executed_ms, count = _TIME_COUNT.unpack_from(data, at)
    at += _TIME_COUNT.size
    results = []
    for _ in range(count):
        result, at = _read_result(data, at)
        results.append(result)
    return Record(session, number, tuple(results), executed_at, executed_ms), at


def _read_result(data: bytes, at: int) -> tuple[Result, int]:
    verdict, flags, at = _VERDICTS[data[at]], data[at + 1], at + 2
    version = value = None
    if flags & _HAS_VERSION:
        version, at = _read_version(data, at)
    if flags & _HAS_VALUE:
        size, at = _number(data, at, 4), at + 4
        value = data[at : at + size]
        at += size
    (expire_ms,) = _SIGNED.unpack_from(data, at)
    return Result(verdict, version, value, expire_ms), at + 8


def encode_partition(record: PartitionRecord) -> bytes:
    """The durable state of one partition as bytes."""
    parts = [_epoch(record.promised), _version(record.floor), _SIGNED.pack(record.since or 0)]
    config = record.config
    if config is not None:
        parts.append(_SEQ.pack(config.gen))
        parts.append(bytes((config.is_joint,)))
        for disks in (config.old, config.new or ()):
            parts.append(_COUNT.pack(len(disks)))
            parts += [_text(disk) for disk in disks]
        parts.append(_COUNT.pack(len(config.since)))
        for disk, gen in config.since:
            parts += [_text(disk), _SEQ.pack(gen)]
    return _sealed(parts)


def decode_partition(data: bytes) -> PartitionRecord:
    """The state that ``encode_partition`` wrote; raises EncodingError."""
    reader = _Reader(data, "partition")
    promised, floor, since = reader.epoch(), reader.version(), reader.signed()
    config = None
    if not reader.is_at_end():
        gen, joint = reader.number(), reader.byte()
        old = tuple(reader.text() for _ in range(reader.count()))
        new = tuple(reader.text() for _ in range(reader.count()))
        joined = tuple((reader.text(), reader.number()) for _ in range(reader.count()))
        config = Config(gen, old, new if joint else None, joined)
    reader.end()
    return PartitionRecord(config, promised, floor, since or None)


def _sealed(parts: list[bytes]) -> bytes:
    body = b"".join(parts)
    return _HEAD.pack(FORMAT, zlib.crc32(body)) + body


def _check_seal(data: bytes, field: str) -> None:
    if len(data) < _HEAD_BYTES:
        raise EncodingError(field, f"is {len(data)} bytes, too short to be one")
    if data[0] != FORMAT:
        raise EncodingError(f"{field}.format", f"is {data[0]}, this program reads {FORMAT}")
    # A view of few bytes costs more than they do.
    body = data[_HEAD_BYTES:] if len(data) < _FEW_BYTES else memoryview(data)[_HEAD_BYTES:]
    if zlib.crc32(body) != _number(data, 1, 4):
        raise EncodingError(field, "fails its checksum")


@lru_cache(MOST_EPOCHS)
def _epoch(epoch: Epoch) -> bytes:
    disk = epoch.disk.encode()
    return _EPOCH.pack(epoch.counter, epoch.incarnation, len(disk)) + disk


def _version(version: Version) -> bytes:
    return _epoch(version.epoch) + _SEQ.pack(version.seq)


def _text(text: str) -> bytes:
    data = text.encode()
    return _COUNT.pack(len(data)) + data


def _record(record: Record) -> bytes:
    session, number, results, executed_at, executed_ms = record
    at = _version(executed_at)
    out = _text(session) + _SEQ.pack(number) + at + _TIME_COUNT.pack(executed_ms, len(results))
    for verdict, version, value, expire_ms in results:
        has_version, has_value = version is not None, value is not None
        flags = (_HAS_VERSION if has_version else 0) | (_HAS_VALUE if has_value else 0)
        out += bytes((verdict, flags))
        if version is not None:
            # Most lists are of one operation, whose version is the record's.
            out += at if version == executed_at else _version(version)
        if value is not None:
            out += _SIZE.pack(len(value)) + value
        out += _SIGNED.pack(expire_ms) if expire_ms else _NO_TIME
    return out


class _Reader:
    """Reads fields in turn; every way in which bytes can be wrong ends as EncodingError."""

    def __init__(self, data: bytes, field: str) -> None:
        _check_seal(data, field)
        self._field = field
        self._data = data
        self._at = _HEAD_BYTES

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise EncodingError(self._field, f"ends after {len(self._data)} bytes")
        self._at += size
        return taken

    def byte(self) -> int:
        return self._take(1)[0]

    def count(self) -> int:
        return int(_COUNT.unpack(self._take(_COUNT.size))[0])

    def number(self) -> int:
        return int(_SEQ.unpack(self._take(_SEQ.size))[0])

    def signed(self) -> int:
        return int(_SIGNED.unpack(self._take(_SIGNED.size))[0])

    def text(self) -> str:
        return self._decoded(self._take(self.count()))

    def _decoded(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise EncodingError(self._field, "holds a text that is not UTF-8") from error

    def epoch(self) -> Epoch:
        counter, incarnation, size = _EPOCH.unpack(self._take(_EPOCH_BYTES))
        epoch = Epoch(counter, self._decoded(self._take(size)), incarnation)
        return NO_EPOCH if epoch == NO_EPOCH else epoch

    def version(self) -> Version:
        return Version(self.epoch(), self.number())

    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def end(self) -> None:
        if not self.is_at_end():
            raise EncodingError(self._field, f"goes on after {self._at} bytes")
