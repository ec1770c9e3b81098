"""Syncing gathered writes, and what waits for it (PROTOCOL R8, DESIGN section 6).

Owns when the log is flushed, and the order in which waiting replies are released. Writes of one
turn of the event loop share a sync, and so do all that come while one is under way. Must not know
what it releases. Invariants: nothing is released before a sync that began after it was applied has
ended; one sync at a time; after a failed one nothing is released any more.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from becket.ports.engine import Engine, EngineFailedError

INLINE_S = 0.0005
"""A disk that syncs faster is synced in the event loop when little waits: a hand-over to a thread
and back costs about as much."""

INLINE_WAITING = 2
_SMOOTHING = 0.1


class Commits:
    """The syncs of one engine."""

    def __init__(
        self, engine: Engine, on_failure: Callable[[BaseException], None], *, durable: bool = True
    ) -> None:
        self._engine = engine
        self._on_failure = on_failure
        self._durable = durable
        """False: what the operating system holds is enough (``durability: os``)."""
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="sync")
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._applied = 0
        self._synced = 0
        self._busy = False
        self._failed = False
        self.sync_s = 0.001
        """The smoothed time of one sync."""
        self.syncs = 0

    def note_applied(self) -> None:
        """Something was applied to the engine: a sync has to follow."""
        if not self._durable:
            return
        self._applied += 1
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_soon(self._begin)

    def when_synced(self, release: Callable[[], None]) -> None:
        """Call ``release`` once everything that was applied so far is on the disk."""
        if self._failed:
            return
        if self._synced == self._applied:
            release()
        else:
            self._waiting.append((self._applied, release))

    def close(self) -> None:
        """Wait for the sync under way; nothing is released after that."""
        self._failed = True
        self._executor.shutdown()

    def _begin(self) -> None:
        if self._failed:
            return
        mark = self._applied
        if self.sync_s < INLINE_S and len(self._waiting) <= INLINE_WAITING:
            self._end(mark, self._sync())
            return
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._executor, self._sync)
        future.add_done_callback(lambda done: self._end(mark, done.result()))

    def _sync(self) -> EngineFailedError | None:
        """In the thread, or in the loop; a failure is told, not raised."""
        begun = time.perf_counter()
        try:
            self._engine.sync()
        except EngineFailedError as error:
            return error
        self.sync_s += _SMOOTHING * (time.perf_counter() - begun - self.sync_s)
        self.syncs += 1
        return None

    def _end(self, mark: int, failure: EngineFailedError | None) -> None:
        if self._failed:
            return
        if failure is not None:
            self._failed = True
            self._waiting.clear()
            self._on_failure(failure)
            return
        self._synced = mark
        while self._waiting and self._waiting[0][0] <= mark:
            self._waiting.popleft()[1]()
        self._busy = self._applied > self._synced
        if self._busy:
            asyncio.get_running_loop().call_soon(self._begin)
