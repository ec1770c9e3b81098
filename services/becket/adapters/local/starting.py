"""Two ways to start a process: by its command line, or as a fork of the nursery.

Owns the starting, and the waiting for the end. Must not decide when anything is started. Invariant:
whichever way, a child has a process group, a log, no input, and ends with this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from pathlib import Path
from typing import Protocol

from becket.adapters.local.commands import Command

START_S = 30.0
"""How long the nursery may take for its imports, on a machine that has much else to do."""


class Child(Protocol):
    """One process."""

    @property
    def pid(self) -> int:
        """Its number."""

    async def wait(self) -> int:
        """Its exit code, once it has ended; negative: the signal that ended it."""

    def send_signal(self, signal: int) -> None:
        """Send it a signal; raises ProcessLookupError where it has ended."""


async def start_command(command: Command, name: str, log: Path) -> Child:
    """Start the command line."""
    del name
    with log.open("ab") as file:
        return await asyncio.create_subprocess_exec(
            *command.argv,
            env=dict(command.environment),
            stdin=DEVNULL,
            stdout=file,
            stderr=STDOUT,
            # Ctrl-C at a terminal is for the keeper, which stops the processes in order.
            start_new_session=True,
        )


class _Forked:
    """A child of the nursery."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self) -> int:
        return await asyncio.shield(self.ended)

    def send_signal(self, signal: int) -> None:
        # As long as its end was not told it was not reaped, so the number is still its own.
        if self.ended.done():
            raise ProcessLookupError(self.pid)
        os.kill(self.pid, signal)


class Nursery:
    """The nursery's process, started when it is first needed, and again when it has ended."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._asked: dict[int, asyncio.Future[_Forked]] = {}
        self._children: dict[int, _Forked] = {}
        self._number = 0

    async def start(self, command: Command, name: str, log: Path) -> Child:
        """Fork the command's module; without one, start the command line.

        ``log`` is absolute, since the fork may have another working directory.
        """
        if not command.module or sys.platform != "linux":
            return await start_command(command, name, log)
        async with self._starting:
            if self._process is None:
                await self._open()
        process = self._process
        if process is None or process.stdin is None:
            raise OSError("the nursery has ended")
        self._number += 1
        number = self._number
        asked = self._asked[number] = asyncio.get_running_loop().create_future()
        request = {
            "id": number,
            "module": command.module,
            "environment": dict(command.environment),
            "log": str(log),
            "name": name,
        }
        process.stdin.write(json.dumps(request).encode() + b"\n")
        try:
            async with asyncio.timeout(START_S):
                await process.stdin.drain()
                child: Child = await asked
                return child
        except (TimeoutError, ConnectionError) as error:
            raise OSError(f"the nursery does not answer: {error}") from error
        finally:
            self._asked.pop(number, None)

    async def close(self) -> None:
        """End the nursery, and with it every child that is left."""
        process, reader = self._process, self._reader
        if process is None or reader is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()
        await reader

    async def _open(self) -> None:
        argv = ("-m", "becket.adapters.local.leash", str(os.getpid()))
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *argv,
                "becket.adapters.local.nursery",
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._reader = asyncio.create_task(self._read(self._process), name="nursery")

    async def _read(self, process: Process) -> None:
        """Take its answers until it ends; its children have ended then, too."""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            answer = json.loads(line)
            pid = answer["pid"]
            if "id" in answer:
                child = self._children[pid] = _Forked(pid)
                asked = self._asked.pop(answer["id"], None)
                if asked is not None and not asked.done():
                    asked.set_result(child)
                else:
                    # Nobody waits for it any more.
                    child.send_signal(signal.SIGKILL)
            else:
                self._ended(pid, answer["code"])
        await process.wait()
        self._process = None
        for pid in list(self._children):
            self._ended(pid, -signal.SIGKILL)
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(OSError("the nursery has ended"))

    def _ended(self, pid: int, code: int) -> None:
        child = self._children.pop(pid, None)
        if child is not None and not child.ended.done():
            child.ended.set_result(code)
