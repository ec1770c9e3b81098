"""The core's cells, records and digests as keys of an engine.

Owns the layout: a letter for the kind, the partition as four big-endian bytes, then the rest, so
that one partition's cells lie together in order of key. Must not sync: the storage process does
that when it has gathered enough. A cell that does not read is CorruptCellError, never ABSENT.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from becket.adapters.cell_bytes import CELL_BYTES
from becket.adapters.engines.damage import Damage
from becket.core.errors import EncodingError
from becket.core.replication.cells import NOTHING, AnyCell, Cell, Head, Result, SealedCell
from becket.core.replication.encoding import (
    decode_cell,
    decode_head,
    decode_partition,
    decode_shown,
    encode_partition,
)
from becket.core.replication.store import (
    ClearCells,
    CorruptCellError,
    DeleteCell,
    PutCell,
    PutDigest,
    PutRecord,
    Recovered,
    UnreadableError,
    Write,
    recovered,
)
from becket.ports.engine import Change, Delete, DeleteRange, Engine, EngineCorruptError, Put

_INCARNATION: Final = b"i"
_RING: Final = b"r"
_PARTITION: Final = b"p"
_DIGEST: Final = b"d"
_CELL: Final = b"k"
_NUMBER: Final = struct.Struct(">I")
_BUCKET: Final = struct.Struct(">IH")
_DIGEST_KEY: Final = struct.Struct(">cIH")
_COUNT: Final = struct.Struct("<Q")
_PAGE = 1000

Decoded = TypeVar("Decoded")

MOST_CELLS: Final = 16_384
MOST_VALUE_BYTES: Final = 8 << 20
MOST_SHOWN_BYTES: Final = 1 << 10
"""A longer value is not remembered for gets."""


class EngineCells:
    """The core's view of one engine; it is the core's ``CellReader``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._recent = RecentCells()
        self.damage = Damage()
        """What was found on the disk that does not read."""

    def raise_incarnation(self) -> int:
        """Count this start, durably, before any message is sent (PROTOCOL section 1)."""
        raw = self._engine.get(_INCARNATION)
        incarnation = (_COUNT.unpack(raw)[0] if raw is not None else 0) + 1
        self._engine.apply([Put(_INCARNATION, _COUNT.pack(incarnation))])
        self._engine.flush()
        return int(incarnation)

    def recovered(self) -> Recovered:
        """What a member finds when it starts; raises EngineCorruptError when it does not read."""
        records = []
        for key, raw in self._all(_PARTITION):
            try:
                records.append((_NUMBER.unpack(key[1:])[0], decode_partition(raw)))
            except EncodingError as error:
                raise EngineCorruptError(str(error)) from error
        digests = [
            (*_BUCKET.unpack(key[1:]), int.from_bytes(raw, "little"))
            for key, raw in self._all(_DIGEST)
        ]
        return recovered(records, digests)

    def _all(self, letter: bytes) -> Iterable[tuple[bytes, bytes]]:
        start, end = letter, _after(letter)
        while page := self._engine.scan(start, end, _PAGE):
            yield from page
            start = page[-1][0] + b"\0"

    def ring(self) -> bytes:
        """The ring that was kept here last, as it was given; empty where there is none."""
        return self._engine.get(_RING) or b""

    def keep_ring(self, encoded: bytes) -> None:
        """Keep the ring, byte for byte: from here a lost ring object is restored (R1)."""
        self._engine.apply([Put(_RING, encoded)])

    # CellReader

    def get(self, partition: int, key: bytes) -> Cell | None:
        """The cell, None when ABSENT; raises CorruptCellError."""
        recent = self._recent.get(partition, key)
        if recent is None:
            cell = self._get(partition, key, decode_cell)
        elif isinstance(recent, SealedCell):
            cell = self._decoded(partition, key, recent.data, decode_cell)
        else:
            return recent
        if cell is not None:
            self._recent.put(partition, key, cell)
        return cell

    def head(self, partition: int, key: bytes) -> Cell | Head | None:
        """The head of the cell, or the cell where that is at hand; None when ABSENT.

        It costs a third of reading the cell. Raises CorruptCellError.
        """
        recent = self._recent.get(partition, key)
        if recent is None:
            return self._get(partition, key, decode_head)
        return recent.head if isinstance(recent, SealedCell) else recent

    def shown(self, partition: int, key: bytes) -> Result:
        """What a get of the cell finds; raises CorruptCellError."""
        found = self._recent.shown(partition, key)
        if found is None:
            recent = self._recent.get(partition, key)
            if isinstance(recent, Cell):
                return recent.shown
            if recent is not None:
                found = self._decoded(partition, key, recent.data, decode_shown)
            else:
                found = self._get(partition, key, decode_shown) or NOTHING
            self._recent.note_shown(partition, key, found)
        return found

    def _get(
        self, partition: int, key: bytes, decode: Callable[[bytes], Decoded]
    ) -> Decoded | None:
        try:
            raw = self._engine.get(_cells(partition) + key)
        except EngineCorruptError as error:
            self.damage.note_unreadable(str(error))
            raise CorruptCellError(f"{key!r} of partition {partition}: {error}") from error
        return None if raw is None else self._decoded(partition, key, raw, decode)

    def _decoded(
        self, partition: int, key: bytes, raw: bytes, decode: Callable[[bytes], Decoded]
    ) -> Decoded:
        try:
            return decode(raw)
        except EncodingError as error:
            self.damage.note(partition, key)
            raise CorruptCellError(f"{key!r} of partition {partition}: {error}") from error

    def page(
        self, partition: int, after: bytes | None, limit: int
    ) -> list[tuple[bytes, Head | None]]:
        """Up to ``limit`` heads in order of key, after ``after``; None marks a corrupt cell.

        Raises UnreadableError.
        """
        start = b"" if after is None else after + b"\0"
        return [
            (key, self._read(partition, key, raw, decode_head))
            for key, raw in self.page_from(partition, start, limit)
        ]

    def page_from(self, partition: int, start: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to ``limit`` keys in order, from ``start`` on, with what ``read`` makes a cell of.

        Raises UnreadableError where keys may be missing.
        """
        prefix = _cells(partition)
        try:
            pairs = self._engine.scan(prefix + start, _after(prefix), limit)
        except EngineCorruptError as error:
            self.damage.note_unreadable(str(error))
            raise UnreadableError(f"partition {partition} does not read: {error}") from error
        return [(key[len(prefix) :], raw) for key, raw in pairs]

    def read(self, partition: int, key: bytes, raw: bytes) -> Cell | None:
        """The cell of a page; None where it is corrupt."""
        return self._read(partition, key, raw, decode_cell)

    def _read(
        self, partition: int, key: bytes, raw: bytes, decode: Callable[[bytes], Decoded]
    ) -> Decoded | None:
        try:
            return decode(raw)
        except EncodingError:
            # What the disk has lost is lost, though it may still be remembered.
            self._recent.drop(partition, key)
            self.damage.note(partition, key)
            return None

    # Writes

    def apply(self, writes: Iterable[Write]) -> None:
        """Apply one step's writes as one transaction, without sync."""
        batch: list[Change] = []
        recent, damage = self._recent, self.damage
        for write in writes:
            # The two that every put of a client makes come first, without a list for each.
            if isinstance(write, PutCell):
                partition, name, cell = write.partition, write.key, write.cell
                data = cell.data if isinstance(cell, SealedCell) else CELL_BYTES.encode(cell)
                batch.append(Put(_cells(partition) + name, data))
                recent.put(partition, name, cell)
                damage.note_written(partition, name)
                continue
            if isinstance(write, PutDigest):
                batch.append(_put_digest(write))
                continue
            batch += _changes(write)
            if isinstance(write, DeleteCell):
                recent.drop(write.partition, write.key)
                damage.note_written(write.partition, write.key)
            elif isinstance(write, ClearCells):
                recent.clear()
                damage.note_cleared(write.partition)
        self._engine.apply(batch)


class RecentCells:
    """Cells that were read or written last: a key that is written again is read first.

    Bounded in number and in bytes of values; a value that would fill a good part is not kept.
    Those that came sealed from a coordinator stay so until they are asked for.
    """

    def __init__(self, cells: int = MOST_CELLS, value_bytes: int = MOST_VALUE_BYTES) -> None:
        self._cells: OrderedDict[tuple[int, bytes], AnyCell] = OrderedDict()
        self._shown: dict[tuple[int, bytes], Result] = {}
        """What gets have found: cheaper to read than whole cells, which only writes need."""
        self._most = cells
        self._most_bytes = value_bytes
        self._bytes = 0

    def get(self, partition: int, key: bytes) -> AnyCell | None:
        """The cell, None where it is not remembered."""
        at = (partition, key)
        cell = self._cells.get(at)
        if cell is not None:
            self._cells.move_to_end(at)
        return cell

    def put(self, partition: int, key: bytes, cell: AnyCell) -> None:
        """Remember a cell."""
        at = (partition, key)
        self._drop(at)
        size = _size(cell)
        if 16 * size > self._most_bytes:
            return
        self._cells[at] = cell
        self._bytes += size
        while len(self._cells) > self._most or self._bytes > self._most_bytes:
            _, oldest = self._cells.popitem(last=False)
            self._bytes -= _size(oldest)

    def shown(self, partition: int, key: bytes) -> Result | None:
        """What a get of the cell has found, None where that is not remembered."""
        return self._shown.get((partition, key))

    def note_shown(self, partition: int, key: bytes, found: Result) -> None:
        """Remember what a get has found; when there is no room, all of these are forgotten."""
        if len(found.value or b"") > MOST_SHOWN_BYTES:
            return
        if len(self._shown) >= self._most:
            self._shown.clear()
        self._shown[partition, key] = found

    def drop(self, partition: int, key: bytes) -> None:
        """Forget a cell."""
        self._drop((partition, key))

    def _drop(self, at: tuple[int, bytes]) -> None:
        if self._shown:
            self._shown.pop(at, None)
        cell = self._cells.pop(at, None)
        if cell is not None:
            self._bytes -= _size(cell)

    def clear(self) -> None:
        """Forget everything."""
        self._shown.clear()
        self._cells.clear()
        self._bytes = 0


def _size(cell: AnyCell) -> int:
    return len(cell.data if isinstance(cell, SealedCell) else cell.value or b"")


def _put_digest(write: PutDigest) -> Put:
    key = _DIGEST_KEY.pack(_DIGEST, write.partition, write.bucket)
    return Put(key, write.digest.to_bytes(16, "little"))


def _changes(write: PutRecord | DeleteCell | ClearCells) -> list[Change]:
    if isinstance(write, PutRecord):
        return [Put(_PARTITION + _NUMBER.pack(write.partition), encode_partition(write.record))]
    if isinstance(write, DeleteCell):
        return [Delete(_cells(write.partition) + write.key)]
    assert isinstance(write, ClearCells)
    cells, digests = _cells(write.partition), _DIGEST + _NUMBER.pack(write.partition)
    return [DeleteRange(cells, _after(cells)), DeleteRange(digests, _after(digests))]


_PREFIXES: Final[dict[int, bytes]] = {}


def _cells(partition: int) -> bytes:
    """What the keys of a partition's cells begin with; remembered, because each write asks."""
    prefix = _PREFIXES.get(partition)
    if prefix is None:
        prefix = _PREFIXES[partition] = _CELL + _NUMBER.pack(partition)
    return prefix


def _after(prefix: bytes) -> bytes:
    """The first key behind all that start with ``prefix``."""
    return (int.from_bytes(prefix, "big") + 1).to_bytes(len(prefix), "big")
