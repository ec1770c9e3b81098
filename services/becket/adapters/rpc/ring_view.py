"""A route table that others can wait on.

Owns the waking of those who wait for a newer ring or coordinator. Must not fetch anything. Each
change wakes everybody once; whoever was late looks at the table, not at a queue of changes, so
nothing grows with the number of changes.
"""

from __future__ import annotations

import asyncio

from becket.core.replication.versions import Epoch
from becket.core.ring.config import Disk
from becket.core.ring.ring import Ring
from becket.core.routes import RouteTable


class RingView:
    """What this process knows of the ring and of its coordinators."""

    def __init__(self) -> None:
        self.table = RouteTable()
        self.encoded = b""
        """The ring byte for byte as the ring object holds it; empty where only parts are known."""
        self.addresses: dict[Disk, str] = {}
        """Where members answer, as host:port, where others have told so."""
        self._moves = 0
        self._changed = asyncio.Event()

    @property
    def ring(self) -> Ring | None:
        """The newest ring."""
        return self.table.ring

    @property
    def serial(self) -> int:
        """Goes up with every change."""
        return self.table.serial + self._moves

    def offer_ring(self, ring: Ring, encoded: bytes = b"") -> bool:
        """Take a ring if it is newer; True when it was taken; raises InvalidRingError."""
        if not self.table.offer_ring(ring):
            return False
        self.encoded = encoded
        self._wake()
        return True

    def offer_coordinator(self, partition: int, epoch: Epoch) -> bool:
        """Take a coordinator if its epoch is newer; True when it was taken."""
        if not self.table.offer_coordinator(partition, epoch):
            return False
        self._wake()
        return True

    def note_address(self, disk: Disk, address: str) -> bool:
        """Take where a member answers; True when that was news."""
        if self.addresses.get(disk) == address:
            return False
        self.addresses[disk] = address
        self._moves += 1
        self._wake()
        return True

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def changed(self, serial: int) -> int:
        """Wait until there is a change after ``serial``; returns the present one."""
        while self.serial <= serial:
            await self._changed.wait()
        return self.serial
