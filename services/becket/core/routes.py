"""Where an operation goes: the newest ring and the newest coordinator of each partition.

Owns what routers, clients and members know of both, and which of two reports is newer. Must not
fetch anything. Invariants: a ring is replaced only by one of a higher version of the same cluster,
a coordinator only by one of a higher epoch (R9: an epoch belongs to one process, for ever), so
reports may come late, twice and from anybody.
"""

from __future__ import annotations

from becket.core.errors import InvalidRingError
from becket.core.replication.versions import NO_EPOCH, Epoch
from becket.core.ring.config import Disk
from becket.core.ring.ring import Ring


class RouteTable:
    """What one process knows."""

    def __init__(self) -> None:
        self.ring: Ring | None = None
        self.epochs: dict[int, Epoch] = {}
        """The highest epoch that is known to coordinate each partition."""
        self.serial = 0
        """Goes up with every change."""
        self._ended: dict[int, Epoch] = {}

    @property
    def version(self) -> int:
        """The version of the ring; 0 where none is known."""
        return 0 if self.ring is None else self.ring.version

    def offer_ring(self, ring: Ring) -> bool:
        """Take a ring if it is newer; True when it was taken.

        :raises InvalidRingError: it belongs to another cluster, or has another partition count.
        """
        known = self.ring
        if known is not None:
            if ring.cluster != known.cluster:
                raise InvalidRingError("cluster", f"{ring.cluster} is not {known.cluster}")
            if ring.partitions != known.partitions:
                problem = f"{ring.partitions} partitions, the known ring has {known.partitions}"
                raise InvalidRingError("partitions", problem)
            if ring.version <= known.version:
                return False
        self.ring = ring
        self.serial += 1
        return True

    def offer_coordinator(self, partition: int, epoch: Epoch) -> bool:
        """Take the report that ``epoch`` coordinates, if it is newer; True when it was taken."""
        if epoch <= self.epochs.get(partition, NO_EPOCH):
            return False
        self.epochs[partition] = epoch
        self.serial += 1
        return True

    def note_ended(self, partition: int, epoch: Epoch) -> None:
        """This epoch does not coordinate any more; who follows is not known yet."""
        self._ended[partition] = max(epoch, self._ended.get(partition, NO_EPOCH))

    def coordinator(self, partition: int) -> Disk | None:
        """Who coordinates, as far as is known; None where nobody is known to."""
        epoch = self.epochs.get(partition, NO_EPOCH)
        if epoch <= self._ended.get(partition, NO_EPOCH):
            return None
        return epoch.disk

    def target(self, partition: int) -> Disk | None:
        """Whom to ask: the coordinator, else the first replica in order; None without a ring."""
        known = self.coordinator(partition)
        if known is not None:
            return known
        candidates = self.candidates(partition)
        return candidates[0] if candidates else None

    def candidates(self, partition: int) -> tuple[Disk, ...]:
        """The replicas in the order in which they stand for coordinator; empty without a ring."""
        ring = self.ring
        if ring is None or not 0 <= partition < ring.partitions:
            return ()
        return ring.configs[partition].members
