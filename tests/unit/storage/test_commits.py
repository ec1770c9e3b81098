"""Nothing is released before the sync that covers it, and nothing after a failed one (R8)."""

from __future__ import annotations

import asyncio
import threading

from becket.adapters.engines.memory import MemoryEngine
from becket.ports.engine import EngineFailedError, Put
from becket.storage.commits import Commits


class SlowEngine(MemoryEngine):
    """An engine whose syncs wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Semaphore(0)
        self.begun = 0
        self.fails = False

    def sync(self) -> None:
        self.begun += 1
        assert self.gate.acquire(timeout=10)
        if self.fails:
            raise EngineFailedError("the disk is gone")
        super().sync()


async def until(condition: object, *args: object) -> None:
    """Turn the loop until the condition holds."""
    async with asyncio.timeout(10):
        while not condition(*args):  # type: ignore[operator]
            await asyncio.sleep(0.001)


def commits_of(engine: MemoryEngine, *, durable: bool = True) -> tuple[Commits, list[object]]:
    failures: list[object] = []
    commits = Commits(engine, failures.append, durable=durable)
    commits.sync_s = 1.0  # as on a slow disk: in the thread
    return commits, failures


async def test_what_was_applied_is_released_by_its_sync_in_order() -> None:
    engine = SlowEngine()
    commits, _ = commits_of(engine)
    released: list[int] = []
    engine.apply([Put(b"a", b"1")])
    commits.note_applied()
    commits.when_synced(lambda: released.append(1))
    commits.when_synced(lambda: released.append(2))
    await until(lambda: engine.begun == 1)
    # Applied while a sync is under way: that sync does not cover it.
    engine.apply([Put(b"b", b"1")])
    commits.note_applied()
    commits.when_synced(lambda: released.append(3))
    assert released == []
    engine.gate.release()
    await until(lambda: engine.begun == 2)
    assert released == [1, 2]
    engine.gate.release()
    await until(lambda: released == [1, 2, 3])
    commits.close()


async def test_many_writes_of_one_turn_share_a_sync() -> None:
    engine = SlowEngine()
    commits, _ = commits_of(engine)
    released: list[int] = []
    for number in range(100):
        commits.note_applied()
        commits.when_synced(lambda number=number: released.append(number))  # type: ignore[misc]
    engine.gate.release()
    await until(lambda: len(released) == 100)
    assert engine.begun == 1
    commits.close()


async def test_with_nothing_unsynced_it_is_released_at_once() -> None:
    commits, _ = commits_of(MemoryEngine())
    released: list[int] = []
    commits.when_synced(lambda: released.append(1))
    assert released == [1]
    commits.close()


async def test_after_a_failed_sync_nothing_is_released_any_more() -> None:
    engine = SlowEngine()
    engine.fails = True
    commits, failures = commits_of(engine)
    released: list[int] = []
    commits.note_applied()
    commits.when_synced(lambda: released.append(1))
    engine.gate.release()
    await until(lambda: failures)
    commits.note_applied()
    commits.when_synced(lambda: released.append(2))
    await asyncio.sleep(0)
    assert released == []
    assert len(failures) == 1
    assert engine.begun == 1
    commits.close()


async def test_a_fast_disk_is_synced_in_the_loop() -> None:
    engine = MemoryEngine()
    commits, _ = commits_of(engine)
    commits.sync_s = 0.0001
    released: list[int] = []
    engine.apply([Put(b"a", b"1")])
    commits.note_applied()
    commits.when_synced(lambda: released.append(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert released == [1]
    assert engine.crashed().get(b"a") == b"1"
    commits.close()


async def test_where_the_machine_is_trusted_nothing_waits() -> None:
    commits, _ = commits_of(SlowEngine(), durable=False)
    released: list[int] = []
    commits.note_applied()
    commits.when_synced(lambda: released.append(1))
    assert released == [1]
    commits.close()
