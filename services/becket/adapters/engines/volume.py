"""A data folder: one disk id, one process at a time, one engine inside.

Owns the files beside the engine: ``VOLUME`` (format and disk id, written once, atomically) and
``LOCK``. Invariants: a disk id is made once and never changed; a folder that is not empty and has
no readable ``VOLUME`` is refused, never formatted over; the lock is held as long as the volume is
open.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import IO

from becket.core.errors import BecketError
from becket.core.replication.versions import Identity

FORMAT = 1
_NAME, _LOCK, _ENGINE, _LOST = "VOLUME", "LOCK", "engine", "LOST"


class VolumeError(BecketError):
    """The folder cannot serve as a volume; the message says what to do about it."""


class VolumeLockedError(VolumeError):
    """Another process has this volume open."""


class Volume:
    """An open data folder."""

    def __init__(self, folder: Path, disk: str, lock: IO[str], *, is_new: bool) -> None:
        self.folder = folder
        self.disk = disk
        self.is_new = is_new
        """Whether this open has formatted the folder: the disk is in no config yet (R7)."""
        self._lock = lock

    @property
    def engine_folder(self) -> Path:
        """Where the engine keeps its files."""
        return self.folder / _ENGINE

    def identity(self, incarnation: int) -> Identity:
        """This process of this disk."""
        return Identity(self.disk, incarnation)

    def close(self) -> None:
        """Let another process open it."""
        self._lock.close()


def open_volume(folder: Path, new_disk: str) -> Volume:
    """Open the folder, formatting it as disk ``new_disk`` if it is empty.

    Raises VolumeLockedError when another process has it, VolumeError when the folder holds
    something else or a newer format.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = _locked(folder)
    try:
        marker = folder / _NAME
        if marker.exists():
            return Volume(folder, _read(marker), lock, is_new=False)
        _check_empty(folder)
        _write(folder, marker, new_disk)
        return Volume(folder, new_disk, lock, is_new=True)
    except BaseException:
        lock.close()
        raise


def set_aside(volume: Volume) -> Path:
    """Take a lost disk out of use (R7) and let go of its folder, which is then empty again.

    Its files are kept under ``LOST`` for a person to look at, in place of an earlier lost disk's.
    """
    aside = volume.folder / _LOST
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for entry in list(volume.folder.iterdir()):
        if entry.name not in (_LOCK, _LOST, "lost+found"):
            entry.rename(aside / entry.name)
    volume.close()
    return aside


def _check_empty(folder: Path) -> None:
    strangers = sorted(entry.name for entry in folder.iterdir() if not _is_ours(entry))
    if strangers:
        raise VolumeError(f"{folder} is no volume and not empty: it holds {strangers[0]!r}")


def _is_ours(entry: Path) -> bool:
    # lost+found is what mkfs leaves on a fresh disk; the temporary file is an interrupted format.
    return entry.name in (_LOCK, _LOST, f"{_NAME}.new", "lost+found")


def _locked(folder: Path) -> IO[str]:
    lock = (folder / _LOCK).open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise VolumeLockedError(f"{folder} is open in another process") from error
    return lock


def _read(marker: Path) -> str:
    try:
        content = json.loads(marker.read_text())
        version, disk = content["format"], content["disk"]
    except (ValueError, KeyError, TypeError) as error:
        raise VolumeError(
            f"{marker} is damaged; restore it, or start on an empty folder"
        ) from error
    if version != FORMAT:
        raise VolumeError(f"{marker}: format is {version}, this program reads {FORMAT}")
    if not isinstance(disk, str) or not disk:
        raise VolumeError(f"{marker} names no disk")
    return disk


def _write(folder: Path, marker: Path, disk: str) -> None:
    """Either the whole marker is there after a crash, or none."""
    fresh = marker.with_name(f"{_NAME}.new")
    with fresh.open("w") as file:
        json.dump({"format": FORMAT, "disk": disk}, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(marker)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
