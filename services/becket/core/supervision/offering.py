"""Who is to be told of the ring, and of which replica sets at once.

Owns that choice. Must not send. A change goes to its partition's coordinator by itself, since that
one can spread it without a failed operation (PROTOCOL R3); the ring goes to everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

from becket.core.ring.ring import Ring
from becket.core.supervision.snapshot import Snapshot


@dataclass(frozen=True)
class Offer:
    """For the process of this name: the ring, and these partitions' replica sets."""

    name: str
    partitions: tuple[int, ...]


def offers(ring: Ring, snapshot: Snapshot) -> tuple[Offer, ...]:
    """One for each process that is heard, is of this cluster, and knows an older ring.

    A disk that is in no cluster and in no ring is not told: it may be here by mistake.
    """
    behind: dict[str, list[int]] = {}
    for partition, report in snapshot.coordinators.items():
        if partition < ring.partitions and report.gen < ring.configs[partition].gen:
            behind.setdefault(report.epoch.disk, []).append(partition)
    return tuple(
        Offer(seen.name, tuple(sorted(behind.get(seen.disk, ()))))
        for seen in snapshot.connected
        if seen.ring_version < ring.version
        and (seen.cluster == ring.cluster or (not seen.cluster and seen.disk in ring.by_disk))
    )
