"""``becket up`` and ``becket down`` with real processes: signals, restarts, growth, what is kept.

Starts real processes and ends only those.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from becket.adapters.local.layout import Layout
from tests.probe.running import BECKET, START_S, becket, cluster, router_of
from tests.probe.test_keeper import is_running

SMALL = ("--members", "3", "--partitions", "16", "--port", "0")


def wait(condition: Callable[[], object], what: str) -> None:
    until = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.05)


def pids_of(folder: Path) -> list[int]:
    return [info.pid for info in Layout(folder).read_processes().values()]


class Foreground:
    """``becket up`` as at a terminal; ``said`` is what it has printed."""

    def __init__(self, folder: Path, log: Path, *options: str) -> None:
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [*BECKET, "up", "--data", str(folder), *options], stdout=file, stderr=file
            )

    @property
    def said(self) -> str:
        return self._log.read_text()

    def wait_for(self, words: str) -> None:
        wait(lambda: words in self.said or self.process.poll() is not None, words)
        assert words in self.said, self.said


@contextmanager
def foreground(folder: Path, log: Path, *options: str) -> Iterator[Foreground]:
    found = Foreground(folder, log, *options)
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.process.send_signal(signal.SIGTERM)
        found.process.wait(START_S)


def test_up_in_the_foreground(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    with foreground(folder, tmp_path / "log", *SMALL) as up:
        up.wait_for("all 16 partitions answer")
        target = router_of(folder)
        assert f"export BECKET_TARGET={target}" in up.said
        assert "\x1b[" not in up.said
        assert becket("put", "k", "kept", target=target).returncode == 0

        again = becket("up", "--data", str(folder), *SMALL)
        assert again.returncode == 8
        assert f"kept by process {up.process.pid}" in again.stderr

        listed = json.loads(becket("members", "-o", "json", target=target).stdout)
        assert [row["name"] for row in listed] == ["storage-0", "storage-1", "storage-2"]
        os.kill(listed[1]["pid"], signal.SIGKILL)
        up.wait_for("storage-1 ended with -9, started again")
        assert becket("get", "k", target=target).stdout == "kept"

        pids = pids_of(folder)
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(START_S) == 0
        assert "stopping: the router, the balancer, the members, the supervisor" in up.said
    assert not any(is_running(pid) for pid in pids)
    assert Layout(folder).running_keeper() == 0


def test_a_killed_keeper_leaves_a_folder_that_starts_again(tmp_path: Path) -> None:
    with foreground(tmp_path / "cluster", tmp_path / "log", *SMALL) as up:
        up.wait_for("all 16 partitions answer")
        target = router_of(tmp_path / "cluster")
        assert becket("put", "k", "kept", target=target).returncode == 0
        pids = pids_of(tmp_path / "cluster")
        up.process.kill()
        up.process.wait()
    wait(lambda: not any(is_running(pid) for pid in pids), "processes outlive their keeper")
    assert (tmp_path / "cluster" / "keeper.pid").read_text().strip()
    with cluster(tmp_path / "cluster") as running:
        assert becket("get", "k", target=running.target).stdout == "kept"


def test_members_grow_and_shrink_with_the_folder(tmp_path: Path) -> None:
    def is_settled(target: str, members: int) -> bool:
        done = becket("status", "-o", "json", target=target)
        if done.returncode:
            return False
        found = json.loads(done.stdout)
        names = json.loads(becket("members", "-o", "json", target=target).stdout)
        return found["whole"] == 16 and not found["plan"] and len(names) == members

    with cluster(tmp_path, *SMALL) as running:
        assert becket("put", "k", "kept", target=running.target).returncode == 0
    for members in (4, 3):
        with cluster(tmp_path, "--members", str(members)) as running:
            target = running.target
            wait(partial(is_settled, target, members), f"{members} members")
            assert becket("get", "k", target=target).stdout == "kept"


def test_a_cluster_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    (tmp_path / "addresses.json").mkdir()
    done = becket("up", "--data", str(tmp_path), "--detach", *SMALL)
    assert done.returncode == 8
    assert "the keeper ended with" in done.stderr
    assert "Traceback" not in done.stderr
    assert Layout(tmp_path).running_keeper() == 0
