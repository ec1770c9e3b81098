"""One process that is started again whenever it ends, as a kubelet would.

Owns the process, its log and the pauses between starts. Must not know what it runs. Invariants: at
most one process at a time; after ``end`` none, and none comes any more; its log is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from becket.adapters.local.commands import Command
from becket.adapters.local.starting import Child, start_command
from becket.core.errors import InvalidInputError


@dataclass(frozen=True)
class KeepSettings:
    """Times in seconds, sizes in bytes."""

    first_pause_s: float = 0.1
    """Before the second restart in a row; the first one comes at once."""
    longest_pause_s: float = 5.0
    settled_s: float = 10.0
    """A process that lived for so long is no failure in a row."""
    stop_s: float = 15.0
    """From SIGTERM to SIGKILL: the services' own grace and some more."""
    log_bytes: int = 16 << 20
    """A log that grows over this is moved aside; one older part is kept."""

    def __post_init__(self) -> None:
        if not 0 < self.first_pause_s <= self.longest_pause_s:
            raise InvalidInputError("longest_pause_s", "must not be under first_pause_s, over 0")
        if self.stop_s <= 0 or self.log_bytes <= 0:
            raise InvalidInputError("stop_s", "must be positive, as must log_bytes")


class Pauses:
    """How long to wait before each restart: nothing, then doubling, from the start when settled."""

    def __init__(self, settings: KeepSettings) -> None:
        self._settings = settings
        self._failures = 0

    def after(self, alive_s: float) -> float:
        """The pause after a process that lived for ``alive_s``, in seconds."""
        if alive_s >= self._settings.settled_s:
            self._failures = 0
        self._failures += 1
        if self._failures == 1:
            return 0.0
        # The exponent is bounded: a process that never comes up is tried for ever.
        doubled = self._settings.first_pause_s * 2 ** min(self._failures - 2, 30)
        return float(min(doubled, self._settings.longest_pause_s))


Start = Callable[[Command, str, Path], Awaitable[Child]]
"""Starts a command under a name, with a log; raises OSError."""

Tell = Callable[[str], None]
"""Takes a sentence about something that happened."""


class Kept:
    """Keeps one process running. ``prepare`` is called before each start and gives its command."""

    def __init__(
        self,
        name: str,
        log: Path,
        prepare: Callable[[], Command],
        settings: KeepSettings,
        *,
        tell: Tell,
        changed: Callable[[], None],
        start: Start = start_command,
    ) -> None:
        self.name = name
        self.pid = 0
        """The process that runs now; 0 between two."""
        self.restarts = -1
        self._log, self._prepare, self._settings = log, prepare, settings
        self._tell, self._changed = tell, changed
        self._start = start
        self._process: Child | None = None
        self._ending = asyncio.Event()

    async def run(self) -> None:
        """Start the process, and start it again, until ``end``. Cancelling kills it."""
        pauses = Pauses(self._settings)
        ended = ""
        while not self._ending.is_set():
            began = time.monotonic()
            ended = await self._once(ended)
            if self._ending.is_set():
                break
            pause = pauses.after(time.monotonic() - began)
            if pause:
                self._tell(f"{self.name} {ended}, it is started again in {pause:.1f} s")
                ended = ""
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), pause)

    async def end(self) -> None:
        """Stop for good: SIGTERM, and SIGKILL for a process that does not end in time."""
        self._ending.set()
        process = self._process
        if process is None:
            return
        # A process that was paused takes no SIGTERM before it goes on.
        _send(process, signal.SIGTERM)
        _send(process, signal.SIGCONT)
        try:
            await asyncio.wait_for(process.wait(), self._settings.stop_s)
        except TimeoutError:
            self._tell(f"{self.name} has not ended in {self._settings.stop_s:.0f} s: killed")
            _send(process, signal.SIGKILL)
            await process.wait()

    def bound_log(self) -> None:
        """Move a log that has grown too large aside. The process writes on where it writes."""
        try:
            if self._log.stat().st_size > self._settings.log_bytes:
                shutil.copyfile(self._log, self._log.with_name(f"{self._log.name}.1"))
                with self._log.open("r+b") as file:
                    file.truncate(0)
        except FileNotFoundError:
            return  # It has not been started yet.
        except OSError as error:
            self._tell(f"the log of {self.name} cannot be moved aside: {error}")

    async def _once(self, before: str) -> str:
        """Run one process to its end; how it ended, as the end of a sentence."""
        try:
            process = await self._start(self._prepare(), self.name, self._log)
        except OSError as error:
            self.restarts += 1
            return f"cannot be started: {error}"
        self.pid, self._process = process.pid, process
        self.restarts += 1
        if self.restarts:
            how = f"{before}," if before else "is"
            self._tell(f"{self.name} {how} started again as pid {process.pid}")
        self._changed()
        try:
            # Asked to end while it was being started: it has not been told yet.
            if self._ending.is_set():
                _send(process, signal.SIGTERM)
            code = await process.wait()
        except asyncio.CancelledError:
            _send(process, signal.SIGKILL)
            await process.wait()
            raise
        finally:
            self.pid, self._process = 0, None
        if not self._ending.is_set():
            self._changed()
        return f"ended with {code}"


def _send(process: Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
