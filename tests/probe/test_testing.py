"""``becket.testing`` as its users meet it: real processes that leave nothing behind.

Starts clusters and ends them; one test runs pytest in a process of its own, as a user would.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from becket.adapters.local.layout import ProcessInfo
from becket.core.errors import BecketError, NotFoundError
from becket.testing import Cluster

A_USERS_TESTS = """
import asyncio

def test_shared(becket_cluster):
    with becket_cluster.sync_client() as client:
        client.put("shared", b"1")
        assert client.get("shared").value == b"1"

def test_alone(becket_cluster_alone):
    async def work():
        async with becket_cluster_alone.client() as client:
            assert await client.get("shared") is None
            return await client.increment("count", 2)
    assert asyncio.run(work()) == 2
    print("FOLDER", becket_cluster_alone.folder)
    assert False, "a test that fails must leave nothing behind, too"
"""


def left_of(cluster_folder: Path, pids: list[int]) -> list[object]:
    """What is still there of a cluster."""
    found: list[object] = [cluster_folder] if cluster_folder.exists() else []
    return found + [pid for pid in pids if psutil.pid_exists(pid)]


def test_cluster_serves_and_leaves_nothing_behind() -> None:
    began = time.monotonic()
    with Cluster() as cluster:
        print(f"ready after {time.monotonic() - began:.2f} s")
        pids = [info.pid for info in cluster.processes.values()]
        folder = cluster.folder
        assert sorted(cluster.processes) == ["router-0", *cluster.members, "supervisor-0"]
        with cluster.sync_client() as client:
            client.put("key", b"value")
            cluster.kill("storage-1")
            cluster.restart("storage-2")
            entry = client.get("key")
            assert entry is not None
            assert entry.value == b"value"
        with pytest.raises(NotFoundError, match="no process storage-7"):
            cluster.kill("storage-7")
        with pytest.raises(NotFoundError, match="no process storage-7"):
            cluster.wipe("storage-7")
        assert not cluster.layout.wipe_marker("storage-7").exists()
    assert left_of(folder, pids) == []
    with pytest.raises(BecketError, match="not started"):
        print(cluster.address)
    cluster.stop()


def test_a_process_that_has_just_ended_is_killed_but_not_paused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = psutil.Popen([sys.executable, "-c", ""])
    process.wait(timeout=60)
    ended = ProcessInfo("storage-1", "storage", process.pid, "127.0.0.1:1", 0)
    monkeypatch.setattr(Cluster, "processes", {"storage-1": ended})
    cluster = Cluster()
    cluster.kill("storage-1")
    cluster.kill_all()
    for act in (cluster.pause, cluster.resume):
        with pytest.raises(NotFoundError, match="storage-1 has just ended"):
            act("storage-1")


def test_cluster_is_gone_after_an_error() -> None:
    seen: list[tuple[Path, list[int]]] = []

    def fail() -> None:
        with Cluster(1) as cluster:
            seen.append((cluster.folder, [info.pid for info in cluster.processes.values()]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert left_of(*seen[0]) == []


def test_cluster_that_does_not_get_ready_says_why_and_is_gone() -> None:
    cluster = Cluster(1, settings={"BECKET_LOG_LEVEL": "nonsense"}, ready_s=1.0)
    with pytest.raises(BecketError, match="not ready"):
        cluster.start()
    assert cluster.last_folder is not None
    assert not cluster.last_folder.exists()


def test_fixtures_work_in_a_users_own_tests(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["becket.testing.fixtures"]\n')
    (tmp_path / "test_mine.py").write_text(A_USERS_TESTS)
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-W", "error")
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    folder = next(line for line in done.stdout.splitlines() if line.startswith("FOLDER"))
    assert not Path(folder.split()[1]).exists()
