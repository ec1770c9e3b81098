"""Listing keys in order, from the partitions that this member coordinates.

Owns one page. Each partition is confirmed first, by a linearizable read that begins after the call
arrived (lease or quorum, PROTOCOL R16, R23), and read from the engine after that. So a page shows
every write acknowledged before the call; it may also show one whose outcome is unknown. The engine
is read only where it holds every chosen cell (``Levelling.is_whole``). Tombstones and what has
expired by the clock are left out (R33 allows that to scans).
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from becket.adapters import clocks
from becket.adapters.engines.cells import EngineCells
from becket.adapters.rpc.errors import from_status
from becket.adapters.rpc.operations import entry
from becket.adapters.rpc.page_tokens import decode_token, encode_token
from becket.adapters.rpc.ring_view import RingView
from becket.adapters.rpc.rings import stamp_to_proto
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1 import types_pb2
from becket.core.errors import InvalidInputError, NotAppliedError
from becket.core.limits import Limits
from becket.core.replication import registers
from becket.core.replication.store import UnreadableError
from becket.storage.calls import Calls
from becket.storage.shell import Shell

DEFAULT_PAGE = 100
LEAST_CHUNK = 4
RETRY_MS = 50


class Range(NamedTuple):
    """Keys with ``start`` <= key < ``end`` (None: no bound) that begin with ``prefix``."""

    start: bytes
    end: bytes | None
    prefix: bytes

    def holds(self, key: bytes) -> bool:
        """Whether the listing goes on at this key."""
        return (self.end is None or key < self.end) and key.startswith(self.prefix)


def wanted_range(request: kv.ScanRequest, limits: Limits) -> Range:
    """What a request asks for.

    :raises InvalidInputError: a bound is over the limit of a key, or the token is another's.
    """
    for field in ("prefix", "start", "end"):
        size = len(getattr(request, field))
        if size > limits.key_bytes:
            problem = f"is {size} bytes, must be at most {limits.key_bytes}"
            raise InvalidInputError(field, problem)
    after = decode_token(request)
    start = max(request.start, request.prefix)
    if after is not None:
        start = max(start, after + b"\0")
    return Range(start, request.end or None, request.prefix)


class Scans:
    """The listings of one member."""

    def __init__(
        self, shell: Shell, view: RingView, cells: EngineCells, calls: Calls, limits: Limits
    ) -> None:
        self._shell = shell
        self._view = view
        self._cells = cells
        self._calls = calls
        self._limits = limits

    async def page(self, request: kv.ScanRequest, timeout_s: float) -> kv.ScanResponse:
        """One page.

        :raises InvalidInputError: a field is out of its limits.
        :raises WrongMemberError: a partition is coordinated elsewhere.
        :raises NotAppliedError: a partition cannot be listed at the moment.
        """
        if request.page_size > self._limits.page_entries:
            raise InvalidInputError("page_size", f"must be 0..{self._limits.page_entries}")
        size = request.page_size or min(DEFAULT_PAGE, self._limits.page_entries)
        wanted = wanted_range(request, self._limits)
        partitions = self._partitions(request)
        stamps = await self._confirm(partitions, timeout_s)
        entries: list[kv.Entry] = []
        total, more = 0, False
        now_ms = clocks.wall_ms()
        for key, partition, raw in self._merged(partitions, wanted, size):
            cell = self._cells.read(partition, key, raw)
            if cell is None:
                problem = f"a cell of partition {partition} is damaged and being mended"
                raise NotAppliedError(problem, after_ms=RETRY_MS)
            if cell.value is None or registers.is_expired(cell, now_ms):
                continue
            if len(entries) >= size or total >= self._limits.page_bytes:
                more = True
                break
            found = entry(key, registers.read(cell), keys_only=request.keys_only)
            entries.append(found)
            total += len(found.key) + len(found.value)
        token = encode_token(request, entries[-1].key) if more else b""
        await self._synced()
        return kv.ScanResponse(entries=entries, next_page_token=token, stamps=stamps)

    def _partitions(self, request: kv.ScanRequest) -> tuple[int, ...]:
        ring = self._view.ring
        if ring is None:
            raise NotAppliedError("this member has not been given a ring yet", after_ms=100)
        partitions = tuple(sorted(set(request.partitions))) or tuple(range(ring.partitions))
        if partitions[-1] >= ring.partitions:
            problem = f"{partitions[-1]} is not in 0..{ring.partitions - 1}"
            raise InvalidInputError("partitions", problem)
        return partitions

    async def _confirm(self, partitions: Sequence[int], timeout_s: float) -> list[types_pb2.Stamp]:
        """Every partition is coordinated here, now, and this engine holds all of it."""
        reigns = self._shell.member.reigns()
        for partition in partitions:
            reign = reigns.get(partition)
            if reign is None:
                raise from_status(self._calls.refusal(partition, ""))
            if not reign.levelling.is_whole:
                problem = f"partition {partition} is being levelled after a change of coordinator"
                raise NotAppliedError(problem, after_ms=RETRY_MS)
        confirmed = self._shell.confirm(partitions)
        stamps = [stamp_to_proto(partition, stamp) for partition, stamp in confirmed.items()]
        if len(stamps) < len(partitions):
            rest = [partition for partition in partitions if partition not in confirmed]
            outcomes = await self._calls.confirm(rest, timeout_s)
            for result in map(kv.Result.FromString, outcomes.results):
                if result.HasField("status"):
                    raise from_status(result.status)
            stamps += outcomes.stamps
            # What has ended while the rest was waited for may be cleared already.
            now = self._shell.member.reigns()
            ended = [
                partition for partition in partitions if now.get(partition) is not reigns[partition]
            ]
            if ended:
                raise NotAppliedError(f"partition {ended[0]} has changed hands", after_ms=RETRY_MS)
        return stamps

    def _merged(
        self, partitions: Sequence[int], wanted: Range, size: int
    ) -> Iterator[tuple[bytes, int, bytes]]:
        """Key, partition, and the cell's bytes: most of what is read ahead is never asked for."""
        chunk = max(LEAST_CHUNK, 2 * size // len(partitions))
        # Keys are unique, so that nothing after them is ever compared.
        return heapq.merge(*(self._walk(partition, wanted, chunk) for partition in partitions))

    def _walk(
        self, partition: int, wanted: Range, chunk: int
    ) -> Iterator[tuple[bytes, int, bytes]]:
        start = wanted.start
        while True:
            try:
                page = self._cells.page_from(partition, start, chunk)
            except UnreadableError:
                problem = f"partition {partition} does not read here: another member takes it over"
                raise NotAppliedError(problem, after_ms=RETRY_MS) from None
            for key, raw in page:
                if not wanted.holds(key):
                    return
                yield key, partition, raw
            if len(page) < chunk:
                return
            start = page[-1][0] + b"\0"

    async def _synced(self) -> None:
        """What was read may have been applied a moment ago: no answer before its sync (R8)."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._shell.commits.when_synced(_resolver(done))
        await done


def _resolver(done: asyncio.Future[None]) -> Callable[[], None]:
    def resolve() -> None:
        if not done.done():
            done.set_result(None)

    return resolve
