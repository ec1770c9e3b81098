"""What waits to be sent to one peer on one stream, gathered into few messages.

Owns the bound and the gathering: everything queued since the last message goes into the next one,
and the next one waits until the peer has shown that it took the last (DESIGN section 10: one
message in flight carries more than several). A full outbox drops the oldest entries, which is
always safe (PROTOCOL R10, R35). Must not know gRPC.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

E = TypeVar("E")

MAX_ENTRIES = 20_000
MESSAGE_ENTRIES = 2000
ACK_S = 0.01
"""A message that earns no answer holds up the next one for so long at most."""


class Outbox(Generic[E]):
    """A bounded queue with one reader."""

    def __init__(self, *, limit: int = MAX_ENTRIES, batch: int = MESSAGE_ENTRIES) -> None:
        self._entries: deque[E] = deque(maxlen=limit)
        self._batch = batch
        self._filled = asyncio.Event()
        self._acked = asyncio.Event()
        self._acked.set()
        self._ended = False
        self.begun = False
        """Whether a stream has been open since somebody set this to False."""
        self.dropped = 0

    def put(self, entry: E) -> None:
        """Queue an entry; the oldest one is dropped where there is no room."""
        if len(self._entries) == self._entries.maxlen:
            self.dropped += 1
        self._entries.append(entry)
        self._filled.set()

    def acked(self) -> None:
        """The peer has answered: the next message may go."""
        self._acked.set()

    @property
    def is_open(self) -> bool:
        """Whether what is put here goes out soon."""
        return self.begun and not self._ended

    def begin(self) -> None:
        """A stream is open: what waits may go."""
        self.begun = True
        self._ended = False
        self._acked.set()

    def end(self) -> None:
        """The stream is gone: whoever takes gets nothing more until the next one."""
        self._ended = True
        self._filled.set()
        self._acked.set()

    def clear(self) -> None:
        """Forget what waits: it was meant for a stream that is gone."""
        self._entries.clear()
        self._filled.clear()
        self._acked.set()

    async def take(self) -> list[E]:
        """Everything that waits, up to one message's worth, once the last message was taken.

        Empty: the stream has ended.
        """
        if not self._acked.is_set():
            handle = asyncio.get_running_loop().call_later(ACK_S, self._acked.set)
            await self._acked.wait()
            handle.cancel()
        while not self._entries and not self._ended:
            self._filled.clear()
            await self._filled.wait()
        # Whatever else this turn of the loop queues goes along.
        await asyncio.sleep(0)
        if self._ended:
            return []
        entries = self._entries
        if len(entries) <= self._batch:
            taken = list(entries)
            entries.clear()
        else:
            taken = [entries.popleft() for _ in range(self._batch)]
        self._acked.clear()
        return taken
