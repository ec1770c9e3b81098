"""Listing keys in their order, from all the members that coordinate a part of them.

Theory of operation. A page is made anew each time: every partition is asked of whoever coordinates
it now, for the keys behind the last one that was listed, and the answers are merged by key. A
member's answer is complete up to its last key (or to the end), so the merge is valid up to the
least of these last keys; what lies beyond it is dropped and asked for again by the next page. The
token therefore is one key, whoever coordinates what: when coordinators change between pages, or
inside one (a refused member's partitions are asked elsewhere, from the same key), a key that exists
throughout is listed exactly once.

Owns pages. Must not keep anything between two of them.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Sequence

import grpc
from grpc_status import rpc_status

from becket.adapters import clocks
from becket.adapters.dispatch.channel_pool import ChannelPool
from becket.adapters.dispatch.context import Context
from becket.adapters.dispatch.outcomes import told_by
from becket.adapters.dispatch.routing import Way
from becket.adapters.rpc.errors import from_rpc_error, to_status
from becket.adapters.rpc.page_tokens import decode_token, encode_token
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1 import types_pb2
from becket.api.v1.key_value_pb2_grpc import KeyValueServiceStub
from becket.core.errors import InvalidInputError, NotAppliedError
from becket.core.hashing import hashed_part
from becket.core.limits import Limits
from becket.core.replication.cells import Outcome
from becket.core.ring.ring import Ring

DEFAULT_PAGE = 100
LEAST_SHARE = 16
PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.1


class _Answer:
    """What one member has listed; ``is_whole``: nothing of the range follows."""

    __slots__ = ("entries", "is_whole", "stamps")

    def __init__(
        self, entries: list[kv.Entry], stamps: Iterable[types_pb2.Stamp], *, is_whole: bool
    ) -> None:
        self.entries = entries
        self.stamps = stamps
        self.is_whole = is_whole


class Scanner:
    """Makes pages."""

    def __init__(self, context: Context, pool: ChannelPool, limits: Limits) -> None:
        self._context = context
        self._pool = pool
        self._limits = limits

    async def page(self, request: kv.ScanRequest, timeout_s: float) -> kv.ScanResponse:
        """One page.

        :raises InvalidInputError: a field is out of its limits, or the token is another listing's.
        :raises NotAppliedError: a partition could not be listed before the deadline.
        """
        size = self._checked_size(request)
        after = decode_token(request)
        start = max(request.start, request.prefix)
        if after is not None:
            start = max(start, after + b"\0")
        deadline_us = clocks.monotonic_us() + int(timeout_s * 1e6)
        ring = await self._ring(deadline_us)
        partitions = self._partitions(request, ring)
        last: list[str] = []
        try:
            async with asyncio.timeout(timeout_s):
                answers = await self._ask_all(request, start, size, partitions, last)
        except TimeoutError:
            why = f": {last[-1]}" if last else ""
            raise NotAppliedError(f"a partition was not listed in time{why}") from None
        return self._merged(request, size, answers)

    def _checked_size(self, request: kv.ScanRequest) -> int:
        limits = self._limits
        if request.page_size > limits.page_entries:
            raise InvalidInputError("page_size", f"must be 0..{limits.page_entries}")
        for field in ("prefix", "start", "end"):
            length = len(getattr(request, field))
            if length > limits.key_bytes:
                problem = f"is {length} bytes, must be at most {limits.key_bytes}"
                raise InvalidInputError(field, problem)
        return request.page_size or min(DEFAULT_PAGE, limits.page_entries)

    async def _ring(self, deadline_us: int) -> Ring:
        view = self._context.routes.view
        try:
            async with asyncio.timeout((deadline_us - clocks.monotonic_us()) / 1e6):
                serial = view.serial
                while view.ring is None:
                    serial = await view.changed(serial)
        except TimeoutError:
            raise NotAppliedError("no ring is known here yet", after_ms=200) from None
        return view.ring

    def _partitions(self, request: kv.ScanRequest, ring: Ring) -> list[int]:
        wanted = sorted(set(request.partitions))
        if wanted and wanted[-1] >= ring.partitions:
            raise InvalidInputError(
                "partitions", f"{wanted[-1]} is not in 0..{ring.partitions - 1}"
            )
        if hashed_part(request.prefix) != request.prefix:
            # The prefix holds a whole hash tag, so all of its keys live together.
            home = ring.partition_of(request.prefix)
            return [home] if not wanted or home in wanted else []
        return wanted or list(range(ring.partitions))

    def _merged(
        self, request: kv.ScanRequest, size: int, answers: Sequence[_Answer]
    ) -> kv.ScanResponse:
        """The answers as one page; it is empty only where nothing is left to list."""
        ends = [answer.entries[-1].key for answer in answers if not answer.is_whole]
        bound = min(ends, default=None)
        page = kv.ScanResponse()
        total = 0
        is_whole = bound is None
        for entry in heapq.merge(*(answer.entries for answer in answers), key=_key_of):
            if bound is not None and entry.key > bound:
                break
            if len(page.entries) >= size or total >= self._limits.page_bytes:
                is_whole = False
                break
            page.entries.append(entry)
            total += len(entry.key) + len(entry.value)
        for answer in answers:
            page.stamps.extend(answer.stamps)
        if not is_whole and page.entries:
            page.next_page_token = encode_token(request, page.entries[-1].key)
        return page

    async def _ask_all(
        self,
        request: kv.ScanRequest,
        start: bytes,
        size: int,
        partitions: Sequence[int],
        problems: list[str],
    ) -> list[_Answer]:
        """Every partition once, from whoever coordinates it; asks again until all have answered."""
        found: list[_Answer] = []
        left = set(partitions)
        pause_s = PAUSE_S
        while left:
            serial = self._context.routes.view.serial
            groups = self._groups(left)
            share = min(size, max(LEAST_SHARE, 2 * size // max(1, len(groups))))
            asked = kv.ScanRequest(
                prefix=request.prefix,
                start=start,
                end=request.end,
                page_size=share,
                keys_only=request.keys_only,
            )
            answers = await asyncio.gather(
                *(self._ask(way, each, asked, problems) for way, each in groups)
            )
            for (_, group), answer in zip(groups, answers, strict=True):
                if answer is not None:
                    found.append(answer)
                    left.difference_update(group)
            if left:
                for partition in left:
                    self._context.ask_around(partition, None)
                await self._wait(serial, pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return found

    def _groups(self, partitions: Iterable[int]) -> list[tuple[Way, list[int]]]:
        groups: dict[str, tuple[Way, list[int]]] = {}
        for partition in sorted(partitions):
            way = self._context.routes.way(partition)
            if way is not None:
                groups.setdefault(way.lane.address, (way, []))[1].append(partition)
        return list(groups.values())

    async def _ask(
        self, way: Way, partitions: list[int], asked: kv.ScanRequest, problems: list[str]
    ) -> _Answer | None:
        """One member's answer; None where the partitions must be asked for again."""
        request = kv.ScanRequest(partitions=partitions)
        request.MergeFrom(asked)
        stub = KeyValueServiceStub(self._pool.get(way.lane.address))
        # A member that is silent is asked again elsewhere, within the time of the whole page.
        timeout_s = 5 * self._context.settings.attempt_us / 1e6
        while True:
            try:
                response = await stub.Scan(request, timeout=timeout_s)
            except grpc.aio.AioRpcError as error:
                failure = from_rpc_error(error)
                if isinstance(failure, InvalidInputError):
                    raise failure from error
                problems[:] = [str(failure)]
                told = told_by(to_status(failure))
                if told.outcome is Outcome.NO:
                    self._heed(error, partitions)
                else:
                    way.lane.doubt()
                return None
            entries = list(response.entries)
            if entries or not response.next_page_token:
                is_whole = not response.next_page_token
                return _Answer(entries, response.stamps, is_whole=is_whole)
            request.page_token = response.next_page_token

    def _heed(self, error: grpc.aio.AioRpcError, partitions: list[int]) -> None:
        """Take the hint of a refusal, which speaks of one of the partitions."""
        status = rpc_status.from_call(error)
        if status is None:
            return
        told = told_by(status)
        if told.coordinator is not None and told.coordinator.partition in partitions:
            self._context.heed(told, told.coordinator.partition)

    async def _wait(self, serial: int, pause_s: float) -> None:
        """Until something about the ring is new, at most for the pause."""
        try:
            async with asyncio.timeout(pause_s):
                await self._context.routes.view.changed(serial)
        except TimeoutError:
            return


def _key_of(entry: kv.Entry) -> bytes:
    return entry.key
