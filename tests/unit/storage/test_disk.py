"""Opening a volume: held by a predecessor, damaged, or given up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import structlog

from becket.adapters.engines.cells import EngineCells
from becket.adapters.engines.rocks import RocksEngine, RocksSettings
from becket.adapters.engines.volume import VolumeLockedError
from becket.core.errors import InvalidInputError, WrongClusterError
from becket.core.replication.cells import Cell
from becket.core.replication.store import CorruptCellError, PutCell, UnreadableError
from becket.core.replication.versions import ZERO, Epoch, Version
from becket.ports.engine import EngineFailedError
from becket.storage import disk as module
from becket.storage.damaged_disk import DamagedDisk
from becket.storage.disk import Disk, open_disk, until_open
from tests.flipping import flip_a_bit

SMALL = RocksSettings()


async def test_a_volume_that_is_open_elsewhere_is_refused_at_once_by_default(
    tmp_path: Path,
) -> None:
    disk = open_disk(tmp_path, SMALL)
    with pytest.raises(VolumeLockedError):
        await until_open(tmp_path, SMALL, 0)
    disk.close()


async def test_a_successor_waits_for_its_predecessor(tmp_path: Path) -> None:
    before = open_disk(tmp_path, SMALL)
    waiting = asyncio.create_task(until_open(tmp_path, SMALL, 30))
    await asyncio.sleep(0)
    assert not waiting.done()
    before.close()
    after = await waiting
    assert after.identity.disk == before.identity.disk
    assert after.identity.incarnation > before.identity.incarnation
    after.close()


# Damage

KEYS = [b"k%05d" % number for number in range(3000)]


def with_a_flipped_bit(folder: Path) -> str:
    """A disk with cells in one table, of which a bit is turned round; its id."""
    disk = open_disk(folder, SMALL)
    version = Version(Epoch(1, "d", 1), 1)
    cells = [PutCell(7, key, Cell(version, version, key * 9, 0, (), ZERO)) for key in KEYS]
    disk.cells.apply(cells)
    disk.engine.flush()
    disk.close()
    flip_a_bit(disk.volume.engine_folder)
    return disk.identity.disk


def damaged(disk: Disk) -> DamagedDisk:
    """What its process does about it."""
    return DamagedDisk(disk, structlog.get_logger())


def page_all(cells: EngineCells) -> None:
    """Read every page of the partition."""
    after: bytes | None = None
    while page := cells.page(7, after, 500):
        after = page[-1][0]


def test_what_does_not_read_is_no_answer_and_is_remembered(tmp_path: Path) -> None:
    with_a_flipped_bit(tmp_path)
    disk = open_disk(tmp_path, SMALL)
    known = damaged(disk)
    looks = [(known.is_known, known.look())]
    with pytest.raises(UnreadableError, match="partition 7 does not read"):
        page_all(disk.cells)
    looks += [(known.is_known, known.look()) for _ in range(2)]
    assert looks == [(False, False), (True, True), (True, False)], "it is told once"
    disk.close()
    again = open_disk(tmp_path, SMALL)
    assert again.identity.disk == disk.identity.disk
    assert "checksum" in again.cells.damage.unreadable
    again.close()


def test_a_cell_that_does_not_read_is_corrupt_not_absent(tmp_path: Path) -> None:
    with_a_flipped_bit(tmp_path)
    disk = open_disk(tmp_path, SMALL)
    corrupt = 0
    for key in KEYS:
        try:
            assert disk.cells.get(7, key) is not None
        except CorruptCellError:
            corrupt += 1
    assert 0 < corrupt < len(KEYS) // 4
    assert damaged(disk).is_known
    disk.close()


class Compacting(RocksEngine):
    """Its first flush finds that a compaction has failed, unless none may run."""

    def __init__(self, folder: Path, settings: RocksSettings, *, compacts: bool) -> None:
        super().__init__(folder, settings, compacts=compacts)
        self._fails = compacts

    def flush(self) -> None:
        if self._fails:
            raise EngineFailedError("flush failed: Corruption: table 7", is_corrupt=True)
        super().flush()


def test_a_start_that_fails_by_its_compaction_is_made_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_disk(tmp_path, SMALL)
    before.close()
    monkeypatch.setattr(module, "RocksEngine", Compacting)
    disk = open_disk(tmp_path, SMALL)
    assert disk.identity.disk == before.identity.disk
    assert (disk.lost, disk.cells.damage.unreadable) == ("", "flush failed: Corruption: table 7")
    disk.close()


def test_a_disk_is_given_up_by_its_id_and_only_where_it_does_not_read(tmp_path: Path) -> None:
    name = with_a_flipped_bit(tmp_path)
    disk = open_disk(tmp_path, SMALL)
    known = damaged(disk)
    with pytest.raises(InvalidInputError, match="which reads"):
        known.give_up("c", "c", name)
    known.note("the engine refuses")
    with pytest.raises(WrongClusterError):
        known.give_up("c", "other", name)
    with pytest.raises(InvalidInputError, match="this member's disk"):
        known.give_up("c", "c", "other")
    assert not disk.volume.is_given_up
    known.give_up("c", "c", name)
    disk.close()
    after = open_disk(tmp_path, SMALL)
    assert after.identity.disk != name
    assert after.lost == "it was given up: the engine refuses"
    page_all(after.cells)
    after.close()
