"""Replacing a small file as a whole.

Owns the order of the steps: write beside, sync, rename, sync the folder. Invariant: whoever is
killed within it, or finds the disk full, leaves the old content or the new one, never a mixture.
Must not know what the files hold.
"""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

MOST_BYTES = 16 << 20
"""The largest file that is read: what is larger was not written by us."""

YOUNG_NS = 20_000_000
"""More than the clock of any file system takes from tick to tick."""


def replace_file(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Give ``path`` this content. Without ``durable`` a power failure may bring the old one back.

    :raises OSError: it did not succeed, or the rename did and the last sync did not.
    """
    # A name of its own: two writers, or one and what is left of another, never share a file.
    fresh = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.new")
    try:
        _write(fresh, data, durable=durable)
        fresh.rename(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


def remove_leftovers(path: Path) -> None:
    """Remove what writers of ``path`` that were killed have left. Only while nobody writes it."""
    for left in path.parent.glob(f"{path.name}.*.new"):
        left.unlink(missing_ok=True)


def read_file(path: Path) -> bytes | None:
    """The content; None where there is no such file.

    :raises OSError: it cannot be read, or is larger than ``MOST_BYTES``.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(data) > MOST_BYTES:
        raise OSError(f"{path} is larger than {MOST_BYTES} bytes")
    return data


class Glance:
    """Notices by one ``stat`` that a file has been replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Whether there is a file that may be another than at the call before. Then read it."""
        try:
            found = self._path.stat()
        except OSError:
            self._seen = None
            return False
        now = found.st_ino, found.st_mtime_ns, found.st_size
        if now == self._seen:
            return False
        # Two files made within one tick of the clock can look alike, so a young one is read again.
        is_young = time.time_ns() - found.st_mtime_ns < YOUNG_NS
        self._seen = None if is_young else now
        return True


def _write(path: Path, data: bytes, *, durable: bool) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
        if durable:
            os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
