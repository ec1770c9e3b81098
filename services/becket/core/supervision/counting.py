"""How many members there should be, which ones those are, and how many pods the platform runs.

Owns the count that is in force (KUBERNETES.md, "Member count"), the places that follow from it, and
the scale (KUBERNETES.md, "spec.replicas"). Must not move copies: a smaller count takes places away,
and ``membership`` empties whoever stood there. Invariants: a chart value that was seen before
changes nothing; the scale is never below an ordinal that a ring still names, so a set that deletes
its highest ordinals without asking deletes nobody who holds anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from becket.core.plans.wishes import PutMember, SetWishes, Wish
from becket.core.ring.members import USUAL_WEIGHT, MemberState
from becket.core.ring.ring import Ring
from becket.core.ring.validation import MAX_MEMBERS
from becket.core.supervision.pods import PlatformView
from becket.core.supervision.saying import Said, Topic
from becket.core.supervision.snapshot import Snapshot, Wished


@dataclass(frozen=True)
class CountChanges:
    """What the chart's value means for the count that the ring keeps."""

    wishes: tuple[Wish, ...] = ()
    said: tuple[Said, ...] = ()


@dataclass(frozen=True)
class ScaleWish:
    """How many pods there should be; None: as many as there are. ``said``: why not fewer."""

    count: int | None
    said: tuple[Said, ...] = ()


def count_in_force(ring: Ring | None, view: PlatformView) -> int | None:
    """The member count that holds: the ring's, before there is one the chart's."""
    if ring is not None and ring.member_count.wished:
        return ring.member_count.wished
    return view.chart_count


def wished_places(ring: Ring | None, view: PlatformView) -> tuple[Wished, ...]:
    """Who should exist. Where nobody has said how many, those whom the ring names.

    A place is where its pod runs now; before the pod has been put anywhere, where it was.
    """
    count = count_in_force(ring, view)
    if count is not None:
        names = [view.name_of(ordinal) for ordinal in range(min(count, MAX_MEMBERS))]
    else:
        names = [] if ring is None else list(dict.fromkeys(m.name for m in ring.members))
    return tuple(_place(name, ring, view) for name in names)


def _place(name: str, ring: Ring | None, view: PlatformView) -> Wished:
    pod = view.pod(name)
    members = () if ring is None else ring.members
    known = next((m for m in members if m.name == name and m.may_hold), None)
    weight = USUAL_WEIGHT if known is None else known.weight
    if pod is not None and pod.zone is not None:
        return Wished(name, pod.zone, pod.node, weight)
    # What cannot be read just now moves nobody to another zone.
    return Wished(name) if known is None else Wished(name, known.zone, known.node, weight)


def can_join(name: str, view: PlatformView) -> bool:
    """Whether the process of this name is one that stays: not of a pod that is about to go."""
    pod, ordinal = view.pod(name), view.ordinal_of(name)
    if pod is None or pod.is_terminating or pod.zone is None or ordinal is None:
        return False
    return all(scale is None or ordinal < scale for scale in (view.scale, view.sinking))


def count_changes(ring: Ring, view: PlatformView) -> CountChanges:
    """A chart value that has changed replaces the count, unless the ring cannot be so small."""
    chart = view.chart_count
    if chart is None or ring.member_count.seen_in_chart(chart) == ring.member_count:
        return CountChanges()
    if not ring.replicas <= chart <= MAX_MEMBERS:
        now = ring.member_count.wished or len(ring.members)
        limits = f"{ring.replicas} copies need {ring.replicas} to {MAX_MEMBERS}"
        sentence = f"the chart asks for {chart} members, {limits}: it stays at {now}"
        return CountChanges(said=(Said(Topic.PLATFORM, sentence, is_warning=True),))
    wished = ring.member_count.seen_in_chart(chart)
    before = ring.member_count.wished
    was = f", {before} were before" if before else ""
    said = Said(Topic.PLATFORM, f"the chart asks for {chart} members{was}")
    wishes: list[Wish] = [SetWishes(member_count=wished)]
    return CountChanges((*wishes, *taken_back(ring, view, chart)), (said,))


def taken_back(ring: Ring, view: PlatformView, count: int) -> tuple[Wish, ...]:
    """A larger count ends the drains that the smaller one before had begun.

    It belongs into the write of the count: the next leader could not tell whose drain it was.
    """
    before = count_in_force(ring, view) or 0
    found = []
    for member in ring.members:
        ordinal = view.ordinal_of(member.name)
        if ordinal is None or member.state is not MemberState.DRAINING:
            continue
        if before <= ordinal < count:
            found.append(PutMember(replace(member, state=MemberState.ACTIVE)))
    return tuple(found)


def scale_wish(snapshot: Snapshot, view: PlatformView) -> ScaleWish:
    """How many pods there should be: more at once, fewer when the confirmed ring has let go."""
    if view.scale is None:
        return ScaleWish(None)
    ring = snapshot.found
    count = count_in_force(ring, view)
    known = [each for each in (ring, snapshot.confirmed) if each is not None]
    # Members of a ring that is yet to be restored have to answer first, so they have to run.
    known += [seen.ring for seen in snapshot.connected if seen.ring is not None and ring is None]
    needed = _needed(known, view)
    target = max(needed, count or 0)
    if count is None or (target < view.scale and (ring is None or snapshot.confirmed != ring)):
        target = max(target, view.scale)
    said = _waits(ring, view, count) if ring is not None and count is not None else ()
    return ScaleWish(None if target == view.scale or not target else target, said)


def _needed(rings: Iterable[Ring], view: PlatformView) -> int:
    """One more than the highest ordinal that a ring names."""
    ordinals = [view.ordinal_of(member.name) for ring in rings for member in ring.members]
    return max((ordinal + 1 for ordinal in ordinals if ordinal is not None), default=0)


def _waits(ring: Ring, view: PlatformView, count: int) -> tuple[Said, ...]:
    """Why there are more pods than wished."""
    found = []
    for member in reversed(ring.members):
        ordinal = view.ordinal_of(member.name)
        if ordinal is None or ordinal < count:
            continue
        held = len(ring.partitions_by_disk[member.disk])
        left = f"it still has a part in {held} partitions" if held else "the ring still names it"
        found.append(
            Said(
                Topic.PLATFORM,
                f"the scale to {count} pods waits for {member.name}: {left}",
                member.name,
                key=f"scale to {count} waits for {member.name}",
            )
        )
    return tuple(found)
