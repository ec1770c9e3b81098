"""Where members answer, as their processes say themselves.

Owns what hellos have told, by disk. A directory knows names, and a name outlives its disk: after a
volume is lost its member's next process has a new disk under the same name. It says hello at once,
often before the ring that holds its disk has come here, so what it said is kept until then. Must
not dial anything. Invariant: a disk that the ring has given up says nothing about its name.
"""

from __future__ import annotations

from becket.adapters.rpc.ring_view import RingView
from becket.core.ring.config import Disk
from becket.core.ring.members import Member, MemberState
from becket.core.ring.ring import Ring
from becket.ports.directory import LearningDirectory

MOST_SAID = 4_096
"""So many disks' words are kept; the oldest are forgotten."""


class Addresses:
    """The addresses of the members of the ring."""

    def __init__(self, view: RingView, directory: LearningDirectory) -> None:
        self._view = view
        self._directory = directory
        self._said: dict[Disk, str] = {}

    def said(self, disk: Disk, address: str) -> None:
        """The process of this disk has proven who it is, and says that it answers here."""
        self._said.pop(disk, None)
        if len(self._said) >= MOST_SAID:
            del self._said[next(iter(self._said))]
        self._said[disk] = address
        ring = self._view.ring
        member = ring.by_disk.get(disk) if ring is not None else None
        if member is not None and self._learn(member):
            self._view.note_address(disk, address)

    def set_ring(self, ring: Ring) -> None:
        """Take up what was said by the disks of a new ring."""
        for member in ring.members:
            self._learn(member)
            address = self._directory.address_of(member.name)
            if address is not None:
                self._view.addresses[member.disk] = address

    def of(self, disk: Disk) -> str | None:
        """Where a member of the ring answers; None where that is not known."""
        ring = self._view.ring
        if ring is None or disk not in ring.by_disk:
            return None
        return self._directory.address_of(ring.name_of(disk))

    def _learn(self, member: Member) -> bool:
        address = self._said.get(member.disk)
        if address is None or member.state is MemberState.GONE:
            return False
        self._directory.learn(member.name, address)
        return True
