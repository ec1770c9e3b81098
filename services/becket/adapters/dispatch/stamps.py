"""The newest stamp seen of each partition (PROTOCOL R30), learnt from every answer.

Owns the comparison with what is known. Invariant: a partition's stamp never falls. A higher one is
always safe to send, since it belongs to an operation only from the moment that it is sent
(``becket.core.sessions``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from becket.adapters.rpc.rings import stamp_to_proto
from becket.api.v1 import types_pb2
from becket.core.replication.versions import ZERO, Epoch, Version


class Stamps:
    """Stamps by partition; ``learnt`` is told each one that is new."""

    def __init__(self, learnt: Callable[[int, Version], None]) -> None:
        self._versions: dict[int, Version] = {}
        self._learnt = learnt

    def get(self, partition: int) -> Version:
        """The stamp; ZERO where no answer of the partition was seen."""
        return self._versions.get(partition, ZERO)

    def learn(self, stamps: Iterable[types_pb2.Stamp]) -> None:
        """Take the stamps of one answer."""
        versions = self._versions
        for stamp in stamps:
            partition, found = stamp.partition, stamp.version
            epoch, seq = found.epoch, found.sequence
            known = versions.get(partition)
            if known is not None and known[0][0] == epoch.counter:
                if known[1] == seq and known[0][1] == epoch.disk_id:
                    continue
                if known[0][1] == epoch.disk_id and known[0][2] == epoch.incarnation:
                    self.note(partition, Version(known[0], seq))
                    continue
            whole = Epoch(epoch.counter, epoch.disk_id, epoch.incarnation)
            self.note(partition, Version(whole, seq))

    def note(self, partition: int, version: Version) -> None:
        """Take one stamp."""
        if version <= self._versions.get(partition, ZERO):
            return
        self._versions[partition] = version
        self._learnt(partition, version)

    def told(self, partitions: Iterable[int]) -> list[types_pb2.Stamp]:
        """The stamps of these partitions, where known, for the answer to a caller."""
        versions = self._versions
        return [
            stamp_to_proto(partition, versions[partition])
            for partition in partitions
            if partition in versions
        ]
