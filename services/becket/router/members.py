"""Where members answer, as this router believes at this moment.

Theory of operation. The directory names a member by a file on one machine, by a template on
Kubernetes: a DNS name, which follows a pod's new address after seconds. Members themselves tell
their addresses at once, in every watch and answer, and those are pods' addresses. So an address
in numbers that was told goes before the template, and a name that was told changes nothing: whoever
told it only knows the template too. Where the directory knows more (the file), it ignores what it
is taught.

Owns that preference, who is watched, and the seeds. Must not dial. Invariant: ``address_of`` goes
by the newest word, also before ``refresh`` has run: an attempt must not take the old way once more.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from becket.adapters.dispatch.news import is_numeric
from becket.adapters.dispatch.ring_follower import RingFollower
from becket.adapters.rpc.ring_view import RingView
from becket.core.ring.config import Disk
from becket.core.ring.ring import Ring
from becket.ports.directory import LearningDirectory

MOST_SEEDS = 16
RESOLVE_S = 1.0
"""A name that is not found in this time is asked for again with the next seeds."""


class Members:
    """The storage members."""

    def __init__(
        self, directory: LearningDirectory, view: RingView, member_addresses: Sequence[str]
    ) -> None:
        self._directory = directory
        self._view = view
        self._member_addresses = tuple(member_addresses)
        self._told: dict[Disk, str] = {}
        self._watched: dict[Disk, str] = {}
        self._resolving: asyncio.Task[list[str]] | None = None

    def address_of(self, disk: Disk) -> str | None:
        """Where the member answers, host:port; None where that is not known."""
        ring = self._view.ring
        if ring is None or disk not in ring.by_disk:
            return None
        name = ring.name_of(disk)
        told = self._view.addresses.get(disk, "")
        if told != self._told.get(disk, ""):
            self._told[disk] = told
            if is_numeric(told):
                self._directory.learn(name, told)
        return self._directory.address_of(name)

    def refresh(self, ring: Ring, follower: RingFollower) -> bool:
        """Watch members where they are now, and only there; True when one of them has moved."""
        found = {member.disk: self.address_of(member.disk) for member in ring.members}
        now = {disk: address for disk, address in found.items() if address}
        for address in set(self._watched.values()).difference(now.values()):
            follower.leave(address)
        for address in now.values():
            follower.follow(address)
        if now == self._watched:
            return False
        self._watched = now
        self._told = {disk: told for disk, told in self._told.items() if disk in now}
        return True

    def seeds(self) -> list[str]:
        """Whom to learn the ring from, whatever is known of it."""
        known = [place.address for place in self._directory.places("storage").values()]
        addresses = (*known, *self._member_addresses)
        # Members tell each other of coordinators, so some of many are enough.
        return [address for address in addresses if address][:MOST_SEEDS]

    async def first_seeds(self) -> list[str]:
        """Beside the seeds all addresses of their names, while no ring is known.

        One name stands for all members, and a channel to it tries one after the other: a first ring
        must not wait for one that hangs.
        """
        seeds = self.seeds()
        if self._view.ring is not None:
            return seeds
        if self._resolving is None:
            self._resolving = asyncio.create_task(_resolve(self._member_addresses))
        await asyncio.wait((self._resolving,), timeout=RESOLVE_S)
        if not self._resolving.done():
            return seeds  # One question at a time: a thread waits for each.
        found, self._resolving = self._resolving.result(), None
        return [*seeds, *(address for address in found if address not in seeds)][:MOST_SEEDS]

    def close(self) -> None:
        """Ask no more."""
        if self._resolving is not None:
            self._resolving.cancel()


async def _resolve(addresses: Sequence[str]) -> list[str]:
    """The numeric addresses that names stand for; those that are not found are left out."""
    loop = asyncio.get_running_loop()
    found: list[str] = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        if is_numeric(address):
            continue
        try:
            infos = await loop.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        except (OSError, ValueError):
            continue
        for info in infos:
            numeric = str(info[4][0])
            found.append(f"[{numeric}]:{port}" if ":" in numeric else f"{numeric}:{port}")
    return list(dict.fromkeys(found))
