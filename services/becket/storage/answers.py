"""The answers of one pipeline, on their way out.

Owns the order in which they leave and the bound on batches that are not answered. A stream takes
one write at a time: the reader of the stream writes what it has just answered itself, where nobody
else writes, so that a lone caller's answer waits for no further turn of the loop; everything else
goes by ``write_all``. Must not know what an answer says.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from becket.api.v1 import key_value_pb2 as kv

PIPELINE_BATCHES = 64
"""Batches of one stream whose answers have not left; the stream is not read on beyond it."""


class Answers:
    """The way out of one stream; ``write`` writes one message to it."""

    def __init__(self, write: Callable[[kv.PipelineResponse], Awaitable[None]]) -> None:
        self._write = write
        self._queue: deque[kv.PipelineResponse] = deque()
        self._room = asyncio.Semaphore(PIPELINE_BATCHES)
        self._is_writing = False
        self._is_over = False
        self._stirred = asyncio.Event()

    async def wait_for_room(self) -> None:
        """Wait until one more batch may be taken up; each takes its room until it is answered."""
        await self._room.acquire()

    def put(self, answer: kv.PipelineResponse) -> None:
        """Let an answer go out after those before it; dropped where the stream is over."""
        if not self._is_over:
            self._queue.append(answer)
            self._stirred.set()

    def end(self) -> None:
        """Nothing comes after what was put: the stream is over when that has left."""
        self._is_over = True
        self._stirred.set()

    async def write_now(self, answer: kv.PipelineResponse) -> None:
        """As ``put``; returns when it has left, where nothing is before it."""
        if self._is_writing or self._queue or self._is_over:
            self.put(answer)
            return
        await self._write_one(answer)
        if self._queue or self._is_over:
            self._stirred.set()

    async def write_all(self) -> None:
        """Write whatever comes, until the end."""
        while True:
            if self._queue and not self._is_writing:
                await self._write_one(self._queue.popleft())
            elif self._is_over and not self._is_writing:
                return
            else:
                self._stirred.clear()
                await self._stirred.wait()

    async def _write_one(self, answer: kv.PipelineResponse) -> None:
        self._is_writing = True
        try:
            await self._write(answer)
        finally:
            self._is_writing = False
        if not answer.more:
            self._room.release()
