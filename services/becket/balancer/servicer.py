"""BalancerService: reports in, weights out.

Owns the streams and their ends. Must not decide anything: the ledger does. Invariants: a stream
that says nothing for longer than its report would be kept is ended; every stream ends with OK at
the settings' age, jittered, so that members and clients spread over balancers again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from becket.api.v1 import balancer_pb2 as pb
from becket.api.v1 import balancer_pb2_grpc
from becket.balancer.board import Board
from becket.balancer.messages import duration, report_of
from becket.core.load.ledger import Ledger

Context = grpc.aio.ServicerContext[Any, Any]
Clock = Callable[[], int]
TELL_S = 5.0
"""Something is told at least so often, so that silence means something (the proto promises it)."""
JITTER = 0.2
"""A stream's age differs from the settings' by so much of it, up or down."""


class BalancerServicer(balancer_pb2_grpc.BalancerServiceServicer):
    """Serves what the ledger knows; ``clock`` gives monotonic microseconds."""

    def __init__(
        self, ledger: Ledger, board: Board, *, clock: Clock, stream_age_s: float, idle_s: float
    ) -> None:
        self.reports = 0
        self.ignored = 0
        """Reports of older incarnations."""
        self._ledger = ledger
        self._board = board
        self._clock = clock
        self._stream_age_s = stream_age_s
        self._idle_s = idle_s

    def _age_s(self) -> float:
        return self._stream_age_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret

    async def ReportLoad(  # noqa: N802 - named by the proto
        self, request_iterator: AsyncIterator[pb.ReportLoadRequest], _context: Context
    ) -> AsyncIterator[pb.ReportLoadResponse]:
        requests = aiter(request_iterator)
        until = asyncio.get_running_loop().time() + self._age_s()
        while (left_s := until - asyncio.get_running_loop().time()) > 0:
            try:
                async with asyncio.timeout(min(left_s, self._idle_s)):
                    request = await anext(requests)
            except (StopAsyncIteration, TimeoutError):
                return
            self.reports += 1
            if not self._ledger.report(report_of(request), self._clock()):
                self.ignored += 1
            yield pb.ReportLoadResponse(next_report=duration(self._ledger.interval_us()))

    async def WatchWeights(  # noqa: N802 - named by the proto
        self, _request: pb.WatchWeightsRequest, _context: Context
    ) -> AsyncIterator[pb.WatchWeightsResponse]:
        weights = self._board.weights
        yield pb.WatchWeightsResponse(weights=weights)
        until = asyncio.get_running_loop().time() + self._age_s()
        loop = asyncio.get_running_loop()
        while (now := loop.time()) < until:
            try:
                async with asyncio.timeout_at(min(until, now + TELL_S)):
                    weights = await self._board.after(weights.number)
            except TimeoutError:
                if loop.time() >= until:
                    return
                weights = self._board.weights
            yield pb.WatchWeightsResponse(weights=weights)

    async def GetWeights(  # noqa: N802 - named by the proto
        self, _request: pb.GetWeightsRequest, _context: Context
    ) -> pb.GetWeightsResponse:
        return pb.GetWeightsResponse(weights=self._board.weights)
