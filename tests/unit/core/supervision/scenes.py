"""Snapshots that several tests start from: five members that hear each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from becket.core.replication.versions import Epoch
from becket.core.ring.ring import Ring
from becket.core.supervision.snapshot import Coordinated, Seen, Snapshot, Wished
from tests.unit.core.ring.rings import turning_ring

RING = turning_ring(count=5, partitions=16)


def seen_of(ring: Ring) -> list[Seen]:
    """A report of every member, each of whom coordinates where it stands first."""
    found = []
    for member in ring.members:
        coordinates = tuple(
            Coordinated(partition, config.gen, Epoch(config.gen, member.disk, 1), (), 100)
            for partition, config in enumerate(ring.configs)
            if config.old[0] == member.disk
        )
        found.append(
            Seen(
                member.name,
                member.disk,
                1,
                ring.cluster,
                ring.version,
                at_us=1_000_000,
                coordinates=coordinates,
            )
        )
    return found


def snapshot(ring: Ring | None = RING, **changes: Any) -> Snapshot:  # noqa: ANN401
    """What is seen when all is well, but for the changes."""
    table = () if ring is None else ring.members
    made = Snapshot(
        now_us=1_000_000,
        found=ring,
        wished=tuple(Wished(m.name, m.zone, m.node, m.weight) for m in table),
        seen=() if ring is None else tuple(seen_of(ring)),
        confirmed=ring,
    )
    return replace(made, **changes)


def without(seen: tuple[Seen, ...], *names: str) -> tuple[Seen, ...]:
    """The reports when these processes are silent, and all others say so."""
    disks = {each.disk for each in seen if each.name in names}
    return tuple(
        replace(each, is_connected=False)
        if each.name in names
        else replace(each, suspects=each.suspects | disks)
        for each in seen
    )
