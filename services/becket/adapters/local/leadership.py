"""The leadership port on one machine, where there is one supervisor: it leads, always.

Owns nothing. Must not be used where there may be two supervisors of one cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from becket.ports.leadership import Leader


class AlwaysLeader:
    """The only one."""

    is_leader = True
    term = 1

    def __init__(self, name: str, address: str = "") -> None:
        self.leader: Leader | None = Leader(name, address)

    async def run(self, changed: Callable[[], None]) -> None:
        """Nothing ever changes."""
        changed()
        await asyncio.Event().wait()

    async def release(self) -> None:
        """There is nobody to lead instead."""

    def outbid(self, term: int) -> None:
        """Nobody else writes: there is no fence."""
