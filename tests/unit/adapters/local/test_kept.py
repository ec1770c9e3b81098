"""One process that is started again: its pauses, its end, its log. Stand-ins are small shells."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from becket.adapters.local.commands import Command
from becket.adapters.local.kept import KeepSettings, Kept, Pauses
from becket.core.errors import InvalidInputError
from tests.unit.adapters.local.waiting import until

QUICK = KeepSettings(first_pause_s=0.01, longest_pause_s=0.02, stop_s=5)


def test_the_first_restart_comes_at_once_then_pauses_double_to_a_limit() -> None:
    pauses = Pauses(KeepSettings())
    found = [pauses.after(1.0) for _ in range(9)]
    assert found == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    for _ in range(2_000):
        assert pauses.after(1.0) == 5.0


def test_a_process_that_lived_for_long_is_no_failure_in_a_row() -> None:
    pauses = Pauses(KeepSettings())
    assert [pauses.after(0.1), pauses.after(0.1)] == [0.0, 0.1]
    assert [pauses.after(10.0), pauses.after(0.1)] == [0.0, 0.1]


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="longest_pause_s"):
        KeepSettings(first_pause_s=2, longest_pause_s=1)


class Stand:
    """One kept shell, and what was told of it."""

    def __init__(self, folder: Path, script: str, settings: KeepSettings = QUICK) -> None:
        self.told: list[str] = []
        self.log = folder / "one.log"
        command = Command(("sh", "-c", script), {"PATH": os.environ["PATH"]})
        self.kept = Kept(
            "one",
            self.log,
            lambda: command,
            settings,
            tell=self.told.append,
            changed=lambda: None,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Kept]:
        task = asyncio.create_task(self.kept.run())
        try:
            yield self.kept
        finally:
            await self.kept.end()
            await task


async def test_what_is_killed_is_started_again_and_told(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "exec sleep 100")
    async with stand.running() as kept:
        first = await until(lambda: kept.pid)
        os.kill(first, signal.SIGKILL)
        second = await until(lambda: kept.pid not in (0, first) and kept.pid)
        assert kept.restarts == 1
        assert stand.told == [f"one ended with -9, started again as pid {second}"]
    assert kept.pid == 0


async def test_what_ends_at_once_is_tried_with_pauses(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "echo hello; exit 3")
    async with stand.running() as kept:
        await until(lambda: kept.restarts >= 3)
    assert stand.told[0].startswith("one ended with 3, started again as pid")
    assert stand.told[1] == "one ended with 3, it is started again in 0.0 s"
    assert stand.log.read_text().startswith("hello\nhello\n")


async def test_what_cannot_be_started_is_told_and_tried_again(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "true")
    stand.kept._prepare = lambda: Command(("/no/such/program",), {})
    async with stand.running() as kept:
        await until(lambda: kept.restarts >= 2)
    assert any("cannot be started" in told for told in stand.told)


async def test_it_ends_by_the_signal_that_can_be_obeyed(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done")
    async with stand.running():
        await until(lambda: stand.log.exists() and "up" in stand.log.read_text())
    assert stand.log.read_text() == "up\nbye\n"
    assert stand.told == []


async def test_what_does_not_obey_is_killed(tmp_path: Path) -> None:
    settings = KeepSettings(first_pause_s=0.01, longest_pause_s=0.02, stop_s=0.05)
    stand = Stand(tmp_path, "trap '' TERM; echo up; while :; do sleep 0.01; done", settings)
    async with stand.running() as kept:
        await until(lambda: stand.log.exists() and "up" in stand.log.read_text())
    assert kept.pid == 0
    assert stand.told == ["one has not ended in 0 s: killed"]


async def test_what_is_paused_ends_too(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "exec sleep 100")
    async with stand.running() as kept:
        os.kill(await until(lambda: kept.pid), signal.SIGSTOP)
    assert kept.pid == 0


async def test_an_end_during_a_pause_is_at_once(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "exit 1", KeepSettings(first_pause_s=60, longest_pause_s=60))
    async with stand.running():
        await until(lambda: len(stand.told) == 2)
    assert stand.kept.restarts == 1


async def test_a_cancelled_keeping_leaves_no_process(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "exec sleep 100")
    task = asyncio.create_task(stand.kept.run())
    pid = await until(lambda: stand.kept.pid)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_large_log_is_moved_aside_under_the_writer(tmp_path: Path) -> None:
    settings = KeepSettings(log_bytes=1000)
    stand = Stand(tmp_path, "while :; do echo 0123456789; sleep 0.001; done", settings)
    async with stand.running() as kept:
        await until(lambda: stand.log.exists() and stand.log.stat().st_size > 1000)
        kept.bound_log()
        assert stand.log.stat().st_size < 1000
        assert stand.log.with_name("one.log.1").stat().st_size > 1000
        await until(lambda: stand.log.stat().st_size > 0)
    # Written at the end of what is left, not behind a hole.
    assert stand.log.read_bytes().strip(b"0123456789\n") == b""
