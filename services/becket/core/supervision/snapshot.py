"""What a supervisor sees at one moment: the ring object, who should exist, what members report.

Owns the values, and the readings of them that several decisions share. Must not decide anything.
Invariant: what is concluded rests on a snapshot alone, never on the event that led to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from becket.core.load.weights import Load
from becket.core.plans.throttle import Foreground
from becket.core.plans.wishes import Certificate
from becket.core.replication.versions import Epoch
from becket.core.ring.config import Disk
from becket.core.ring.members import USUAL_WEIGHT
from becket.core.ring.ring import Ring
from becket.core.supervision.pods import PlatformView


@dataclass(frozen=True)
class Wished:
    """A storage process that should exist."""

    name: str
    zone: str = ""
    node: str = ""
    weight: int = USUAL_WEIGHT


@dataclass(frozen=True)
class Coordinated:
    """What a coordinator says of one partition. ``copied`` is of ``bytes``, over all newcomers."""

    partition: int
    gen: int
    epoch: Epoch
    lagging: tuple[Disk, ...] = ()
    bytes: int = 0
    copied: int = 0


@dataclass(frozen=True)
class Seen:
    """One process as it reported last. ``cluster`` is empty for a disk that belongs to none.

    ``ring`` is the one that it holds, where that was asked for; it is not part of a report.
    """

    name: str
    disk: Disk
    incarnation: int = 0
    cluster: str = ""
    ring_version: int = 0
    is_connected: bool = True
    at_us: int = 0
    suspects: frozenset[Disk] = frozenset()
    certificates: tuple[Certificate, ...] = ()
    coordinates: tuple[Coordinated, ...] = ()
    pid: int = 0
    used_bytes: int = 0
    total_bytes: int = 0
    ring: Ring | None = None
    address: str = ""
    """Where it was reached, host:port."""
    load: Load | None = None
    """How busy it is; None where it does not say."""
    damaged_cells: int = 0
    """Cells that were found damaged on its disk since it started; ``mended_cells`` of them were
    written anew from other replicas."""
    mended_cells: int = 0
    unreadable: str = ""
    """Why files of its disk do not read; empty as long as all did."""
    p99_us: int = 0
    """The slowest hundredth of its newest operations took as long, or longer: of the last two
    seconds, and of up to ten where those were few."""
    operations: int = 0
    """How many it answered in the last two seconds."""


@dataclass(frozen=True)
class Snapshot:
    """All of it. ``found`` is the ring object as it was read last, None where there was none.

    ``platform`` is None on one machine, where nothing but the members themselves tells of them.
    """

    now_us: int
    found: Ring | None
    wished: tuple[Wished, ...]
    seen: tuple[Seen, ...]
    confirmed: Ring | None = None
    """The newest ring that this supervisor knows to have been the object."""
    declared_gone: frozenset[Disk] = frozenset()
    platform: PlatformView | None = None
    names: Mapping[str, Wished] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", {place.name: place for place in self.wished})

    @cached_property
    def connected(self) -> tuple[Seen, ...]:
        """Who is heard right now."""
        return tuple(seen for seen in self.seen if seen.is_connected)

    @cached_property
    def by_disk(self) -> dict[Disk, Seen]:
        """The last report of each disk; of two that tell of the same one, the later."""
        found: dict[Disk, Seen] = {}
        for seen in sorted(self.seen, key=lambda seen: (seen.is_connected, seen.at_us)):
            found[seen.disk] = seen
        return found

    @cached_property
    def coordinators(self) -> dict[int, Coordinated]:
        """Of each partition the report of the highest epoch; an epoch names its owner's disk."""
        found: dict[int, Coordinated] = {}
        for seen in self.connected:
            for report in seen.coordinates:
                known = found.get(report.partition)
                if known is None or known.epoch < report.epoch:
                    found[report.partition] = report
        return found

    def strained(self, report_us: int) -> frozenset[Disk]:
        """Members that report here, and whose beats come late all the same: somebody suspects them.

        Who is gone does not report; who only stands still has not done so for ``report_us``.
        """
        suspected = frozenset[Disk]().union(*(seen.suspects for seen in self.connected))
        fresh_us = self.now_us - report_us
        return frozenset(
            s.disk for s in self.connected if s.disk in suspected and s.at_us >= fresh_us
        )

    def foreground(self, least_operations: int) -> Foreground | None:
        """What callers feel; None where members together answered fewer operations than this.

        The mean of the members' figures, by operations: the largest of several is chance as much as
        it is one that suffers, and one that suffers in earnest moves the mean.
        """
        operations = sum(seen.operations for seen in self.connected)
        if operations < least_operations:
            return None
        total_us = sum(seen.p99_us * seen.operations for seen in self.connected)
        return Foreground(total_us // operations, operations)

    def observers(self, ring: Ring) -> dict[Disk, frozenset[Disk]]:
        """Whom each member of the ring that reports now does not hear.

        A process that has stopped keeps its connections open: who is not heard by any of the
        others is no observer.
        """
        found = {s.disk: s.suspects for s in self.connected if s.disk in ring.by_disk}
        silent = {disk for disk in found if _all_suspect(disk, found)}
        return {disk: suspects for disk, suspects in found.items() if disk not in silent}


def _all_suspect(disk: Disk, observers: Mapping[Disk, Iterable[Disk]]) -> bool:
    others = [suspects for observer, suspects in observers.items() if observer != disk]
    return bool(others) and all(disk in suspects for suspects in others)
