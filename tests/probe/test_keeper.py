"""A real keeper that is killed: its processes must end with it, also one that is stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from becket.adapters.local.layout import Layout

KEEPER = """
import asyncio, os, sys
from pathlib import Path
from becket.adapters.local.commands import Command, becket_command, environment_of
from becket.adapters.local.keeper import Keeper
from becket.adapters.local.layout import ClusterSpec, Layout

def command(layout, spec, task):
    if task.service in ("storage", "supervisor") and sys.argv[2] == "forked":
        return becket_command(layout, spec, task)
    leash = ("-m", "becket.adapters.local.leash", str(os.getpid()))
    argv = (sys.executable, *leash, "http.server", task.address.rpartition(":")[2])
    return Command(argv, environment_of(layout, spec, task))

async def main():
    spec = ClusterSpec(members=3, partitions=16, router_port=0)
    keeper = Keeper(Layout(Path(sys.argv[1])), spec, command_of=command)
    await keeper.start()
    await keeper.run()

asyncio.run(main())
"""


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.parametrize("way", ["started", "forked"])
def test_no_process_outlives_its_keeper(tmp_path: Path, way: str) -> None:
    keeper = subprocess.Popen([sys.executable, "-c", KEEPER, str(tmp_path), way])
    layout = Layout(tmp_path)
    until = time.monotonic() + 30
    try:
        while len(layout.read_processes()) < 6 or not all(
            re.search("Serving|listening", layout.log_file(name).read_text())
            for name in layout.read_processes()
        ):
            assert time.monotonic() < until
            time.sleep(0.02)
        assert layout.running_keeper() == keeper.pid
        pids = [info.pid for info in layout.read_processes().values()]
        os.kill(pids[0], signal.SIGSTOP)
    finally:
        keeper.kill()
        keeper.wait()
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert layout.running_keeper() == 0
