"""How a ring object comes to be: the first one, or one to be restored (PROTOCOL R1).

Owns what a snapshot says to ``core.plans.recovery``, and what its decision means as a wish. Must
not judge which ring is right: that is ``recovery``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from becket.core.errors import InvalidInputError
from becket.core.placement.result import Constraints
from becket.core.plans.recovery import (
    Keep,
    MakeFirst,
    Report,
    Restore,
    first_ring,
    recover,
)
from becket.core.plans.wishes import Install
from becket.core.ring.members import Member
from becket.core.ring.ring import Ring
from becket.core.supervision.saying import Said, Topic
from becket.core.supervision.snapshot import Seen, Snapshot


@dataclass(frozen=True)
class NewCluster:
    """What a first ring is made of. ``cluster`` is its id, drawn by the caller."""

    cluster: str
    partitions: int
    constraints: Constraints


@dataclass(frozen=True)
class Beginning:
    """``wish`` may be None; ``is_settled``: the object is there and as new as any ring.

    ``is_first``: the wish is for the first ring of a new cluster, not for one to be restored.
    """

    is_settled: bool
    wish: Install | None = None
    said: tuple[Said, ...] = ()
    is_first: bool = False


SETTLED = Beginning(is_settled=True)


def begin(snapshot: Snapshot, new: NewCluster) -> Beginning:
    """Whether the object can be worked with, or what has to be done or waited for first."""
    found = snapshot.found
    if found is not None and not _is_behind(found, snapshot):
        return SETTLED
    unread = _unread(snapshot)
    if unread:
        sentence = f"the rings that {', '.join(unread)} hold are asked for"
        return Beginning(is_settled=False, said=(Said(Topic.RING, sentence),))
    reports = [
        Report(s.disk, s.name, s.cluster or None, s.ring if s.cluster else None)
        for s in snapshot.connected
    ]
    if snapshot.confirmed is not None:
        # What was confirmed may have reached nobody else yet, and is the highest all the same.
        reports.append(Report("", "supervisor", snapshot.confirmed.cluster, snapshot.confirmed))
    decision = recover(found, reports, [*snapshot.names], snapshot.declared_gone)
    said = (Said(Topic.RING, decision.sentence),)
    if isinstance(decision, Keep):
        return SETTLED
    if isinstance(decision, Restore):
        return Beginning(is_settled=False, wish=Install(decision.ring, decision.over), said=said)
    if isinstance(decision, MakeFirst):
        return _first(snapshot, new, said)
    return Beginning(is_settled=False, said=said)


def _is_behind(found: Ring, snapshot: Snapshot) -> bool:
    confirmed = snapshot.confirmed
    if confirmed is not None and confirmed.version > found.version:
        return True
    return any(holds_newer(seen, found) for seen in snapshot.connected)


def _unread(snapshot: Snapshot) -> list[str]:
    """Members that hold a ring which was not asked for, or not since it changed."""
    return sorted(
        seen.name
        for seen in snapshot.connected
        if holds_newer(seen, snapshot.found)
        and (seen.ring is None or seen.ring.version < seen.ring_version)
    )


def holds_newer(seen: Seen, found: Ring | None) -> bool:
    """Whether a member tells of a ring that the object should not be older than."""
    if found is None:
        return seen.ring_version > 0
    return seen.cluster == found.cluster and seen.ring_version > found.version


def _first(snapshot: Snapshot, new: NewCluster, said: tuple[Said, ...]) -> Beginning:
    disks = {seen.name: seen.disk for seen in snapshot.connected}
    members = [
        Member(disks[place.name], place.name, place.zone, place.node, place.weight)
        for place in snapshot.wished
    ]
    try:
        ring = first_ring(new.cluster, members, new.partitions, new.constraints)
    except InvalidInputError as error:
        said = (Said(Topic.RING, f"no first ring is possible: {error}", is_warning=True),)
        return Beginning(is_settled=False, said=said)
    chart = None if snapshot.platform is None else snapshot.platform.chart_count
    if chart is not None:
        ring = replace(ring, member_count=ring.member_count.seen_in_chart(chart))
    return Beginning(is_settled=False, wish=Install(ring, None), said=said, is_first=True)
