"""Which folder a command means, and how a cluster that exists may change."""

from __future__ import annotations

import fcntl
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from becket.adapters.local.layout import ClusterSpec, Layout
from becket.cli import clusters
from becket.cli.clusters import Wish, decide, folder_of
from becket.cli.exits import NotRunningError, UsageError
from becket.cli.readiness import trial_keys
from becket.core.errors import InvalidInputError
from becket.core.hashing import partition_of
from tests.unit.cli.conftest import Run


def test_the_folder_by_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    usual = tmp_path / ".local" / "share" / "becket" / "becket"
    assert folder_of(None, "becket", {}) == usual
    assert folder_of(None, "becket", {"XDG_DATA_HOME": "relative"}) == usual
    assert folder_of(None, "x", {"XDG_DATA_HOME": "/data"}) == Path("/data/becket/x")
    assert folder_of(Path("~/here"), "x", {}) == tmp_path / "here"


def test_a_new_cluster(tmp_path: Path) -> None:
    spec = decide(Layout(tmp_path / "new"), Wish())
    assert (spec.members, spec.partitions, spec.replicas, spec.router_port) == (5, 256, 3, 7400)
    small = decide(Layout(tmp_path / "new"), Wish(members=1, port=0))
    assert (small.members, small.replicas, small.router_port) == (1, 1, 0)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (Wish(members=0), "members"),
        (Wish(members=65), "members"),
        (Wish(members=2, replicas=3), "replicas"),
        (Wish(partitions=100), "partitions"),
        (Wish(zones=6), "zones"),
        (Wish(port=70_000), "router_port"),
        (Wish(name="No Name"), "cluster_name"),
    ],
)
def test_numbers_out_of_their_limits(tmp_path: Path, wish: Wish, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        decide(Layout(tmp_path), wish)
    assert caught.value.field == field


def existing(folder: Path) -> Layout:
    layout = Layout(folder)
    layout.write_spec(ClusterSpec(members=3, ports={"router-0": 21_000, "storage-0": 21_001}))
    return layout


def test_a_cluster_that_exists_keeps_what_is_not_asked_for(tmp_path: Path) -> None:
    layout = existing(tmp_path)
    spec = decide(layout, Wish())
    # The router tries the usual port again.
    assert spec == ClusterSpec(members=3, ports={"storage-0": 21_001})
    assert decide(layout, Wish(members=5, zones=2)) == replace(spec, members=5, zones=2)
    layout.write_spec(ClusterSpec(members=3, router_port=0, ports={"router-0": 21_000}))
    assert decide(layout, Wish()).ports == {"router-0": 21_000}


def test_what_never_changes(tmp_path: Path) -> None:
    layout = existing(tmp_path)
    assert decide(layout, Wish(partitions=256, replicas=3)).partitions == 256
    for wish, words in (
        (Wish(partitions=128), "has 256 partitions, which never changes"),
        (Wish(replicas=2), "has 3 replicas, which never changes"),
    ):
        with pytest.raises(UsageError, match=words):
            decide(layout, wish)
    with pytest.raises(InvalidInputError, match="replicas"):
        decide(layout, Wish(members=2))


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path, run: Run) -> None:
    (tmp_path / "letter.txt").touch()
    with pytest.raises(UsageError, match=r"holds other things \(letter.txt\)"):
        decide(Layout(tmp_path), Wish())
    with pytest.raises(UsageError, match="is no folder"):
        decide(Layout(tmp_path / "letter.txt"), Wish())
    result = run("up", "--data", str(tmp_path / "letter.txt"))
    assert result.exit_code == 2
    assert "Not a directory" in result.stderr


def test_a_damaged_specification(tmp_path: Path, run: Run) -> None:
    (tmp_path / "cluster.json").write_text("{")
    result = run("up", "--data", str(tmp_path))
    assert result.exit_code == 2
    assert "cluster.json: is no JSON" in result.stderr


def test_a_port_that_was_asked_for_and_is_taken(tmp_path: Path, run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NotRunningError, match=f"port {port} is taken"):
            decide(Layout(tmp_path), Wish(port=port))
        assert run("up", "--data", str(tmp_path), "--port", str(port)).exit_code == 8


def test_a_folder_that_is_up_already(tmp_path: Path, run: Run) -> None:
    layout = existing(tmp_path)
    with layout.keeper_file.open("w") as file:
        file.write("4711\n")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        for arguments in ((), ("--detach",)):
            result = run("up", "--data", str(tmp_path), *arguments)
            assert result.exit_code == 8
            assert "is up already, kept by process 4711" in result.stderr
            assert f"becket down --data {tmp_path}" in result.stderr


def test_down_where_nothing_is_up(tmp_path: Path, run: Run) -> None:
    assert run("down", "--data", str(tmp_path / "nothing")).exit_code == 0
    # A pid file that nobody locks is stale.
    layout = existing(tmp_path)
    layout.keeper_file.write_text("1\n")
    result = run("down", "--data", str(tmp_path))
    assert result.exit_code == 0
    assert "no cluster is up" in result.stdout


def test_one_trial_key_for_each_partition() -> None:
    keys = trial_keys(256)
    assert [partition_of(key, 256) for key in keys] == list(range(256))
    assert len(trial_keys(1)) == 1


def test_services_that_are_not_installed(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "find_spec", lambda name: None if name == "rocksdict" else name)
    result = run("up", "--data", str(tmp_path))
    assert result.exit_code == 2
    assert "the services need rocksdict: install becket with the extras" in result.stderr
    assert not list(tmp_path.iterdir())
