"""The ports kept in memory: for a cluster within one process, and for tests.

Owns nothing that outlives the process. Same guarantees as the adapters over files.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping

from becket.core.ring.encoding import decode, encode
from becket.core.ring.ring import Ring
from becket.ports.directory import Place
from becket.ports.topology import ObjectVersion, TopologyObject


class MemoryTopology:
    """The topology port over one variable. For one event loop."""

    def __init__(self) -> None:
        self._object: TopologyObject | None = None
        self._writes = 0
        self._changed = asyncio.Event()

    async def read(self) -> TopologyObject | None:
        """The object as it is now."""
        return self._object

    async def compare_and_swap(self, expected: ObjectVersion | None, ring: Ring) -> bool:
        """Write the ring if the object still has this version."""
        encoded = encode(ring)
        found = None if self._object is None else self._object.object_version
        if found != expected:
            return False
        self._writes += 1
        self._set(TopologyObject(decode(encoded), encoded, str(self._writes)))
        return True

    async def watch(self) -> AsyncGenerator[TopologyObject, None]:
        """The object now, and after each change."""
        told: ObjectVersion | None = None
        while True:
            changed, found = self._changed, self._object
            if found is not None and found.object_version != told:
                told = found.object_version
                yield found
            else:
                await changed.wait()

    def delete(self) -> None:
        """Remove the object, as a person might do by hand."""
        self._set(None)

    def _set(self, found: TopologyObject | None) -> None:
        self._object = found
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class MemoryDirectory:
    """The directory port over a dict, which may be changed at any time."""

    def __init__(self, places: Iterable[Place] = ()) -> None:
        self.all = {place.name: place for place in places}

    def address_of(self, name: str) -> str | None:
        """The address of this process."""
        place = self.all.get(name)
        return None if place is None or not place.address else place.address

    def places(self, service: str) -> Mapping[str, Place]:
        """The processes of one service, by name."""
        return {name: place for name, place in self.all.items() if place.service == service}

    def learn(self, name: str, address: str) -> None:
        """Nothing: what the dict says is so."""
