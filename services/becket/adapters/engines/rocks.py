"""RocksDB behind the engine port, through ``rocksdict`` in raw mode.

Owns the options. Writes go to the log without a sync; ``sync`` flushes the log to the disk in one
call, which frees the interpreter while the disk works. The log is opened with
``tolerate_corrupted_tail_records``, never with point-in-time recovery, which would cut off synced
batches behind a damaged one and call it a clean start (R8).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rocksdict import (
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from becket.core.errors import InvalidInputError
from becket.ports.engine import Change, Delete, EngineCorruptError, EngineFailedError, Put

MIB = 1 << 20

_CORRUPT = ("Corruption:", "IO error: No such file")
_READ_FAILED = os.strerror(errno.EIO)
"""How RocksDB says that its files do not read. That no room is left, or no file can be opened, is
said as an IO error too, and is no damage."""


@dataclass(frozen=True)
class RocksSettings:
    """Memory and files; everything that grows with data on disk stays on disk."""

    cache_mib: int = 16
    write_buffer_mib: int = 8
    write_buffers: int = 3
    open_files: int = 256

    def __post_init__(self) -> None:
        """Raise InvalidInputError naming a field below its least value."""
        for field, least in (
            ("cache_mib", 1),
            ("write_buffer_mib", 1),
            ("write_buffers", 2),
            ("open_files", 16),
        ):
            if getattr(self, field) < least:
                raise InvalidInputError(field, f"must be at least {least}")


class RocksEngine:
    """One open RocksDB.

    ``compacts`` False: tables stay as they are. One that does not read cannot be compacted, and
    RocksDB refuses every write once it has tried.
    """

    def __init__(
        self, folder: Path, settings: RocksSettings | None = None, *, compacts: bool = True
    ) -> None:
        self._cache = Cache((settings or RocksSettings()).cache_mib * MIB)
        options = _options(settings or RocksSettings(), self._cache)
        options.set_disable_auto_compactions(not compacts)
        try:
            # Named again for the one column family: what is not named comes from a file that the
            # engine has written itself, with another cache and what was set when it was made.
            self._db = Rdict(str(folder), options, column_families={"default": options})
        except Exception as error:  # rocksdict raises bare Exception
            raise EngineCorruptError(f"cannot open {folder}: {error}") from error
        self._write = WriteOptions()
        self._write.sync = False
        self._failed = ""

    def get(self, key: bytes) -> bytes | None:
        """The value, None when absent; raises EngineCorruptError."""
        try:
            value = self._db.get(key)
        except Exception as error:
            raise _unreadable(error) from error
        return None if value is None else bytes(value)

    def apply(self, batch: Sequence[Change]) -> None:
        """Apply all changes in order, atomically, to the log and the memtable."""
        writes = WriteBatch(raw_mode=True)
        put = writes.put
        for change in batch:
            if isinstance(change, Put):
                put(change.key, change.value)
            elif isinstance(change, Delete):
                writes.delete(change.key)
            else:
                writes.delete_range(change.start, change.end)
        with self._finally_failing("write"):
            self._db.write(writes, self._write)

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to ``limit`` pairs with start <= key < end, in order of key.

        Raises EngineCorruptError: a cursor ends where its table does not read, as it does behind
        the last key, and only its status tells the two apart.
        """
        found: list[tuple[bytes, bytes]] = []
        options = ReadOptions()
        options.set_iterate_upper_bound(end)
        cursor = self._db.iter(options)
        cursor.seek(start)
        while cursor.valid() and len(found) < limit:
            found.append((bytes(cursor.key()), bytes(cursor.value())))
            cursor.next()
        if len(found) < limit:
            try:
                cursor.status()
            except Exception as error:
                raise _unreadable(error) from error
        return found

    def sync(self) -> None:
        """Flush the log to the disk."""
        with self._finally_failing("sync"):
            self._db.flush_wal(True)  # noqa: FBT003 - rocksdict's own positional

    def flush(self) -> None:
        """Write the memtables out and sync."""
        with self._finally_failing("flush"):
            self._db.flush_wal(True)  # noqa: FBT003
            self._db.flush(True)  # noqa: FBT003

    def checkpoint(self, folder: Path) -> None:
        """Hard links to the present tables, and a copy of the log."""
        if folder.exists():
            raise InvalidInputError("folder", f"{folder} exists")
        with self._finally_failing("checkpoint"):
            Checkpoint(self._db).create_checkpoint(str(folder))

    def close(self) -> None:
        """Release the files. What has failed before fails here once more, and nobody need know."""
        with suppress(Exception):
            self._db.close()
        self._failed = self._failed or "closed"

    @contextmanager
    def _finally_failing(self, what: str) -> Iterator[None]:
        """A failed write or sync is final: nothing after it may pretend to succeed."""
        if self._failed:
            raise EngineFailedError(f"{what} after: {self._failed}")
        try:
            yield
        except Exception as error:
            self._failed = f"{what} failed: {error}"
            raise EngineFailedError(self._failed, is_corrupt=_is_corrupt(error)) from error


def _is_corrupt(error: Exception) -> bool:
    said = str(error)
    return said.startswith(_CORRUPT) or (said.startswith("IO error:") and _READ_FAILED in said)


def _unreadable(error: Exception) -> Exception:
    """What a failed read is to be raised as."""
    return EngineCorruptError(str(error)) if _is_corrupt(error) else error


def _options(settings: RocksSettings, cache: Cache) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)  # noqa: FBT003
    options.set_wal_recovery_mode(DBRecoveryMode.tolerate_corrupted_tail_records())
    options.set_paranoid_checks(True)
    options.set_write_buffer_size(settings.write_buffer_mib * MIB)
    options.set_max_write_buffer_number(settings.write_buffers)
    options.set_max_open_files(settings.open_files)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_keep_log_file_num(4)
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_bloom_filter(10, False)  # noqa: FBT003
    # An index or a filter of a whole table is larger than a part of the cache (a 32nd of it) and is
    # read from the file for each key then: in small blocks they stay, and memory has its limit.
    table.set_cache_index_and_filter_blocks(True)
    table.set_index_type(BlockBasedIndexType.two_level_index_search())
    table.set_partition_filters(True)
    table.set_metadata_block_size(4096)
    table.set_pin_top_level_index_and_filter(True)
    options.set_block_based_table_factory(table)
    return options
