"""``becket load``: many entries from a file, in batches.

Owns what is sent when, and the count of what came of it. A file is checked to its end before
anything is sent; what comes through a pipe is sent up to the line that is wrong. After an entry
that was not done for certain nothing more is sent. Must not retry: the client does.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypedDict

from becket.cli.exits import Exit, row_of, worse
from becket.cli.reading import BadLineError, Line
from becket.cli.store import Item, Store
from becket.cli.texts import shown
from becket.core.errors import BecketError

BATCH_BYTES = 2 << 20
"""A batch is over with so many bytes, whatever the number of its entries."""

IN_FLIGHT = 2
"""Batches under way at once; writes of one key keep their order all the same."""

FIRST, LEAST = 100, 20
"""Entries in the first batch; the least of a batch, and by how much it grows."""

QUICK_S, SLOW_S = 0.15, 0.4
"""A batch that takes less makes the next one larger, one that takes more makes it half as large.
Members call each other silent after 400 ms."""

SHOWN = 10


class LoadRow(TypedDict):
    """What came of a file: the JSON form of ``becket load``."""

    loaded: int
    expired: int
    not_done: int
    unknown: int
    seconds: float


@dataclass
class Tally:
    """What came of the entries so far."""

    loaded: int = 0
    expired: int = 0
    not_done: int = 0
    unknown: int = 0
    code: Exit = Exit.DONE
    last_line: int = 0
    """Of what was sent."""
    failures: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def take(self, lines: list[Line], results: list[BecketError | None]) -> None:
        """Count a batch."""
        for line, error in zip(lines, results, strict=True):
            self.last_line = max(self.last_line, line.number)
            if error is None:
                self.loaded += 1
                continue
            code = row_of(error).code
            # An entry that the cluster refuses was not done, whatever a single call would be told.
            outcome = Exit.UNKNOWN if code is Exit.UNKNOWN else Exit.NOT_DONE
            self.code = worse(self.code, outcome)
            if outcome is Exit.UNKNOWN:
                self.unknown += 1
            else:
                self.not_done += 1
            if len(self.failures) < SHOWN and line.item is not None:
                self.failures.append(f"line {line.number}, key {shown(line.item.key)}: {error}")

    def row(self) -> LoadRow:
        """The counts."""
        return LoadRow(
            loaded=self.loaded,
            expired=self.expired,
            not_done=self.not_done,
            unknown=self.unknown,
            seconds=round(time.monotonic() - self.began, 3),
        )


class Pace:
    """How many entries go into a batch: more while the cluster is quick, fewer when it is not.

    A batch occupies each member for a while; what is meant for others waits behind it. A cluster
    that has little processor time to itself must not be brought down by a file.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = min(most, FIRST)

    def took(self, seconds: float) -> None:
        """A batch of the present size had its answer after so long."""
        if seconds > SLOW_S:
            self.size = max(min(self._most, LEAST), self.size // 2)
        elif seconds < QUICK_S:
            self.size = min(self._most, self.size + LEAST)


def batches(lines: Iterable[Line], pace: Pace) -> Iterator[list[Line]]:
    """The lines in groups of the pace's size and ``BATCH_BYTES`` bytes at most."""
    group: list[Line] = []
    total = 0
    for line in lines:
        item = line.item
        weight = 0 if item is None else len(item.key) + len(item.value)
        if group and (len(group) >= pace.size or total + weight > BATCH_BYTES):
            yield group
            group, total = [], 0
        group.append(line)
        total += weight
    if group:
        yield group


async def load(
    store: Store, lines: Iterator[Line], pace: Pace, progress: Callable[[int], None]
) -> tuple[Tally, BadLineError | None]:
    """Write every entry; what came of them, and the line that ended it early.

    ``progress`` is told how many lines have an outcome.
    """
    tally = Tally()
    bad: list[BadLineError] = []
    under_way: deque[tuple[list[Line], asyncio.Task[Answered]]] = deque()

    async def settle() -> None:
        group, task = under_way.popleft()
        results, took_s = await task
        pace.took(took_s)
        tally.take(group, results)
        progress(tally.loaded + tally.not_done + tally.unknown + tally.expired)

    for group in batches(_until_bad(lines, bad), pace):
        alive = [line for line in group if line.item is not None]
        tally.expired += len(group) - len(alive)
        if not alive:
            continue
        items = [line.item for line in alive if line.item is not None]
        under_way.append((alive, asyncio.create_task(_put(store, items))))
        # Each batch must have been handed over before the next, for the order of its keys.
        await asyncio.sleep(0)
        while len(under_way) >= IN_FLIGHT:
            await settle()
        if tally.code:
            break
    while under_way:
        await settle()
    return tally, bad[0] if bad else None


Answered = tuple[list[BecketError | None], float]


async def _put(store: Store, items: list[Item]) -> Answered:
    began = time.monotonic()
    try:
        results = await store.put_many(items)
    except BecketError as error:
        results = [error] * len(items)
    return results, time.monotonic() - began


def _until_bad(lines: Iterator[Line], bad: list[BadLineError]) -> Iterator[Line]:
    try:
        yield from lines
    except BadLineError as error:
        bad.append(error)
