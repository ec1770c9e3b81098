"""The state of a cluster in numbers and sentences, for people.

Owns what "whole", "degraded", "stalled", "alive" mean. Must not wish for anything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum

from becket.core.ring.config import Disk
from becket.core.ring.members import Member, MemberState
from becket.core.ring.ring import Ring
from becket.core.supervision.snapshot import Seen, Snapshot


class Liveness(Enum):
    """Whether a member is alive, by those who should hear it."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    """Some observers do not hear it."""
    DEAD = "dead"
    """No observer hears it."""


@dataclass(frozen=True)
class MemberView:
    """One member. ``seen`` is its last report, ``member`` what the ring says or would say."""

    member: Member
    liveness: Liveness
    seen: Seen | None
    partitions: int
    coordinating: int


@dataclass(frozen=True)
class ClusterView:
    """The cluster. The three counts add up to the number of partitions."""

    partitions: int
    whole: int
    degraded: int
    stalled: int
    wished_members: int
    alive_members: int
    sentences: tuple[str, ...]


def liveness_of(disk: Disk, snapshot: Snapshot, ring: Ring | None) -> Liveness:
    """What the observers say; where there are none, whether the supervisor hears it itself."""
    seen = snapshot.by_disk.get(disk)
    is_connected = seen is not None and seen.is_connected
    observers = {} if ring is None else snapshot.observers(ring)
    others = [suspects for observer, suspects in observers.items() if observer != disk]
    against = sum(disk in suspects for suspects in others)
    if others:
        if against == len(others):
            return Liveness.DEAD
        return Liveness.SUSPECT if against else Liveness.ALIVE
    return Liveness.ALIVE if is_connected else Liveness.DEAD


def member_views(snapshot: Snapshot) -> tuple[MemberView, ...]:
    """Every member that the ring names, then those that only report themselves."""
    ring = snapshot.found
    table = {} if ring is None else dict(ring.by_disk)
    for seen in snapshot.connected:
        place = snapshot.names.get(seen.name)
        if seen.disk not in table and place is not None:
            table[seen.disk] = Member(seen.disk, seen.name, place.zone, place.node, place.weight)
    coordinating = Counter(report.epoch.disk for report in snapshot.coordinators.values())
    return tuple(
        MemberView(
            member,
            liveness_of(disk, snapshot, ring),
            snapshot.by_disk.get(disk),
            0 if ring is None else len(ring.partitions_by_disk.get(disk, ())),
            coordinating[disk],
        )
        for disk, member in table.items()
    )


def cluster_view(snapshot: Snapshot) -> ClusterView:
    """The cluster in numbers, with a sentence for each that is not as it should be.

    A partition that changes its replicas is whole while all of them live: what its newcomers lack
    they are being given.
    """
    ring, views = snapshot.found, member_views(snapshot)
    wished = len(snapshot.wished)
    alive = [view for view in views if view.liveness is not Liveness.DEAD]
    if ring is None:
        return ClusterView(0, 0, 0, 0, wished, len(alive), ("there is no ring",))
    wished = ring.member_count.wished or wished
    living = frozenset(
        view.member.disk for view in alive if view.member.state is not MemberState.GONE
    )
    whole = stalled = 0
    for partition, config in enumerate(ring.configs):
        report = snapshot.coordinators.get(partition)
        is_level = report is not None and report.gen == config.gen and not report.lagging
        if not config.quorum(living):
            stalled += 1
        elif living >= config.member_set and is_level:
            whole += 1
    degraded = ring.partitions - whole - stalled
    sentences = []
    if stalled:
        sentences.append(f"{stalled} of {ring.partitions} partitions have no majority")
    if degraded:
        sentences.append(f"{degraded} of {ring.partitions} partitions lack a replica that is level")
    if ring.joint_partitions:
        joint = len(ring.joint_partitions)
        sentences.append(f"{joint} of {ring.partitions} partitions are changing their replicas")
    if wished != len(snapshot.wished) and snapshot.wished:
        there = len(snapshot.wished)
        sentences.append(f"{wished} members are wished for, there are places for {there}")
    return ClusterView(
        ring.partitions, whole, degraded, stalled, wished, len(living), tuple(sentences)
    )
