"""What the supervisor saw and did, the last of it, and those who watch.

Owns the numbers and the bound. Must not word anything. Invariant: an event's number never falls,
and is not used twice by a process; a watcher who was too slow finds a gap, and nothing queues.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from becket.core.supervision.saying import Topic


class Happened(NamedTuple):
    """One event. ``time_ms`` is wall time since 1970."""

    number: int
    time_ms: int
    topic: Topic
    sentence: str
    member: str
    ring_version: int


class EventLog:
    """The last ``limit`` events."""

    def __init__(self, limit: int) -> None:
        self._events: deque[Happened] = deque(maxlen=limit)
        self._number = 0
        self._changed = asyncio.Event()

    def add(
        self, topic: Topic, sentence: str, *, member: str = "", ring_version: int, time_ms: int
    ) -> Happened:
        """Remember one, and wake those who watch."""
        self._number += 1
        event = Happened(self._number, time_ms, topic, sentence, member, ring_version)
        self._events.append(event)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        return event

    def after(self, number: int) -> list[Happened]:
        """Those remembered with a larger number.

        A number that this process has not given yet is of a process before it: all are new then.
        """
        if number > self._number:
            number = 0
        return [event for event in self._events if event.number > number]

    async def wait_after(self, number: int) -> list[Happened]:
        """As ``after``, but waits until there is one."""
        while True:
            changed = self._changed
            found = self.after(number)
            if found:
                return found
            await changed.wait()
