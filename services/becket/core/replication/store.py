"""What a member keeps, as the core sees it: reads through a port, writes as data.

Owns the durable shapes of PROTOCOL section 2 and the view of one step: reads see the step's own
writes before the shell has applied them. Must not write anything itself. Invariant: the digest
of a bucket changes in the same transaction as its cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol, TypeVar

from becket.core.errors import BecketError, EncodingError
from becket.core.replication import registers
from becket.core.replication.cells import AnyCell, Cell, Head, Result, SealedCell
from becket.core.replication.digests import bucket_of, weigh
from becket.core.replication.versions import NO_EPOCH, ZERO, Epoch, Version
from becket.core.ring.config import Config

Found = TypeVar("Found")


class CorruptCellError(BecketError):
    """The stored cell fails its checksum; it is not ABSENT (R8)."""


class UnreadableError(BecketError):
    """A part of a partition does not read: nobody can say which keys were in it (R8)."""


class PartitionRecord(NamedTuple):
    """The durable state of one partition; it outlives the member's removal (section 2)."""

    config: Config | None
    promised: Epoch
    floor: Version
    since: int | None


EMPTY = PartitionRecord(None, NO_EPOCH, ZERO, None)


class PutRecord(NamedTuple):
    """Store the partition's durable state."""

    partition: int
    record: PartitionRecord


class PutCell:
    """Store a cell. Like the next one no tuple: compiled, it is made in a quarter of the time."""

    __slots__ = ("cell", "key", "partition")

    def __init__(self, partition: int, key: bytes, cell: AnyCell) -> None:
        self.partition = partition
        self.key = key
        self.cell = cell


class DeleteCell(NamedTuple):
    """Delete a cell."""

    partition: int
    key: bytes


class ClearCells(NamedTuple):
    """Delete every cell and every digest of a partition."""

    partition: int


class PutDigest:
    """Store the digest of one bucket."""

    __slots__ = ("bucket", "digest", "partition")

    def __init__(self, partition: int, bucket: int, digest: int) -> None:
        self.partition = partition
        self.bucket = bucket
        self.digest = digest


Write = PutRecord | PutCell | DeleteCell | ClearCells | PutDigest


class CellReader(Protocol):
    """The engine, to read from. It shows every write that the shell has applied."""

    def get(self, partition: int, key: bytes) -> Cell | None:
        """The cell, None when ABSENT; raises CorruptCellError."""

    def head(self, partition: int, key: bytes) -> Cell | Head | None:
        """The head of the cell, or the cell where that is at hand; None when ABSENT.

        Raises CorruptCellError.
        """

    def shown(self, partition: int, key: bytes) -> Result:
        """What a get of the cell finds; raises CorruptCellError."""

    def page(
        self, partition: int, after: bytes | None, limit: int
    ) -> list[tuple[bytes, Head | None]]:
        """Up to ``limit`` heads in order of key, after ``after``; None marks a corrupt cell.

        Raises UnreadableError where keys may be missing from the page.
        """


class Recovered(NamedTuple):
    """What a member finds on its disk when it starts."""

    records: Mapping[int, PartitionRecord]
    digests: Mapping[int, Mapping[int, int]]


