"""The topology file: its writer killed at any step, the disk full, the bytes damaged."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from becket.adapters.local import topology as module
from becket.adapters.local.topology import FileTopology
from becket.core.ring.encoding import encode
from becket.ports.topology import TopologyUnavailableError
from tests.unit.core.ring.rings import turning_ring

RING = turning_ring()
LATER = RING.succeeding(RING)


class KilledError(BaseException):
    """The process ends here: nothing after it runs, not even what cleans up."""


async def kept(path: Path) -> str:
    topology = FileTopology(path)
    assert await topology.compare_and_swap(None, RING)
    found = await topology.read()
    assert found is not None
    return found.object_version


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def ending_at(name: str, count: int) -> Callable[[pytest.MonkeyPatch], None]:
    """Let the ``count``-th call of one system function kill the process."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        real, calls = getattr(os, name), 0

        def call(*args: object) -> object:
            nonlocal calls
            calls += 1
            if calls == count:
                raise KilledError
            return real(*args)

        monkeypatch.setattr(os, name, call)
        # Whoever is killed cleans nothing up.
        monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)

    return patch


@pytest.mark.parametrize(
    ("name", "count", "is_new"),
    [
        ("open", 1, False),
        ("write", 1, False),
        ("fsync", 1, False),
        ("rename", 1, False),
        ("open", 2, True),
        ("fsync", 2, True),
    ],
)
async def test_killed_at_any_step_it_leaves_the_old_or_the_new_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, count: int, is_new: bool
) -> None:
    path = tmp_path / "ring"
    version = await kept(path)
    with monkeypatch.context() as patched:
        ending_at(name, count)(patched)
        with pytest.raises(KilledError):
            FileTopology(path)._swap(version, encode(LATER))
    found = await FileTopology(path).read()
    assert found is not None
    assert found.ring == (LATER if is_new else RING)
    # Whoever comes next is not in anybody's way, and what was left is removed.
    assert await FileTopology(path).compare_and_swap(found.object_version, LATER.succeeding(LATER))
    assert names_in(tmp_path) == ["ring", "ring.lock"]


@pytest.mark.parametrize("cut", [0, 1, 17, 35, 36, 60, -1])
async def test_a_cut_temporary_file_is_never_read(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "ring"
    version = await kept(path)
    (tmp_path / "ring.77-abcd.new").write_bytes(path.read_bytes()[:cut])
    assert await FileTopology(path).compare_and_swap(version, LATER)
    assert names_in(tmp_path) == ["ring", "ring.lock"]


@pytest.mark.parametrize("name", ["write", "fsync"])
async def test_a_full_disk_leaves_the_old_object_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "ring"
    version = await kept(path)
    with monkeypatch.context() as patched:
        patched.setattr(os, name, full)
        with pytest.raises(TopologyUnavailableError, match="No space left"):
            await FileTopology(path).compare_and_swap(version, LATER)
    found = await FileTopology(path).read()
    assert found is not None
    assert found.ring == RING
    assert names_in(tmp_path) == ["ring", "ring.lock"]


async def test_a_damaged_file_is_no_answer_never_an_absent_object(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    await kept(path)
    whole = path.read_bytes()
    damages = [whole[:cut] for cut in range(len(whole))]
    damages += [whole[:40] + bytes([whole[40] ^ 1]) + whole[41:], b"\xff" + whole, whole + b"x"]
    for damaged in damages:
        path.write_bytes(damaged)
        with pytest.raises(TopologyUnavailableError, match="remove it to have the ring restored"):
            await FileTopology(path).read()
        with pytest.raises(TopologyUnavailableError):
            await FileTopology(path).compare_and_swap(None, RING)


async def test_a_lock_that_is_held_on_and_on_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_S", 0.01)
    path = tmp_path / "ring"
    with (tmp_path / "ring.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TopologyUnavailableError, match="held by another process"):
            await FileTopology(path).compare_and_swap(None, RING)
    assert await FileTopology(path).compare_and_swap(None, RING)
