"""The topology port: the one place where the ring is kept, changed only by compare-and-swap.

Guarantees that every adapter gives, and the contract suite checks: a write takes place as a whole
or not at all, also when its process is killed within it; of several writes that expect the same
object version at most one takes place; an object version names exactly one content for ever, also
when the object is deleted and made again; what a confirmed write wrote is what every later read
finds, until another write. The port judges no ring (PROTOCOL R1 is ``becket.core.plans.writer``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from becket.core.errors import RetryLaterError
from becket.core.ring.ring import Ring

ObjectVersion = str
"""The store's own version of the object. Opaque: it may be compared for equality only."""


class TopologyObject(NamedTuple):
    """The ring object as one read found it. ``encoded`` are its bytes, to the letter."""

    ring: Ring
    encoded: bytes
    object_version: ObjectVersion


class TopologyUnavailableError(RetryLaterError):
    """A read gave no answer, or it is not known whether a write took place, or will yet."""


class Topology(Protocol):
    """Where the ring is kept."""

    async def read(self) -> TopologyObject | None:
        """The object as it is now, never from a cache; None where there is none.

        :raises TopologyUnavailableError: no answer, or none that can be read.
        """

    async def compare_and_swap(self, expected: ObjectVersion | None, ring: Ring) -> bool:
        """Write ``ring`` if the object still has this version; None means: if there is none.

        True: it is written, durably. False: it is not and never will be, the object is another.

        :raises TopologyUnavailableError: neither is known. A cancelled call is such a case too.
        :raises InvalidRingError: the ring is not valid; nothing was written.
        """

    def watch(self) -> AsyncIterator[TopologyObject]:
        """The object now, then after each change; a reader that is slow gets the newest only.

        Says nothing while there is no object or no answer, and ends only when it is closed. What
        it tells may be late: whoever writes reads first.
        """
