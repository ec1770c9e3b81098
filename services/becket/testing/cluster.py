"""A cluster of real processes for the length of a test.

Owns its folder and its life. Must not leave anything behind: whatever happens, the processes are
ended and the folder is removed; if this process is killed, they end with it. All methods may be
called from any thread; they block, but not for long: ``async with`` moves the long ones aside.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from becket import sync
from becket.adapters.local.keeper import Keeper
from becket.adapters.local.kept import KeepSettings
from becket.adapters.local.layout import BALANCER, STORAGE, ClusterSpec, Layout, ProcessInfo
from becket.cli.clusters import ROUTER_NAME
from becket.cli.readiness import until_ready
from becket.client.client import Client
from becket.core.errors import BecketError, NotFoundError

PARTITIONS = 16
"""Enough to spread over some members; each more makes the start longer."""

READY_S = 30.0
_STOP_S = 0.05
"""What ends anyway need not hand anything over first."""

_LOOK_S = 0.01
_THREAD_S = 30.0

T = TypeVar("T")


class Cluster:
    """Storage members, a router and a supervisor, by ``with Cluster() as cluster:``.

    ``settings`` are environment variables of every process, such as ``BECKET_FULL_MIB``. In a
    coroutine use ``async with``, which starts and stops without holding up the event loop.
    """

    def __init__(
        self,
        members: int = 3,
        *,
        partitions: int = PARTITIONS,
        replicas: int | None = None,
        balancer: bool = False,
        settings: Mapping[str, str] | None = None,
        ready_s: float = READY_S,
    ) -> None:
        count = min(3, members) if replicas is None else replicas
        self._spec = ClusterSpec("test", members, partitions, count, router_port=0)
        self._without = () if balancer else (BALANCER,)
        self._settings, self._ready_s = dict(settings or {}), ready_s
        self._keeper: Keeper | None = None
        self._thread: _LoopThread | None = None
        self.last_folder: Path | None = None
        """Where its data was or is; gone once it has stopped."""

    # Life

    def start(self) -> None:
        """Start it, and wait until every partition answers.

        :raises NotRunningError: it does not get ready in time; says what stands in the way.
        """
        self.last_folder = Path(tempfile.mkdtemp(prefix="becket-test-"))
        self._thread = _LoopThread()
        try:
            self._keeper = self._thread.run(self._start(Layout(self.last_folder)))
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every process and remove the folder. A second call does nothing."""
        thread, folder, self._thread = self._thread, self.last_folder, None
        if thread is None or folder is None:
            return
        try:
            if self._keeper is not None:
                thread.run(self._keeper.stop())
        finally:
            thread.close()
            self._keeper = None
            shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        starting = asyncio.ensure_future(asyncio.to_thread(self.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread cannot be interrupted: wait for it, then take back what it started.
            await asyncio.gather(starting, return_exceptions=True)
            await asyncio.to_thread(self.stop)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.shield(asyncio.to_thread(self.stop))

    # What there is

    @property
    def address(self) -> str:
        """Where clients find it: the router's host:port."""
        return self._kept().addresses[ROUTER_NAME]

    @property
    def layout(self) -> Layout:
        """What lies where in its data folder."""
        return self._kept().layout

    @property
    def folder(self) -> Path:
        """Its data folder; ``logs/NAME.log`` in it is what a process said."""
        return self.layout.folder

    @property
    def members(self) -> list[str]:
        """The names of the storage members that run now."""
        processes = self._kept().processes.values()
        return sorted(info.name for info in processes if info.service == STORAGE)

    @property
    def processes(self) -> dict[str, ProcessInfo]:
        """All processes that run now, by name: service, pid, address, restarts."""
        return self._kept().processes

    def client(self, **options: Any) -> Client:  # noqa: ANN401 - those of the client
        """A client for it, by ``async with``; ``options`` are those of ``becket.Client``."""
        return Client(self.address, **options)

    def sync_client(self, **options: Any) -> sync.Client:  # noqa: ANN401 - likewise
        """The same for programs without an event loop, by ``with``."""
        return sync.Client(self.address, **options)

    # What can be done to it

    def kill(self, name: str) -> None:
        """Kill a process (SIGKILL); it is started again at once."""
        self._send(name, signal.SIGKILL)

    def pause(self, name: str) -> None:
        """Let a process stand still, until ``resume``."""
        self._send(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a paused process go on."""
        self._send(name, signal.SIGCONT)

    def restart(self, name: str) -> None:
        """Stop a process politely (SIGTERM), and wait until it runs again."""
        before = self._send(name, signal.SIGTERM).restarts
        self._wait_for_restart(name, before)

    def wipe(self, name: str) -> None:
        """Kill a storage member and remove its volume; waits until it runs again, on a new one."""
        self._found(name)  # Nothing is to be left behind for one that never comes.
        self.layout.ask_for_wipe(name)
        before = self._send(name, signal.SIGKILL).restarts
        self._wait_for_restart(name, before)

    def kill_all(self) -> None:
        """Kill every process at the same moment."""
        for info in self.processes.values():
            with suppress(ProcessLookupError):  # Some end as soon as others are killed.
                os.kill(info.pid, signal.SIGKILL)

    def wait_ready(self) -> None:
        """Wait until every partition answers.

        :raises NotRunningError: it does not in time.
        """
        keeper = self._kept()

        def router() -> str | None:
            # Who asks before the router exists takes processor time from its start.
            return keeper.addresses[ROUTER_NAME] if ROUTER_NAME in keeper.processes else None

        waiting = until_ready(router, self._spec.partitions, self._ready_s)
        self._running().run(waiting, self._ready_s + _THREAD_S)

    # Inside

    async def _start(self, layout: Layout) -> Keeper:
        keeper = Keeper(
            layout,
            self._spec,
            settings=KeepSettings(stop_s=_STOP_S),
            extra=self._settings,
            without=self._without,
        )
        # Also where the start fails half-way, the stop must find what there is.
        self._keeper = keeper
        await keeper.start()
        return keeper

    def _kept(self) -> Keeper:
        if self._keeper is None:
            raise BecketError("this cluster is not started: use it as `with Cluster() as cluster`")
        return self._keeper

    def _running(self) -> _LoopThread:
        if self._thread is None:
            raise BecketError("this cluster is not started: use it as `with Cluster() as cluster`")
        return self._thread

    def _found(self, name: str) -> ProcessInfo:
        info = self.processes.get(name)
        if info is None:
            running = ", ".join(sorted(self.processes))
            raise NotFoundError(f"no process {name} runs; those that do: {running}")
        return info

    def _send(self, name: str, number: signal.Signals) -> ProcessInfo:
        info = self._found(name)
        try:
            os.kill(info.pid, number)
        except ProcessLookupError:
            # It ended a moment ago, and is not yet seen to: whoever ends it has what is wanted.
            if number not in (signal.SIGKILL, signal.SIGTERM):
                raise NotFoundError(
                    f"{name} has just ended, and is about to be restarted"
                ) from None
        return info

    def _wait_for_restart(self, name: str, restarts: int) -> None:
        until = time.monotonic() + self._ready_s
        while True:
            info = self.processes.get(name)
            if info is not None and info.restarts > restarts:
                return
            if time.monotonic() > until:
                raise BecketError(f"{name} was not started again in {self._ready_s:g} s")
            time.sleep(_LOOK_S)


class _LoopThread:
    """An event loop in a thread: processes are tied to the thread that starts them, so it stays."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="becket-test-cluster", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], within_s: float = _THREAD_S) -> T:
        """The result of a coroutine that runs there."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(within_s)
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the loop; what still runs in it is cancelled."""
        self.run(self._cancel_rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_THREAD_S)
        self._loop.close()

    async def _cancel_rest(self) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()
