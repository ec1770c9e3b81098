"""Opening the volume of this process: lock, disk id, engine, incarnation (PROTOCOL R7, R8).

Owns what a start does to the disk. A volume whose engine does not open, or that was given up, is a
lost disk: its files are set aside and a new disk begins, which is in no config and therefore counts
for nothing until the supervisor has given it copies. One whose files were found damaged before is
opened without compaction. Invariant: the incarnation is raised durably before anything is sent.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from becket.adapters.engines.cells import EngineCells
from becket.adapters.engines.rocks import RocksEngine, RocksSettings
from becket.adapters.engines.volume import (
    Volume,
    VolumeLockedError,
    open_volume,
    set_aside,
)
from becket.core.replication.store import Recovered
from becket.core.replication.versions import Identity
from becket.ports.engine import EngineCorruptError, EngineFailedError

LOCK_LOOK_S = 0.05


@dataclass
class Disk:
    """An open disk, counted up."""

    volume: Volume
    engine: RocksEngine
    cells: EngineCells
    identity: Identity
    recovered: Recovered
    lost: str = ""
    """Why the disk that was here before is lost; empty where none was."""

    def close(self) -> None:
        """Give the files back."""
        self.engine.close()
        self.volume.close()


def open_disk(folder: Path, settings: RocksSettings) -> Disk:
    """Open the folder, or begin a new disk in it.

    Raises VolumeError where the folder is not ours or open elsewhere.
    """
    try:
        return _open(folder, settings, "")
    except (EngineCorruptError, EngineFailedError) as error:
        volume = open_volume(folder, _new_disk_id())
        if isinstance(error, EngineFailedError) and error.is_corrupt and not volume.unreadable:
            # A compaction that begins with the process has failed, not what the start itself needs.
            volume.note_unreadable(str(error))
            volume.close()
            return open_disk(folder, settings)
        set_aside(volume)
        return _open(folder, settings, str(error))


async def until_open(folder: Path, settings: RocksSettings, wait_s: float) -> Disk:
    """As ``open_disk``, but wait for a predecessor that has the folder open still.

    A pod that was deleted by force may live on beside its successor (KUBERNETES.md, identity).

    :raises VolumeError: the folder is not ours, or still open elsewhere after ``wait_s`` seconds.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return open_disk(folder, settings)
        except VolumeLockedError:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(LOCK_LOOK_S)


def _open(folder: Path, settings: RocksSettings, lost: str) -> Disk:
    volume = open_volume(folder, _new_disk_id())
    engine = None
    try:
        unreadable = _needed(volume)
        engine = RocksEngine(volume.engine_folder, settings, compacts=not unreadable)
        cells = EngineCells(engine)
        cells.damage.unreadable = unreadable
        incarnation = cells.raise_incarnation()
        recovered = cells.recovered()
    except BaseException:
        if engine is not None:
            engine.close()
        volume.close()
        raise
    return Disk(volume, engine, cells, volume.identity(incarnation), recovered, lost)


def _needed(volume: Volume) -> str:
    """What of it does not read, empty for nothing; raises EngineCorruptError for one given up."""
    if volume.is_given_up:
        raise EngineCorruptError(f"it was given up: {volume.unreadable}")
    return volume.unreadable


def _new_disk_id() -> str:
    return secrets.token_hex(8)
