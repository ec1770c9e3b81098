"""Nothing is released before the sync that covers it, and nothing after a failed one (R8)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from becket.adapters.engines.memory import MemoryEngine
from becket.ports.engine import EngineFailedError, Put
from becket.storage.commits import Commits


class SlowEngine(MemoryEngine):
    """An engine whose syncs wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Semaphore(0)
        self.started = threading.Semaphore(0)
        self.begun = 0
        self.fails = False

    def sync(self) -> None:
        self.begun += 1
        self.started.release()
        assert self.gate.acquire(timeout=10)
        if self.fails:
            raise EngineFailedError("the disk is gone")
        super().sync()


async def sync_begins(engine: SlowEngine) -> None:
    """Wait until the thread is in a sync."""
    assert await asyncio.to_thread(engine.started.acquire, timeout=10)


class Released:
    """What was released, in order."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._more = asyncio.Event()

    def note(self, number: int) -> Callable[[], None]:
        """What to call for this number."""

        def release() -> None:
            self.numbers.append(number)
            self._more.set()

        return release

    async def count(self, number: int) -> None:
        """Wait until so many were released."""
        async with asyncio.timeout(10):
            while len(self.numbers) < number:
                self._more.clear()
                await self._more.wait()


def never(error: BaseException) -> None:
    raise AssertionError(error)


def commits_of(engine: MemoryEngine, *, durable: bool = True) -> Commits:
    commits = Commits(engine, never, durable=durable)
    commits.sync_s = 1.0  # as on a slow disk: in the thread
    return commits


async def test_what_was_applied_is_released_by_its_sync_in_order() -> None:
    engine = SlowEngine()
    commits = commits_of(engine)
    released = Released()
    engine.apply([Put(b"a", b"1")])
    commits.note_applied()
    commits.when_synced(released.note(1))
    commits.when_synced(released.note(2))
    await sync_begins(engine)
    # Applied while a sync is under way: that sync does not cover it.
    engine.apply([Put(b"b", b"1")])
    commits.note_applied()
    commits.when_synced(released.note(3))
    assert released.numbers == []
    engine.gate.release()
    await sync_begins(engine)
    assert released.numbers == [1, 2]
    engine.gate.release()
    await released.count(3)
    assert released.numbers == [1, 2, 3]
    commits.close()


async def test_many_writes_of_one_turn_share_a_sync() -> None:
    engine = SlowEngine()
    commits = commits_of(engine)
    released = Released()
    for number in range(100):
        commits.note_applied()
        commits.when_synced(released.note(number))
    engine.gate.release()
    await released.count(100)
    assert engine.begun == 1
    commits.close()


async def test_with_nothing_unsynced_it_is_released_at_once() -> None:
    commits = commits_of(MemoryEngine())
    released = Released()
    commits.when_synced(released.note(1))
    assert released.numbers == [1]
    commits.close()


async def test_after_a_failed_sync_nothing_is_released_any_more() -> None:
    engine = SlowEngine()
    engine.fails = True
    failed = asyncio.Event()
    failures: list[BaseException] = []

    def fail(error: BaseException) -> None:
        failures.append(error)
        failed.set()

    commits = Commits(engine, fail)
    commits.sync_s = 1.0
    released = Released()
    commits.note_applied()
    commits.when_synced(released.note(1))
    engine.gate.release()
    await failed.wait()
    commits.note_applied()
    commits.when_synced(released.note(2))
    await asyncio.sleep(0)
    assert released.numbers == []
    assert len(failures) == 1
    assert engine.begun == 1
    commits.close()


async def test_a_fast_disk_is_synced_in_the_loop() -> None:
    engine = MemoryEngine()
    commits = commits_of(engine)
    commits.sync_s = 0.0001
    released = Released()
    engine.apply([Put(b"a", b"1")])
    commits.note_applied()
    commits.when_synced(released.note(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert released.numbers == [1]
    assert engine.crashed().get(b"a") == b"1"
    commits.close()


async def test_where_the_machine_is_trusted_nothing_waits() -> None:
    commits = commits_of(SlowEngine(), durable=False)
    released = Released()
    commits.note_applied()
    commits.when_synced(released.note(1))
    assert released.numbers == [1]
    commits.close()