class Store:
    """One member's cells during a step, with the writes that the step has made so far."""

    def __init__(self, reader: CellReader, recovered: Recovered, buckets: int) -> None:
        self._reader = reader
        self._buckets = buckets
        self._digests: dict[int, list[int]] = {}
        for partition, digests in recovered.digests.items():
            self._digests[partition] = [digests.get(b, 0) for b in range(buckets)]
        self._corrupt: dict[int, set[int]] = {}
        self._written: dict[tuple[int, bytes], AnyCell | None] = {}
        self._cleared: set[int] = set()
        self._writes: list[Write] = []

    def take(self) -> list[Write]:
        """The writes of the step, in order, as one transaction; the view starts anew."""
        if not self._writes:
            return []
        writes, self._writes = self._writes, []
        self._written.clear()
        self._cleared.clear()
        return writes

    def get(self, partition: int, key: bytes) -> Cell | None:
        """The cell, None when ABSENT; raises CorruptCellError."""
        found = self._read(partition, key, self._reader.get)
        return self._opened(partition, key, found) if isinstance(found, SealedCell) else found

    def head(self, partition: int, key: bytes) -> Cell | Head | None:
        """The head of the cell, None when ABSENT; raises CorruptCellError."""
        found = self._read(partition, key, self._reader.head)
        return found.head if isinstance(found, SealedCell) else found

    def shown(self, partition: int, key: bytes) -> Result:
        """What a get of the cell finds; raises CorruptCellError."""
        found = self._read(partition, key, self._reader.shown)
        if isinstance(found, SealedCell):
            found = self._opened(partition, key, found)
        return registers.read(found) if found is None or isinstance(found, Cell) else found

    def _read(
        self, partition: int, key: bytes, read: Callable[[int, bytes], Found]
    ) -> AnyCell | Found | None:
        """The step's own cell, or what ``read`` finds in the engine; None when ABSENT."""
        at = (partition, key)
        if at in self._written:
            return self._written[at]
        if partition in self._cleared:
            return None
        try:
            return read(partition, key)
        except CorruptCellError:
            self._note_corrupt(partition, key)
            raise

    def _opened(self, partition: int, key: bytes, sealed: SealedCell) -> Cell:
        try:
            return sealed.opened()
        except EncodingError as error:
            self._note_corrupt(partition, key)
            raise CorruptCellError(f"{key!r} of partition {partition}: {error}") from error

    def _note_corrupt(self, partition: int, key: bytes) -> None:
        self._corrupt.setdefault(partition, set()).add(bucket_of(key, self._buckets))

    def scrub(self, partition: int, after: bytes | None, limit: int) -> bytes | None:
        """Read a page for damage, which from now on shows in its bucket's digest (R8).

        Returns where the next page starts; None at the end, and where the rest does not read.
        """
        try:
            page = self._read_page(partition, after, limit)
        except UnreadableError:
            return None
        for key, head in page:
            if head is None:
                self._note_corrupt(partition, key)
        return page[-1][0] if len(page) == limit else None

    def put_record(self, partition: int, record: PartitionRecord) -> None:
        """Store the partition's durable state."""
        self._writes.append(PutRecord(partition, record))

    def put(self, partition: int, key: bytes, cell: AnyCell, before: Cell | Head | None) -> None:
        """Store ``cell`` in place of ``before``, the readable cell that is there now."""
        self._written[partition, key] = cell
        self._writes.append(PutCell(partition, key, cell))
        self._weigh(partition, key, weigh(key, cell) - (weigh(key, before) if before else 0))

    def delete(self, partition: int, key: bytes, before: Cell) -> None:
        """Delete the cell ``before``."""
        self._written[partition, key] = None
        self._writes.append(DeleteCell(partition, key))
        self._weigh(partition, key, -weigh(key, before))

    def clear(self, partition: int) -> None:
        """Delete every cell of the partition."""
        self._cleared.add(partition)
        for found in [found for found in self._written if found[0] == partition]:
            del self._written[found]
        self._digests.pop(partition, None)
        self._corrupt.pop(partition, None)
        self._writes.append(ClearCells(partition))

    def reweigh(self, partition: int, bucket: int) -> None:
        """Add a bucket's digest up again from its cells, after a corrupt one was replaced.

        Where the partition does not read, the digest stays unknown.
        """
        total, whole, after = 0, True, None
        try:
            while page := self.page(partition, after, 1000):
                for key, head in page:
                    if bucket_of(key, self._buckets) == bucket:
                        whole = whole and head is not None
                        total += weigh(key, head) if head is not None else 0
                after = page[-1][0]
        except UnreadableError:
            return
        self._digest_list(partition)[bucket] = total % 2**128
        self._writes.append(PutDigest(partition, bucket, total % 2**128))
        if whole:
            self._corrupt.get(partition, set()).discard(bucket)

    def page(
        self, partition: int, after: bytes | None, limit: int
    ) -> list[tuple[bytes, Head | None]]:
        """Up to ``limit`` heads in order of key, after ``after``; None marks a corrupt cell.

        Raises UnreadableError where keys may be missing from the page.
        """
        if not self._written and partition not in self._cleared:
            return self._read_page(partition, after, limit)
        return self._merged_page(partition, after, limit)

    def digests(self, partition: int) -> tuple[int | None, ...]:
        """One digest a bucket; None where a corrupt cell is known (R8)."""
        corrupt = self._corrupt.get(partition)
        digests = self._digest_list(partition)
        if not corrupt:
            return tuple(digests)
        return tuple(None if b in corrupt else d for b, d in enumerate(digests))

    def root(self, partition: int) -> int | None:
        """The sum of all bucket digests; None where a corrupt cell is known."""
        if self._corrupt.get(partition):
            return None
        return sum(self._digest_list(partition)) % 2**128

    def _merged_page(
        self, partition: int, after: bytes | None, limit: int
    ) -> list[tuple[bytes, Head | None]]:
        found: dict[bytes, Head | None] = {}
        own = {key: cell for (p, key), cell in self._written.items() if p == partition}
        if partition not in self._cleared:
            found.update(self._read_page(partition, after, limit + len(own)))
        for key, cell in own.items():
            if after is None or key > after:
                if cell is None:
                    found.pop(key, None)
                else:
                    found[key] = cell.head
        return sorted(found.items())[:limit]

    def _read_page(
        self, partition: int, after: bytes | None, limit: int
    ) -> list[tuple[bytes, Head | None]]:
        """A page of the engine; where it does not read, no bucket has a digest any more (R8)."""
        try:
            return self._reader.page(partition, after, limit)
        except UnreadableError:
            self._corrupt[partition] = set(range(self._buckets))
            raise

    def _digest_list(self, partition: int) -> list[int]:
        digests = self._digests.get(partition)
        if digests is None:
            digests = self._digests[partition] = [0] * self._buckets
        return digests

    def _weigh(self, partition: int, key: bytes, change: int) -> None:
        bucket = bucket_of(key, self._buckets)
        digests = self._digest_list(partition)
        digests[bucket] = (digests[bucket] + change) % 2**128
        self._writes.append(PutDigest(partition, bucket, digests[bucket]))


def recovered(
    records: Iterable[tuple[int, PartitionRecord]],
    digests: Iterable[tuple[int, int, int]],
) -> Recovered:
    """Gather what an engine yields: (partition, record) and (partition, bucket, digest)."""
    by_partition: dict[int, dict[int, int]] = {}
    for partition, bucket, digest in digests:
        by_partition.setdefault(partition, {})[bucket] = digest
    return Recovered(dict(records), by_partition)
