"""Who is to be told of the ring, and of which replica sets at once.

Owns that choice. Must not send or read clocks. A change goes to its partition's coordinator by
itself, since that one can spread it without a failed operation (PROTOCOL R3); the ring goes to
everybody: at once to whoever holds a partition that changes, or where the members do, and to the
others within ``LATER_US``. They have nothing to do with the change, and what each of them does with
a ring (read it, keep it, tell its watchers) would come in the very moment in which those who have
are busy with it; of several changes in a row they are told once.
"""

from __future__ import annotations

from dataclasses import dataclass

from becket.core.ring.config import Disk
from becket.core.ring.ring import Ring
from becket.core.supervision.snapshot import Snapshot

LATER_US = 500_000
"""So long after a ring others may know of it."""


@dataclass(frozen=True)
class Offer:
    """For the process of this name: the ring, and these partitions' replica sets."""

    name: str
    partitions: tuple[int, ...]


class Offering:
    """Remembers whom the latest changes concerned, and since when each process is behind."""

    def __init__(self) -> None:
        self._ring: Ring | None = None
        self._concerned: dict[Disk, int] = {}
        """The version of the ring that changed something for a disk last."""
        self._all = 0
        """The same for everybody."""
        self._behind_us: dict[str, int] = {}

    def offers(self, ring: Ring, snapshot: Snapshot) -> tuple[Offer, ...]:
        """One for each process that is heard, is of this cluster, and is to be told now.

        A disk that is in no cluster and in no ring is not told: it may be here by mistake.
        """
        self._note(ring)
        behind: dict[str, list[int]] = {}
        for partition, report in snapshot.coordinators.items():
            if partition < ring.partitions and report.gen < ring.configs[partition].gen:
                behind.setdefault(report.epoch.disk, []).append(partition)
        late = {
            seen.name: seen
            for seen in snapshot.connected
            if seen.ring_version < ring.version
            and (seen.cluster == ring.cluster or (not seen.cluster and seen.disk in ring.by_disk))
        }
        now_us = snapshot.now_us
        self._behind_us = {name: self._behind_us.get(name, now_us) for name in late}
        return tuple(
            Offer(name, tuple(sorted(behind.get(seen.disk, ()))))
            for name, seen in late.items()
            if seen.disk in behind
            or seen.ring_version < max(self._all, self._concerned.get(seen.disk, 0))
            or now_us - self._behind_us[name] >= LATER_US
        )

    def _note(self, ring: Ring) -> None:
        known, self._ring = self._ring, ring
        if known is ring:
            return
        if known is None or known.members != ring.members or known.partitions != ring.partitions:
            self._all = ring.version
            self._concerned.clear()
            return
        for was, now in zip(known.configs, ring.configs, strict=True):
            if was is not now and was != now:
                for disk in {*was.members, *now.members}:
                    self._concerned[disk] = ring.version
