"""Opening a volume that a predecessor still holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from becket.adapters.engines.rocks import RocksSettings
from becket.adapters.engines.volume import VolumeLockedError
from becket.storage.disk import open_disk, until_open

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
