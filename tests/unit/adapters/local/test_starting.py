"""Processes that are forked from the nursery behave as those of a command line do."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from becket.adapters.local.commands import Command
from becket.adapters.local.starting import Nursery, start_command
from tests.unit.adapters.local.waiting import until

MODULE = "tests.unit.adapters.local.sleeper"
ROOT = Path(__file__).parents[4]
SLEEPER = Command((sys.executable, "-m", MODULE), {"BECKET_NAME": "one"}, MODULE)
PATIENCE_S = 60

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux only")


@pytest.fixture
async def nursery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Nursery]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("BECKET_OTHER", "of the keeper, not of the child")
    made = Nursery(tmp_path / "nursery.log")
    yield made
    await made.close()


def title(pid: int) -> str:
    """What ``top`` shows of a process."""
    return Path(f"/proc/{pid}/comm").read_text().strip()


async def test_a_fork_has_its_own_environment_log_and_end(nursery: Nursery, tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    child = await nursery.start(SLEEPER, "one", log)
    await until(lambda: log.exists() and log.read_text())
    assert log.read_text() == f"['{ROOT}/tests/unit/adapters/local/sleeper.py'] BECKET_NAME False\n"
    assert os.getsid(child.pid) == child.pid
    assert title(child.pid) == "one"
    child.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_S):
        assert await child.wait() == 7
    with pytest.raises(ProcessLookupError):
        child.send_signal(signal.SIGTERM)


async def test_a_fork_that_is_killed_is_told_by_its_signal(
    nursery: Nursery, tmp_path: Path
) -> None:
    children = [await nursery.start(SLEEPER, f"n-{i}", tmp_path / f"{i}.log") for i in range(4)]
    assert len({child.pid for child in children}) == 4
    for child in children:
        os.kill(child.pid, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_S):
        assert [await child.wait() for child in children] == [-9] * 4


async def test_when_the_nursery_ends_its_children_end_and_another_one_comes(
    nursery: Nursery, tmp_path: Path
) -> None:
    child = await nursery.start(SLEEPER, "one", tmp_path / "one.log")
    assert nursery._process is not None
    nursery._process.kill()
    async with asyncio.timeout(PATIENCE_S):
        assert await child.wait() == -9
    await until(lambda: nursery._process is None)
    again = await nursery.start(SLEEPER, "one", tmp_path / "one.log")
    assert again.pid != child.pid


async def test_a_nursery_that_cannot_start_is_an_error_of_the_start(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(OSError, match="nursery"):
        await nursery.start(SLEEPER, "one", tmp_path / "one.log")


async def test_a_module_that_does_not_exist_ends_with_its_error_in_the_log(
    nursery: Nursery, tmp_path: Path
) -> None:
    log = tmp_path / "one.log"
    child = await nursery.start(SLEEPER._replace(module="no.such.module"), "one", log)
    async with asyncio.timeout(PATIENCE_S):
        assert await child.wait() == 1
    assert "no.such.module" in log.read_text() or "'no'" in log.read_text()


async def test_a_command_line_is_started_as_it_is(nursery: Nursery, tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    command = Command(("sh", "-c", "echo $BECKET_NAME; exit 3"), {"BECKET_NAME": "two"})
    for start in (nursery.start, start_command):
        child = await start(command, "one", log)
        assert await child.wait() == 3
    assert log.read_text() == "two\ntwo\n"
    assert nursery._process is None
