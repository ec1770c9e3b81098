"""The memory of events is bounded, and watchers get what they have not seen."""

from __future__ import annotations

import asyncio

from becket.core.supervision.saying import Topic
from becket.supervisor.events import EventLog


def fill(log: EventLog, count: int) -> None:
    for number in range(count):
        log.add(Topic.RING, f"event {number}", ring_version=number, time_ms=number)


def test_only_the_last_are_remembered() -> None:
    log = EventLog(10)
    fill(log, 25)
    assert [event.number for event in log.after(0)] == list(range(16, 26))
    assert [event.number for event in log.after(24)] == [25]
    assert log.after(25) == []


def test_a_number_of_an_earlier_process_finds_everything() -> None:
    log = EventLog(10)
    fill(log, 3)
    assert len(log.after(900)) == 3


async def test_a_watcher_waits_for_the_next() -> None:
    log = EventLog(10)
    fill(log, 2)
    waiting = asyncio.create_task(log.wait_after(2))
    await asyncio.sleep(0)
    assert not waiting.done()
    fill(log, 1)
    assert [event.number for event in await waiting] == [3]
