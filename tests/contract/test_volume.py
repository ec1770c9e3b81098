"""A data folder: one disk id for ever, one process at a time, nothing formatted over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from becket.adapters.engines.volume import VolumeError, VolumeLockedError, open_volume
from becket.core.replication.versions import Identity


def test_a_disk_id_is_made_once(tmp_path: Path) -> None:
    first = open_volume(tmp_path / "data", "d1")
    assert (first.disk, first.is_new) == ("d1", True)
    assert first.identity(3) == Identity("d1", 3)
    first.close()
    again = open_volume(tmp_path / "data", "d2")
    assert (again.disk, again.is_new) == ("d1", False)
    again.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    first = open_volume(tmp_path, "d1")
    with pytest.raises(VolumeLockedError, match="another process"):
        open_volume(tmp_path, "d2")
    first.close()
    open_volume(tmp_path, "d2").close()


def test_a_folder_with_something_else_is_never_formatted(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(VolumeError, match="photos"):
        open_volume(tmp_path, "d1")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["LOCK", "photos"]


def test_an_interrupted_format_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "VOLUME.new").write_text('{"format"')
    (tmp_path / "lost+found").mkdir()
    volume = open_volume(tmp_path, "d1")
    assert volume.is_new
    assert volume.engine_folder == tmp_path / "engine"
    volume.close()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "damaged"),
        ("[]", "damaged"),
        ('{"format": 1}', "damaged"),
        (json.dumps({"format": 1, "disk": ""}), "names no disk"),
        (json.dumps({"format": 2, "disk": "d1"}), "format is 2, this program reads 1"),
    ],
)
def test_a_marker_that_does_not_read_is_refused_and_left_alone(
    tmp_path: Path, content: str, told: str
) -> None:
    marker = tmp_path / "VOLUME"
    marker.write_text(content)
    with pytest.raises(VolumeError, match=told):
        open_volume(tmp_path, "d1")
    assert marker.read_text() == content
    marker.unlink()
    open_volume(tmp_path, "d1").close()
