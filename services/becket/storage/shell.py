"""The shell around the replication core: real time, a real engine, a real network.

Owns the order of effects (``core.replication.effects``): writes are applied at once, requests and
answers leave at once, replies and synced answers after the sync. It decides nothing. One event loop
drives it, so a step is never interrupted. Invariant: a failed write or sync is final (DESIGN
section 6): the shell does no further step, and whoever owns it ends the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Protocol

from becket.adapters import clocks
from becket.adapters.engines.cells import EngineCells
from becket.core.errors import BecketError, NotAppliedError
from becket.core.replication.cells import Answer, Attempt, Result
from becket.core.replication.effects import Certificate
from becket.core.replication.member import Member
from becket.core.replication.messages import Message, Sent
from becket.core.replication.versions import Identity, Version
from becket.core.ring.config import Config
from becket.ports.engine import EngineFailedError
from becket.storage.commits import Commits

OnAnswer = Callable[[Answer], None]


class Network(Protocol):
    """The way to the peers. What cannot be sent is dropped: loss is safe (R10)."""

    trace: str
    """The sampled trace that belongs to what is sent now; empty for none."""

    def send(self, sent: Sequence[Sent]) -> None:
        """Send each message to its disk, soon, gathered by peer."""


class Shell:
    """One running member."""

    def __init__(self, member: Member, cells: EngineCells, commits: Commits) -> None:
        self.member = member
        self.identity = member.identity
        self.commits = commits
        self.network: Network | None = None
        self.certificates: dict[int, Certificate] = {}
        """The newest certificate of each partition that the ring does not yet show as done."""
        self.on_change: Callable[[], None] = _nothing
        """Called when a reign begins or ends, or a certificate comes."""
        self.on_failure: Callable[[BaseException], None] = _nothing_of
        self.stopped = False
        self._cells = cells
        self._answers: dict[int, OnAnswer] = {}
        self._ids = count(1)
        self._reign_serial = -1

    # Inputs

    def receive(self, sender: Identity, messages: Iterable[Message]) -> None:
        """An envelope of a peer."""
        if not self.stopped:
            self.member.receive(clocks.both(), sender, messages)
            self._carry_out()

    def next_id(self) -> int:
        """A number for an attempt."""
        return next(self._ids)

    def submit(self, attempts: Sequence[Attempt], on_answer: OnAnswer, *, trace: str = "") -> None:
        """Attempts of clients; ``on_answer`` is called once for each, perhaps before this returns.

        ``trace`` is the ``traceparent`` of a sampled batch.

        :raises NotAppliedError: this process has stopped; nothing was done.
        """
        if self.stopped:
            raise NotAppliedError("this member has stopped")
        for attempt in attempts:
            self._answers[attempt.id] = on_answer
        self.member.submit(clocks.both(), attempts)
        if trace and self.network is not None:
            self.network.trace = trace
            self._carry_out()
            self.network.trace = ""
        else:
            self._carry_out()

    def read_now(self, places: Sequence[tuple[int, bytes]]) -> list[Result | None]:
        """As ``Member.read_now``.

        :raises NotAppliedError: this process has stopped.
        """
        if self.stopped:
            raise NotAppliedError("this member has stopped")
        found = self.member.read_now(clocks.both(), places)
        self._carry_out()
        return found

    def offer(self, configs: Iterable[tuple[int, Config]]) -> None:
        """Configs of the ring, old ones too."""
        if not self.stopped:
            self.member.offer(clocks.both(), configs)
            self._carry_out()

    def suspect(self, peer: Identity) -> None:
        """Failure detection does not hear this process of a peer."""
        if not self.stopped:
            self.member.suspect(clocks.both(), peer)
            self._carry_out()

    def tick(self, copies: int | None = None) -> None:
        """Let time pass; ``copies`` as in ``Member.tick``."""
        if not self.stopped:
            self.member.tick(clocks.both(), copies)
            self._carry_out()

    def hand_over(self) -> int:
        """Hand every partition over, for good; returns how many are still coordinated here."""
        if self.stopped:
            return 0
        left = self.member.hand_over(clocks.both(), leaving=True)
        self._carry_out()
        return left

    def read_relaxed(
        self, at: tuple[int, bytes], staleness_us: int | None, release: Callable[[Result], None]
    ) -> bool:
        """Read this replica's own cell: of any age where ``staleness_us`` is None.

        ``release`` is called when what the read has seen is synced. False: this replica cannot
        answer (R34), and ``release`` is never called.
        """
        if self.stopped:
            return False
        if staleness_us is None:
            result = self.member.read_any(*at)
        else:
            result = self.member.read_bounded(clocks.both(), at, staleness_us)
            self._carry_out()
        if result is None:
            return False
        found = result
        self.commits.when_synced(lambda: release(found))
        return True

    def confirm(self, partitions: Sequence[int]) -> dict[int, Version]:
        """As ``Member.confirm``; empty once this process has stopped."""
        if self.stopped:
            return {}
        found = self.member.confirm(clocks.both(), partitions)
        self._carry_out()
        return found

    def stamp_of(self, partition: int) -> Version | None:
        """The stamp of a partition that this member coordinates; None for any other."""
        seat = self.member.seats.get(partition)
        if seat is None or seat.coordinator is None:
            return None
        return seat.coordinator.stamp

    def keep_ring(self, encoded: bytes) -> None:
        """Keep the ring on the volume; it is durable with the next sync."""
        if self.stopped:
            return
        try:
            self._cells.keep_ring(encoded)
        except EngineFailedError as error:
            self._fail(error)
        else:
            self.commits.note_applied()

    def stop(self) -> None:
        """No further step; what waits for an answer gets none from here."""
        self.stopped = True

    # Effects

    def _carry_out(self) -> None:
        effects = self.member.take()
        if effects.writes:
            try:
                self._cells.apply(effects.writes)
            except EngineFailedError as error:
                self._fail(error)
                return
            self.commits.note_applied()
        if effects.requests and self.network is not None:
            self.network.send(effects.requests)
        replies, synced = effects.replies, effects.synced_answers
        if replies or synced:
            self.commits.when_synced(lambda: self._release(replies, synced))
        for certificate in effects.certificates:
            self.certificates[certificate.partition] = certificate
        for answer in effects.answers:
            self._answer(answer)
        serial = self.member.reign_serial
        if effects.certificates or serial != self._reign_serial:
            self._reign_serial = serial
            self.on_change()

    def _release(self, replies: Sequence[Sent], synced: Sequence[Answer]) -> None:
        own: list[Message] = []
        others: list[Sent] = []
        for sent in replies:
            if sent.to == self.identity.disk:
                own.append(sent.message)
            else:
                others.append(sent)
        if others and self.network is not None:
            self.network.send(others)
        if own:
            asyncio.get_running_loop().call_soon(self.receive, self.identity, own)
        for answer in synced:
            self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        on_answer = self._answers.pop(answer.id, None)
        if on_answer is not None:
            on_answer(answer)

    def _fail(self, error: BecketError) -> None:
        self.stopped = True
        self.on_failure(error)


def _nothing() -> None:
    """Until somebody wants to know."""


def _nothing_of(_error: BaseException) -> None:
    """Until somebody wants to know."""
