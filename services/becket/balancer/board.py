"""The weights that a balancer tells now, and waiting for the next.

Owns the one message that all watchers are sent. Must not compute weights. Invariants: a watcher
that was away sees the newest, never a queue of old ones; nobody is told the same number twice.
"""

from __future__ import annotations

import asyncio

from becket.api.v1 import balancer_pb2 as pb


class Board:
    """``weights`` are the present ones, with fresh ages."""

    def __init__(self, weights: pb.Weights) -> None:
        self.weights = weights
        self._changed = asyncio.Event()

    def put(self, weights: pb.Weights) -> None:
        """Replace the weights; wakes those who wait when the number is another."""
        before, self.weights = self.weights, weights
        if before.number != weights.number:
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    async def after(self, number: int) -> pb.Weights:
        """The first weights whose number is not ``number``."""
        while self.weights.number == number:
            await self._changed.wait()
        return self.weights
