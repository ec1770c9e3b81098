"""Clients' operations on their way through the core: attempts out, results back.

Owns the grouping of a batch by key (PROTOCOL R14a: operations on one key run in the order of the
list, its writes under one number), the identity that a stock client's write gets (R32), and the
status of every way in which an attempt can end. Must not retry: a caller above does (R29).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from google.rpc import status_pb2

from becket.adapters import clocks
from becket.adapters.rpc.errors import to_status
from becket.adapters.rpc.operations import ANY_AGE, GET, NOBODY, Caller, Parsed, result_to_bytes
from becket.adapters.rpc.ring_view import RingView
from becket.adapters.rpc.rings import stamp_to_proto
from becket.api.v1 import types_pb2
from becket.core.errors import (
    AnswerFullError,
    BecketError,
    DiskFullError,
    InvalidInputError,
    NotAppliedError,
    OutcomeUnknownError,
)
from becket.core.load.hot_keys import HotKeys
from becket.core.replication.cells import Answer, Attempt, Kind, Operation, Outcome, Reason, Result
from becket.core.replication.versions import ZERO, Version
from becket.storage.latencies import Latencies
from becket.storage.refusals import failed, refused, wrong_member
from becket.storage.shell import Shell

GRACE_S = 0.5
"""An attempt ends by its own deadline; the caller waits this much longer for the answer."""


PART_S = 0.005
"""What is done waits no longer than this for the rest of its batch, where parts are wanted: one
operation that waits for a new coordinator must not hold up those that came with it."""

_SMOOTHING = 0.05

# No client's key: it is only read, to confirm a reign.
_PROBE = Parsed(b"", Operation(Kind.GET))  # not GET itself: it is nobody's read


class Space:
    """Whether the disk has room; told by whoever watches it."""

    full = False


class Outcomes(NamedTuple):
    """What became of a batch, or of the operations at these ``places`` of it; empty: of all.

    Each result is a ``kv.Result`` as bytes, as it goes into an answer.
    """

    results: list[bytes]
    stamps: list[types_pb2.Stamp]
    places: list[int]


OnPart = Callable[[Outcomes], None]
"""Told of results while others of the batch wait; what was told is not in the last outcomes."""


class _Group:
    """Operations of a batch on one key that are one attempt; ``places`` are theirs in the batch."""

    __slots__ = ("caller", "operations", "places", "writes")

    def __init__(self) -> None:
        self.caller: Caller = NOBODY
        self.operations: list[Operation] = []
        self.places: list[int] = []
        self.writes = False


class Calls:
    """The operations under way at this member."""

    def __init__(self, shell: Shell, view: RingView, space: Space, *, answer_bytes: int) -> None:
        self.answer_bytes = answer_bytes
        """How many bytes of values one batch may read; half as many more among its writes."""
        self._shell = shell
        self._view = view
        self._space = space
        self.in_flight = 0
        self.hot_keys = HotKeys(clocks.monotonic_us())
        """The keys that are read most."""
        self.served = 0
        """Operations that were answered since the start."""
        self.latency_s = 0.0
        """The smoothed time of a batch, from arrival to answer."""
        self.latencies = Latencies()

    async def execute(
        self,
        parsed: Sequence[Parsed],
        timeout_s: float,
        *,
        trace: str = "",
        on_part: OnPart | None = None,
        told: dict[int, Version] | None = None,
    ) -> Outcomes:
        """Run a batch; each operation has its own outcome. ``trace``: a sampled ``traceparent``.

        ``on_part`` is told what is done already while the rest takes longer. ``told``: the stamp of
        each partition that the caller has, by earlier outcomes over the same stream; what it has is
        not told again (R30).

        :raises NotAppliedError: this member knows no ring, or has stopped; nothing was done.
        """
        batch = self.begin(parsed, timeout_s, trace=trace, on_part=on_part, told=told)
        return await self.finish(batch, timeout_s)

    def begin(
        self,
        parsed: Sequence[Parsed],
        timeout_s: float,
        *,
        trace: str = "",
        on_part: OnPart | None = None,
        told: dict[int, Version] | None = None,
    ) -> OpenBatch:
        """As ``execute``, up to the first wait; the batch has to be finished.

        :raises NotAppliedError: as ``execute``; there is nothing to finish.
        """
        ring = self._view.ring
        if ring is None:
            raise NotAppliedError("this member has not been given a ring yet", after_ms=100)
        batch = OpenBatch(self, parsed, ring.partitions_of(item.key for item in parsed))
        batch.trace, batch.on_part, batch.told_stamps = trace, on_part, told
        self.in_flight += len(parsed)
        try:
            batch.start(timeout_s)
        except BaseException:
            self._end(batch)
            raise
        return batch

    async def finish(self, batch: OpenBatch, timeout_s: float) -> Outcomes:
        """Wait for a batch that has begun."""
        try:
            await self._wait(batch, timeout_s)
        except BaseException:
            self._end(batch)
            raise
        return self.close(batch)

    def close(self, batch: OpenBatch) -> Outcomes:
        """The outcomes of a batch of which nothing is ``left``."""
        took_s = batch.age_s
        self.latency_s += _SMOOTHING * (took_s - self.latency_s)
        self.note_latency(took_s, batch.untold)
        self._end(batch)
        return batch.outcomes()

    def _end(self, batch: OpenBatch) -> None:
        batch.tell_no_more()
        self.in_flight -= batch.size
        self.served += batch.size

    def note_latency(self, took_s: float, operations: int) -> None:
        """So many operations are answered, so long after they came."""
        self.latencies.note(clocks.monotonic_us(), took_s * 1e6, operations)

    async def _wait(self, batch: OpenBatch, timeout_s: float) -> None:
        try:
            if batch.left:
                async with asyncio.timeout(timeout_s + GRACE_S):
                    await batch.done
        except TimeoutError:
            batch.give_up()
        finally:
            batch.tell_no_more()

    @property
    def ring_version(self) -> int:
        """The version of the ring that this member knows; 0 for none."""
        return self._view.table.version

    async def confirm(self, partitions: Sequence[int], timeout_s: float) -> Outcomes:
        """Confirm that this member coordinates these partitions, by a read in each (R16).

        One result for each partition: a success, or the status of the refusal.
        """
        batch = OpenBatch(self, [_PROBE] * len(partitions), partitions)
        batch.start(timeout_s)
        await self._wait(batch, timeout_s)
        return batch.outcomes()

    def refusal(self, partition: int, hint: str) -> status_pb2.Status:
        """The status of a partition that another member coordinates; ``hint`` may be empty."""
        return wrong_member(self._view, self._shell.identity.disk, partition, hint)

    # For a batch

    def submit(self, attempts: Sequence[Attempt], batch: OpenBatch) -> None:
        """Hand attempts to the core."""
        self._shell.submit(attempts, batch.on_answer, trace=batch.trace)

    def read_now(self, places: Sequence[tuple[int, bytes]]) -> list[Result | None]:
        """Linearizable reads; None where one has to be an attempt."""
        return self._shell.read_now(places)

    def next_id(self) -> int:
        """A number for an attempt."""
        return self._shell.next_id()

    def stamp_of(self, partition: int) -> Version:
        """The stamp that a stock client's first attempt gets (R32)."""
        return self._shell.stamp_of(partition) or ZERO

    def coordinates(self, partition: int) -> bool:
        """Whether this member coordinates the partition."""
        return self._shell.stamp_of(partition) is not None

    def is_full(self) -> bool:
        """Whether writes that need room are refused."""
        return self._space.full

    def read_relaxed(
        self, at: tuple[int, bytes], staleness_us: int, release: Callable[[Result], None]
    ) -> bool:
        """Read this member's own cell; ``release`` is called when that is synced."""
        age = None if staleness_us == ANY_AGE else staleness_us
        return self._shell.read_relaxed(at, age, release)


