"""Waiting for something that another process does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 20.0
LOOK_S = 0.005


async def until(condition: Callable[[], T]) -> T:
    """What ``condition`` returns, once that is true."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = condition()
            if found:
                return found
            await asyncio.sleep(LOOK_S)
