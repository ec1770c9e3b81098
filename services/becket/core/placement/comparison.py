"""What simpler schemes would have moved for the same change. For teaching: nothing is placed so.

Owns ``hash mod n`` and a ring of virtual nodes, the two that textbooks show, the table that is ours
beside them, and the tally of what a change moves under each, key by key. Must not be used to place
anything: neither of the two knows zones or weights, and their copies are not even.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from becket.core import hashing

VIRTUAL_NODES = 128
"""Points of each member on the ring of virtual nodes, a usual choice."""

Names = frozenset[str]


class Scheme(Protocol):
    """A way to tell from a slot which members hold it."""

    def held(self, slot: int) -> Names:
        """The members, by name."""
        ...


class ModN:
    """``hash mod n``: that member, and those that follow it."""

    def __init__(self, members: Sequence[str], replicas: int) -> None:
        count = self._count = len(members)
        self._held = [
            frozenset(members[(at + further) % count] for further in range(replicas))
            for at in range(count)
        ]

    def held(self, slot: int) -> Names:
        """The members, by name."""
        return self._held[slot % self._count]


class VirtualNodes:
    """The first members met on a walk round a ring on which each has many points."""

    def __init__(self, members: Sequence[str], replicas: int) -> None:
        points = sorted(
            (hashing.slot(f"{name}#{point}".encode()), name)
            for name in members
            for point in range(VIRTUAL_NODES)
        )
        self._places = [at for at, _ in points]
        owners = [name for _, name in points]
        most = min(replicas, len(members))
        self._held = [_walk(owners, start, most) for start in range(len(owners))]

    def held(self, slot: int) -> Names:
        """The members, by name."""
        return self._held[bisect_right(self._places, slot) % len(self._held)]


def _walk(owners: Sequence[str], start: int, replicas: int) -> Names:
    """Only different members count: taking the next points blindly wraps onto one member."""
    found: set[str] = set()
    at = start
    while len(found) < replicas:
        found.add(owners[at % len(owners)])
        at += 1
    return frozenset(found)


class Table:
    """Ours: each partition has its members; ``replicas`` has one entry a partition."""

    def __init__(self, replicas: Sequence[Collection[str]]) -> None:
        self._held = [frozenset(names) for names in replicas]

    def held(self, slot: int) -> Names:
        """The members, by name."""
        return self._held[hashing.partition_of_slot(slot, len(self._held))]


@dataclass(frozen=True)
class Moved:
    """What a change moves: ``moved`` of ``copies``, which belong to ``touched`` of ``keys``.

    ``fullest`` is the copies of the fullest member after it, over the mean of all.
    """

    keys: int
    copies: int
    moved: int
    touched: int
    fullest: float


class Tally:
    """Counts what the way from one scheme to another moves; ``members`` are those after it."""

    def __init__(self, before: Scheme, after: Scheme, members: int) -> None:
        self._before, self._after = before, after
        self._members = members
        self._pairs: Counter[tuple[Names, Names]] = Counter()

    def note(self, slots: Sequence[int]) -> None:
        """Keys with these slots are there."""
        before, after = map(self._before.held, slots), map(self._after.held, slots)
        self._pairs.update(zip(before, after, strict=True))

    @property
    def moved(self) -> Moved:
        """The sums over the keys that were noted."""
        keys = copies = moved = touched = 0
        there: Counter[str] = Counter()
        for (before, after), count in self._pairs.items():
            come = len(after - before)
            keys += count
            copies += count * len(after)
            moved += count * come
            touched += count * bool(come)
            for name in after:
                there[name] += count
        fullest = max(there.values(), default=0) * self._members / copies if copies else 0.0
        return Moved(keys, copies, moved, touched, fullest)
