"""A data folder: one disk id for ever, one process at a time, nothing formatted over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from becket.adapters.engines.volume import (
    VolumeError,
    VolumeLockedError,
    open_volume,
    set_aside,
)
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


def test_damage_is_remembered_and_a_disk_is_given_up_by_name(tmp_path: Path) -> None:
    volume = open_volume(tmp_path, "d1")
    assert (volume.unreadable, volume.is_given_up) == ("", False)
    volume.note_unreadable("x" * 5000)
    volume.close()
    again = open_volume(tmp_path, "d2")
    assert (again.disk, len(again.unreadable)) == ("d1", 1000)
    again.give_up()
    again.close()
    last = open_volume(tmp_path, "d3")
    assert (last.disk, last.is_given_up) == ("d1", True)
    aside = set_aside(last)
    assert {entry.name for entry in aside.iterdir()} == {"VOLUME", "UNREADABLE", "GIVEN_UP"}
    fresh = open_volume(tmp_path, "d4")
    assert (fresh.disk, fresh.is_given_up, fresh.unreadable) == ("d4", False, "")
    fresh.close()


def test_whoever_is_killed_while_setting_a_disk_aside_leaves_no_id_beside_an_empty_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = open_volume(tmp_path, "d1")
    volume.engine_folder.mkdir()
    (volume.engine_folder / "table").touch()
    real, moved = Path.rename, list[str]()

    def killed(self: Path, target: Path) -> Path:
        if moved:
            raise KeyboardInterrupt
        moved.append(self.name)
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            set_aside(volume)
    assert moved == ["VOLUME"]
    volume.close()
    after = open_volume(tmp_path, "d2")
    assert (after.disk, after.is_new, after.engine_folder.exists()) == ("d2", True, False)
    assert (tmp_path / "LOST" / "engine" / "table").exists()
    after.close()


def test_what_is_no_part_of_a_lost_disk_is_not_moved(tmp_path: Path) -> None:
    volume = open_volume(tmp_path, "d1")
    volume.engine_folder.mkdir()
    set_aside(volume)
    (tmp_path / "engine").mkdir()  # A person has taken VOLUME away from a disk that is in use.
    with pytest.raises(VolumeError, match="engine"):
        open_volume(tmp_path, "d2")
