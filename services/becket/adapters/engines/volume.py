"""A data folder: one disk id, one process at a time, one engine inside.

Owns the files beside the engine: ``VOLUME`` (format and disk id, written once, atomically),
``LOCK``, and what is known of damage: ``UNREADABLE`` (why files of the engine do not read) and
``GIVEN_UP`` (the next process is to begin a new disk here). Invariants: a disk id is made once and
never changed; a folder that is not empty and has no readable ``VOLUME`` is refused, never formatted
over; no disk id ever stands beside an engine that is not its own; the lock is held as long as the
volume is open.
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
_UNREADABLE, _GIVEN_UP = "UNREADABLE", "GIVEN_UP"
_WHY_BYTES = 1000


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

    @property
    def unreadable(self) -> str:
        """Why files of the engine do not read; empty where nothing is known of that."""
        marker = self.folder / _UNREADABLE
        return marker.read_text(errors="replace") if marker.exists() else ""

    def note_unreadable(self, why: str) -> None:
        """Remember over starts that files do not read."""
        _put(self.folder / _UNREADABLE, why[:_WHY_BYTES] or "it does not read")

    @property
    def is_given_up(self) -> bool:
        """Whether nobody needs this disk any more: whoever opens the folder sets it aside."""
        return (self.folder / _GIVEN_UP).exists()

    def give_up(self) -> None:
        """Let the next process begin a new disk; this one must go on no more."""
        _put(self.folder / _GIVEN_UP, self.disk)

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
        if (folder / _LOST / _NAME).exists():
            _move_aside(folder)  # A process was killed while it did that.
        _check_empty(folder)
        _put(marker, json.dumps({"format": FORMAT, "disk": new_disk}))
        return Volume(folder, new_disk, lock, is_new=True)
    except BaseException:
        lock.close()
        raise


def set_aside(volume: Volume) -> Path:
    """Take a lost disk out of use (R7) and let go of its folder, which is then empty again.

    Its files are kept under ``LOST`` for a person to look at, in place of an earlier lost disk's.
    Its id goes first: killed in between, nobody finds that id beside an empty engine.
    """
    aside = volume.folder / _LOST
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    (volume.folder / _NAME).rename(aside / _NAME)
    _sync_folder(volume.folder)
    _move_aside(volume.folder)
    volume.close()
    return aside


def _move_aside(folder: Path) -> None:
    """Move what belongs to the disk whose id lies under ``LOST``; what is there already stays."""
    aside = folder / _LOST
    for entry in list(folder.iterdir()):
        if entry.name not in (_LOCK, _LOST, "lost+found") and not (aside / entry.name).exists():
            entry.rename(aside / entry.name)


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


def _put(path: Path, content: str) -> None:
    """Either the whole file is there after a crash, or none."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