class OpenBatch:
    """One batch under way."""

    def __init__(self, calls: Calls, parsed: Sequence[Parsed], partitions: Sequence[int]) -> None:
        self._calls = calls
        self._parsed = parsed
        self._partitions = partitions
        self._results: list[bytes | None] = [None] * len(parsed)
        self._stamps: dict[int, Version] = {}
        self._groups: dict[int, tuple[int, _Group]] = {}
        self.left = len(parsed)
        self.trace = ""
        self._room = calls.answer_bytes
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self.on_part: OnPart | None = None
        self._telling: asyncio.TimerHandle | None = None
        self._told: set[int] = set()
        self.told_stamps: dict[int, Version] | None = None
        self._begun = time.perf_counter()

    @property
    def size(self) -> int:
        """How many operations it has."""
        return len(self._parsed)

    @property
    def age_s(self) -> float:
        """How long ago it came."""
        return time.perf_counter() - self._begun

    @property
    def untold(self) -> int:
        """How many operations no part has told of."""
        return len(self._parsed) - len(self._told)

    def start(self, timeout_s: float) -> None:
        """Read what can be read at once; form the attempts of the rest, and hand them over."""
        self._read_now()
        if not self.left:
            return
        deadline_us = clocks.monotonic_us() + int(timeout_s * 1_000_000)
        attempts = []
        for partition, key, group in self._grouped():
            attempt = self._attempt(partition, key, group, deadline_us)
            self._groups[attempt.id] = (partition, group)
            attempts.append(attempt)
        if attempts:
            self._calls.submit(attempts, self)

    def _read_now(self) -> None:
        """Answer the linearizable reads that a lease confirms: most reads of most batches.

        Not those of keys that the batch writes too, which are in the order of the list (R14a).
        """
        partitions, note_read = self._partitions, self._calls.hot_keys.add
        written = {item.key for item in self._parsed if item.operation is not GET}
        places: list[int] = []
        wanted: list[tuple[int, bytes]] = []
        for place, item in enumerate(self._parsed):
            if item.operation is not GET:
                continue
            note_read(item.key, item.reads)
            if item.staleness_us < 0 and item.key not in written:
                places.append(place)
                wanted.append((partitions[place], item.key))
        if not wanted:
            return
        stamps = self._stamps
        for place, result in zip(places, self._calls.read_now(wanted), strict=True):
            if result is None:
                continue
            partition = partitions[place]
            if partition not in stamps:
                stamps[partition] = self._calls.stamp_of(partition)
            self._results[place] = self._result(place, result, 0)
            self.left -= 1
        if self.left < len(self._parsed):
            self._tell_soon()

    def _grouped(self) -> Iterable[tuple[int, bytes, _Group]]:
        """Attempts by key, in the order of the list; relaxed reads are answered on the way."""
        open_groups: dict[tuple[int, bytes], _Group] = {}
        formed: list[tuple[int, bytes, _Group]] = []
        full = self._calls.is_full()
        for place, item in enumerate(self._parsed):
            if self._results[place] is not None:
                continue
            partition = self._partitions[place]
            if item.staleness_us >= 0 and self._read_relaxed(place, partition, item):
                continue
            is_write = item.operation.kind is not Kind.GET
            if is_write and full and item.operation.kind is not Kind.DELETE:
                problem = "the disk is full: reads and deletes are served"
                self._settle(place, DiskFullError(problem, after_ms=1000))
                continue
            group = open_groups.get((partition, item.key))
            # Writes of several callers are several numbers, hence several attempts.
            if group is None or (is_write and group.writes and group.caller != item.caller):
                group = open_groups[partition, item.key] = _Group()
                formed.append((partition, item.key, group))
            if is_write and not group.writes:
                group.writes, group.caller = True, item.caller
            group.operations.append(item.operation)
            group.places.append(place)
        return formed

    def _read_relaxed(self, place: int, partition: int, item: Parsed) -> bool:
        """Whether that settles it; a coordinator that cannot reads like for everybody else."""
        release = partial(self._on_relaxed, place)
        if self._calls.read_relaxed((partition, item.key), item.staleness_us, release):
            return True
        if self._calls.coordinates(partition):
            return False
        self._put(place, failed(self._calls.refusal(partition, "")))
        return True

    def _attempt(self, partition: int, key: bytes, group: _Group, deadline_us: int) -> Attempt:
        caller = group.caller
        stamp, session, number = caller.stamp, caller.session, caller.number
        if group.writes and not session:
            session, number = secrets.token_hex(8), 1
        if stamp is None:
            # R32: a first call has the present stamp; one that may have been executed has none.
            stamp = ZERO if caller.retry else self._calls.stamp_of(partition)
        return Attempt(
            self._calls.next_id(),
            partition,
            key,
            tuple(group.operations),
            session,
            number,
            caller.retry,
            stamp,
            deadline_us,
        )

    # Answers

    def on_answer(self, answer: Answer) -> None:
        """An attempt has ended."""
        found = self._groups.pop(answer.id, None)
        if found is None:
            return
        partition, group = found
        self._note_stamp(partition, answer.stamp)
        if answer.outcome is Outcome.OK and len(answer.results) == len(group.places):
            # What is read among writes has been executed with them: it is left out last.
            more = self._calls.answer_bytes // 2 if group.writes else 0
            for place, result in zip(group.places, answer.results, strict=True):
                self._put(place, self._result(place, result, more))
            return
        status = failed(self._status(partition, group, answer))
        for place in group.places:
            self._put(place, status)

    def _status(self, partition: int, group: _Group, answer: Answer) -> status_pb2.Status:
        reason = answer.reason
        if answer.outcome is Outcome.OK:
            # R27 answers with what was recorded under this number, and that was another call.
            problem = "was used before, for a call with other operations"
            return to_status(InvalidInputError("request_id", problem))
        if answer.outcome is Outcome.UNKNOWN:
            return to_status(OutcomeUnknownError("the write was sent, and no quorum has answered"))
        if reason in (Reason.WRONG_MEMBER, Reason.STEPPED_DOWN):
            return self._calls.refusal(partition, answer.coordinator)
        if reason in (Reason.STALE_STAMP, Reason.OLD_NUMBER) and group.caller.stamp is None:
            # A stock client keeps no stamps; its earlier call may have been executed (R32).
            if group.caller.retry:
                problem = "the record that would tell of the earlier call may be gone"
                return to_status(OutcomeUnknownError(problem))
            return to_status(NotAppliedError("refused: send the call again", after_ms=1))
        return to_status(refused(reason))

    def _on_relaxed(self, place: int, result: Result) -> None:
        """What a relaxed read has found is synced."""
        self._put(place, self._result(place, result, 0))

    def _result(self, place: int, result: Result, more: int) -> bytes:
        """The answer, unless what was read before has filled the message; the first is always one.

        ``more``: how many bytes it may take beyond the room of all.
        """
        item = self._parsed[place]
        if item.operation.kind is Kind.GET and result.value:
            if place and len(result.value) > self._room + more:
                problem = "the answers before this one fill the message: ask for fewer"
                return failed(to_status(AnswerFullError(problem)))
            self._room -= len(result.value)
        return result_to_bytes(item.key, item.operation, result)

    def _settle(self, place: int, error: BecketError) -> None:
        self._put(place, failed(to_status(error)))

    def _put(self, place: int, result: bytes) -> None:
        if self._results[place] is None:
            self._results[place] = result
            self.left -= 1
            if not self.left:
                if not self.done.done():
                    self.done.set_result(None)
            else:
                self._tell_soon()

    def _tell_soon(self) -> None:
        """Something is done: let who wants parts have it, if the rest takes longer."""
        if self.left and self._telling is None and self.on_part is not None:
            self._telling = self._loop.call_later(PART_S, self._tell_part)

    def _note_stamp(self, partition: int, stamp: Version) -> None:
        if stamp > self._stamps.get(partition, ZERO):
            self._stamps[partition] = stamp

    def give_up(self) -> None:
        """The core has not answered in time: a write may yet take effect, a read never did."""
        for _, group in self._groups.values():
            for place in group.places:
                if self._parsed[place].operation.kind is Kind.GET:
                    self._settle(place, NotAppliedError("no answer before the deadline"))
                else:
                    self._settle(place, OutcomeUnknownError("no answer before the deadline"))
        self._groups.clear()
        for place, result in enumerate(self._results):
            if result is None:
                self._settle(place, NotAppliedError("no answer before the deadline"))

    def _tell_part(self) -> None:
        self._telling = None
        if self.left and self.on_part is not None:
            part = self.outcomes()
            self._told.update(part.places)
            # Callers of these wait no longer: the rest of the batch is not what they feel.
            self._calls.note_latency(self.age_s, len(part.places))
            self.on_part(part)

    def tell_no_more(self) -> None:
        """What is not told by now comes with the last outcomes."""
        self.on_part = None
        if self._telling is not None:
            self._telling.cancel()

    def outcomes(self) -> Outcomes:
        """What became of every operation, but for those that were told of before."""
        stamps = self._untold_stamps()
        if not self.left and not self._told:
            return Outcomes([r for r in self._results if r is not None], stamps, [])
        results, places = [], []
        for place, result in enumerate(self._results):
            if result is not None and place not in self._told:
                results.append(result)
                places.append(place)
        return Outcomes(results, stamps, places)

    def _untold_stamps(self) -> list[types_pb2.Stamp]:
        told = {} if self.told_stamps is None else self.told_stamps
        found = [(p, stamp) for p, stamp in self._stamps.items() if stamp > told.get(p, ZERO)]
        told.update(found)
        return [stamp_to_proto(partition, stamp) for partition, stamp in found]
