"""What simpler schemes would have moved for the same change. For teaching: nothing uses them.

Owns ``hash mod n`` and a ring of virtual nodes, the two that textbooks show. Must not be used to
place anything: neither spreads over zones, and their copies are not even.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from becket.core import hashing
from becket.core.placement.result import Placement

VIRTUAL_NODES = 128
"""Points of each member on the ring of virtual nodes, a usual choice."""


@dataclass(frozen=True)
class Comparison:
    """Copies that one change moves, of ``copies`` in all, under three schemes."""

    copies: int
    ours: int
    mod: int
    virtual_nodes: int

    @property
    def sentence(self) -> str:
        """The figures in one sentence."""
        return (
            f"of {self.copies} copies this change moves {_share(self.ours, self.copies)};"
            f" hash mod n would move {_share(self.mod, self.copies)}, a ring with"
            f" {VIRTUAL_NODES} virtual nodes a member {_share(self.virtual_nodes, self.copies)}"
        )


def compare(placement: Placement, before: Sequence[str], after: Sequence[str]) -> Comparison:
    """Set a placement beside the other schemes.

    ``before`` and ``after`` are the names of the members; each must have at least as many as there
    are replicas. Partitions stand for keys, so the figures have the same unit.
    """
    partitions, replicas = len(placement.replicas), len(placement.replicas[0])
    slots = [hashing.slot(f"partition {p}".encode()) for p in range(partitions)]
    return Comparison(
        copies=partitions * replicas,
        ours=len(placement.moves),
        mod=_moved(by_mod(slots, before, replicas), by_mod(slots, after, replicas)),
        virtual_nodes=_moved(
            by_virtual_nodes(slots, before, replicas), by_virtual_nodes(slots, after, replicas)
        ),
    )


def by_mod(slots: Sequence[int], members: Sequence[str], replicas: int) -> list[set[str]]:
    """``hash mod n`` and the members that follow it."""
    count = len(members)
    return [{members[(at % count + r) % count] for r in range(replicas)} for at in slots]


def by_virtual_nodes(slots: Sequence[int], members: Sequence[str], replicas: int) -> list[set[str]]:
    """The first members met on a walk round a ring on which each has many points."""
    points = sorted(
        (hashing.slot(f"{name}#{point}".encode()), name)
        for name in members
        for point in range(VIRTUAL_NODES)
    )
    places = [at for at, _ in points]
    found = []
    for at in slots:
        start = bisect_right(places, at)
        held: dict[str, None] = {}
        # Only different members count: taking the next points blindly wraps onto one member.
        for step in range(len(points)):
            held[points[(start + step) % len(points)][1]] = None
            if len(held) == replicas:
                break
        found.append(set(held))
    return found


def _moved(before: Sequence[set[str]], after: Sequence[set[str]]) -> int:
    return sum(len(new - old) for old, new in zip(before, after, strict=True))


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / whole:.1f} %)"
