"""Carries out what the writer of the ring object asks for.

Owns reading and writing the object through the topology port, one after the other. Must not decide
what is wanted, nor the discipline of R1: that is ``core.plans.writer``. Invariants: a ring is shown
to anybody (``confirmed``) only once the writer has announced it; nothing is written by a process
that may not act at that moment, and what it wished for is forgotten rather than kept for later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from becket.core.errors import RetryLaterError
from becket.core.plans.wishes import Discarded, Install, Wish
from becket.core.plans.writer import (
    Announce,
    CasConfirmed,
    CasConflict,
    CasLost,
    CompareAndSwap,
    Dropped,
    Effect,
    Event,
    NeedsRecovery,
    ObjectRead,
    ReadFailed,
    ReadObject,
    Refresh,
    TopologyWriter,
    Want,
)
from becket.core.ring.encoding import encode
from becket.core.ring.ring import Ring
from becket.ports.topology import Topology, TopologyUnavailableError

PAUSE_S, MOST_PAUSE_S = 0.05, 2.0
"""Between two reads, when the first gave no answer or a write was in vain; it doubles."""

AFTER_MS = 500


@dataclass
class Granted:
    """What became of wishes: those that are in the confirmed object, and those that did not fit."""

    applied: list[Wish] = field(default_factory=list)
    dropped: list[Discarded] = field(default_factory=list)


class _Request:
    def __init__(self, wishes: Sequence[Wish]) -> None:
        self.wishes = tuple(wishes)
        self.answer: asyncio.Future[Granted] = asyncio.get_running_loop().create_future()


class RingWriter:
    """The one writer of this process. ``run`` it; everything else only asks it."""

    def __init__(
        self,
        topology: Topology,
        *,
        changed: Callable[[], None],
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        self.found: Ring | None = None
        """The object as it was read last; None: there was none, or it was never read."""
        self.is_read = False
        """Whether the object was read at all."""
        self.encoded = b""
        """The confirmed ring byte for byte."""
        self.problem = ""
        """Why the topology gives no answer; empty while it does."""
        self._topology = topology
        self._changed = changed
        self._machine = TopologyWriter()
        self._requests: deque[_Request] = deque()
        self._wake = asyncio.Event()
        self._granted = Granted()
        self._needs_recovery = False
        self._may_write = may_write
        self._serving: Sequence[_Request] = ()
        self._failures = 0

    @property
    def confirmed(self) -> Ring | None:
        """The newest ring that is known to have been the object."""
        return self._machine.announced

    def note_seen(self, version: int) -> None:
        """A member of this cluster holds a ring of this version."""
        self._machine.note_seen(version)

    def refresh(self) -> None:
        """Read the object soon."""
        self._wake.set()

    async def grant(self, wishes: Sequence[Wish]) -> Granted:
        """Write the wishes that fit; returns when it is known what became of each.

        Without wishes it returns when the object has been read.

        :raises RetryLaterError: the ring object is missing, or older than a ring that is known, or
            this process may write no more.
        """
        request = _Request(wishes)
        self._requests.append(request)
        self._wake.set()
        return await request.answer

    async def run(self) -> None:
        """Serve wishes and refreshes for ever; the first read comes at once."""
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            requests = list(self._requests)
            self._requests.clear()
            try:
                await self._serve(requests)
            finally:
                for request in requests:
                    if not request.answer.done():
                        request.answer.cancel()

    async def _serve(self, requests: Sequence[_Request]) -> None:
        wishes = tuple(wish for request in requests for wish in request.wishes)
        self._granted, self._needs_recovery = Granted(), False
        self._serving = requests
        self._check_may_write()
        await self._drive(self._machine.handle(Want(wishes) if wishes else Refresh()))
        for request in requests:
            if request.answer.done():
                continue
            wants_install = any(isinstance(wish, Install) for wish in request.wishes)
            if self._needs_recovery and request.wishes and not wants_install:
                problem = "the ring object is missing or old, it has to be restored first"
                request.answer.set_exception(RetryLaterError(problem, after_ms=AFTER_MS))
                continue
            mine = Granted(
                [wish for wish in request.wishes if wish in self._granted.applied],
                [each for each in self._granted.dropped if each.wish in request.wishes],
            )
            request.answer.set_result(mine)

    async def _drive(self, effects: Sequence[Effect]) -> None:
        waiting = deque(effects)
        while waiting:
            effect = waiting.popleft()
            if isinstance(effect, ReadObject):
                if effect.again:
                    await asyncio.sleep(min(MOST_PAUSE_S, PAUSE_S * 2 ** min(self._failures, 10)))
                    self._check_may_write()
                waiting.extend(self._machine.handle(await self._read()))
            elif isinstance(effect, CompareAndSwap):
                waiting.extend(self._machine.handle(await self._swap(effect)))
            elif isinstance(effect, Announce):
                self._granted.applied.extend(effect.applied)
                self.encoded = encode(effect.ring)
                self._changed()
            elif isinstance(effect, Dropped):
                self._granted.dropped.append(effect.discarded)
            elif isinstance(effect, NeedsRecovery):
                self._needs_recovery = True
                self._changed()

    def _check_may_write(self) -> bool:
        """Whether writes may go on; if not, what is wished for is forgotten."""
        if self._may_write():
            return True
        self._machine.pending = []
        for request in self._serving:
            if request.wishes and not request.answer.done():
                problem = "this supervisor does not lead, or not any more"
                request.answer.set_exception(RetryLaterError(problem, after_ms=AFTER_MS))
        return False

    async def _read(self) -> Event:
        try:
            found = await self._topology.read()
        except TopologyUnavailableError as error:
            self._note_problem(str(error))
            self._failures += 1
            return ReadFailed()
        self._note_problem("")
        self._failures = 0
        self._check_may_write()
        ring = None if found is None else found.ring
        if not self.is_read or ring != self.found:
            self.found, self.is_read = ring, True
            self._changed()
        return ObjectRead(ring, None if found is None else found.object_version)

    async def _swap(self, write: CompareAndSwap) -> Event:
        if not self._check_may_write():
            return CasConflict()  # It was not written, and what is pending is forgotten.
        try:
            done = await self._topology.compare_and_swap(write.expected, write.ring)
        except TopologyUnavailableError as error:
            self._note_problem(str(error))
            return CasLost()
        if not done:
            return CasConflict()
        self.found = write.ring
        return CasConfirmed()

    def _note_problem(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self._changed()
