"""The small files of a data folder."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest

from becket.adapters.local.layout import ClusterSpec, Layout, ProcessInfo
from becket.core.errors import InvalidInputError


def test_a_folder_without_a_cluster(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    assert layout.read_spec() is None
    assert layout.read_processes() == {}
    assert layout.running_keeper() == 0


def test_a_specification_comes_back(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    spec = ClusterSpec("test", 5, 64, 3, zones=3, router_port=0, ports={"storage-0": 2000})
    layout.write_spec(spec)
    assert layout.read_spec() == spec


def test_fields_that_are_missing_or_new_do_no_harm(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.cluster_file.write_text(json.dumps({"members": 4, "later": 1}))
    assert layout.read_spec() == ClusterSpec(members=4)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "cluster.json: is no JSON"),
        ("[]", "cluster.json: is no object"),
        ('{"members": "3"}', "members: must be a whole number"),
        ('{"members": 0}', "members: must be in 1..64"),
        ('{"cluster_name": "No"}', "cluster_name"),
        ('{"cluster_name": 1}', "cluster_name: must be a text"),
        ('{"replicas": 4}', "replicas"),
        ('{"partitions": 100}', "partitions"),
        ('{"zones": 4}', "zones"),
        ('{"router_port": 70000}', "router_port: must be a port"),
        ('{"ports": {"storage-0": -1}}', "storage-0: must be a port"),
        ('{"ports": [1]}', "ports: must be an object"),
    ],
)
def test_a_specification_that_cannot_be_is_refused_by_its_field(
    tmp_path: Path, content: str, told: str
) -> None:
    layout = Layout(tmp_path)
    layout.cluster_file.write_text(content)
    with pytest.raises(InvalidInputError, match=told):
        layout.read_spec()


def test_processes_come_back(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    info = ProcessInfo("storage-0", "storage", 77, "127.0.0.1:1", 2)
    layout.write_processes([info])
    assert json.loads(layout.processes_file.read_text()) == {
        "storage-0": {"service": "storage", "pid": 77, "address": "127.0.0.1:1", "restarts": 2}
    }
    assert layout.read_processes() == {"storage-0": info}


@pytest.mark.parametrize("content", ['{"a": 1}', '{"a": {"service": "x", "address": "y"}}'])
def test_damaged_processes_are_refused(tmp_path: Path, content: str) -> None:
    layout = Layout(tmp_path)
    layout.processes_file.write_text(content)
    with pytest.raises(InvalidInputError, match="a: lacks"):
        layout.read_processes()


def test_a_keeper_counts_while_it_holds_the_lock(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.keeper_file.write_text("123\n")
    assert layout.running_keeper() == 0
    with layout.keeper_file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert layout.running_keeper() == 123
