"""Which replicas of each partition are well: alive for everybody, and level.

Owns that reading of a snapshot, for those who must be sure: a budget that lets a pod go, a gate
that lets a rollout go on. Must not decide anything. Invariant: whoever is doubtful does not count.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property

from becket.core.ring.config import Config, Disk
from becket.core.ring.members import MemberState
from becket.core.ring.ring import Ring
from becket.core.supervision.snapshot import Snapshot
from becket.core.supervision.status import Liveness, liveness_of

NOBODY: frozenset[Disk] = frozenset()


@dataclass(frozen=True)
class Wholeness:
    """The ring, and of each partition the replicas that are well."""

    ring: Ring
    well: tuple[frozenset[Disk], ...]

    def is_whole(self, partition: int) -> bool:
        """Whether every replica is well, and there are as many as wished for."""
        config = self.ring.configs[partition]
        return self.well[partition] >= config.member_set and len(config.target) >= self._wished

    def survives_any(self, partition: int) -> bool:
        """Whether the majority stays whichever one replica stops next."""
        return survives_any(self.ring.configs[partition], self.well[partition])

    def survives(self, partition: int, without: Disk) -> bool:
        """Whether there is a majority without this member."""
        return self.ring.configs[partition].quorum(self.well[partition] - {without})

    def needs(self, partition: int, disk: Disk) -> bool:
        """Whether something would be missing without this disk, one of its replicas.

        Not where all others are well, are a majority, and no copy is being made.
        """
        config = self.ring.configs[partition]
        others = config.member_set - {disk}
        is_kept = others <= self.well[partition] and config.quorum(others)
        return config.is_joint or not is_kept

    @cached_property
    def _wished(self) -> int:
        return min(self.ring.replicas, sum(m.may_hold for m in self.ring.members))


def survives_any(config: Config, well: AbstractSet[Disk]) -> bool:
    """Whether these replicas are a joint quorum, and are one still without any one of them."""
    return config.quorum(well) and all(config.quorum(well - {disk}) for disk in config.member_set)


def wholeness(ring: Ring, snapshot: Snapshot) -> Wholeness:
    """Who is well now. A partition whose coordinator does not report has nobody that is level.

    So a hand-over that is running, and a take-over, count as partitions that may not lose anyone.
    """
    alive = {
        member.disk
        for member in ring.members
        if member.state is not MemberState.GONE
        and liveness_of(member.disk, snapshot, ring) is Liveness.ALIVE
    }
    found = []
    for partition, config in enumerate(ring.configs):
        report = snapshot.coordinators.get(partition)
        is_led = report is not None and report.gen == config.gen and report.epoch.disk in alive
        if report is None or not is_led:
            found.append(NOBODY)
        else:
            found.append(config.member_set & alive - set(report.lagging))
    return Wholeness(ring, tuple(found))
