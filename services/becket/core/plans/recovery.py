"""Which ring to begin with: make the first, restore the highest, or wait (PROTOCOL R1).

Owns the decision when the ring object is absent, or older than a ring that a member holds. Must not
write anything, nor repair a ring: what is restored is restored to the letter. When in doubt it
waits, and says for whom: a wrong first ring would make every volume worthless.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from becket.core.placement.planner import place_first
from becket.core.placement.result import Constraints
from becket.core.ring.config import Disk, first_config
from becket.core.ring.members import Member, MemberState, in_order
from becket.core.ring.ring import Ring
from becket.core.ring.validation import validate


@dataclass(frozen=True)
class Report:
    """What one member's volume says. ``cluster`` is None on a volume that was never in one."""

    disk: Disk
    name: str
    cluster: str | None
    ring: Ring | None


@dataclass(frozen=True)
class Keep:
    """The object is as new as any ring that was reported: go on."""

    sentence: str


@dataclass(frozen=True)
class MakeFirst:
    """No volume has ever been in a cluster: make the first ring of these disks."""

    disks: tuple[Disk, ...]
    sentence: str


@dataclass(frozen=True)
class Restore:
    """Write exactly this ring. ``over`` is the version of the object, None where it is absent."""

    ring: Ring
    over: int | None
    sentence: str


@dataclass(frozen=True)
class Wait:
    """Change nothing. ``missing`` are the disks, or names, that have to answer first."""

    missing: tuple[str, ...]
    sentence: str


Decision = Keep | MakeFirst | Restore | Wait


def recover(
    found: Ring | None,
    reports: Sequence[Report],
    wished: Collection[str],
    declared_gone: Collection[Disk] = (),
) -> Decision:
    """Decide from the object as read, and what the members that answered report.

    ``wished`` are the names of the members that the cluster is to have; ``declared_gone`` the disks
    that a person has named as gone.
    """
    if found is None:
        clusters = {r.cluster for r in reports if r.cluster is not None}
        if len(clusters) > 1:
            names = ", ".join(sorted(clusters))
            return Wait((), f"volumes of several clusters answer ({names}): a person must decide")
        if not any(report.ring for report in reports):
            return _first(reports, wished)
        cluster = next(report.ring.cluster for report in reports if report.ring)
    else:
        cluster = found.cluster
    rings = [r.ring for r in reports if r.ring is not None and r.ring.cluster == cluster]
    highest = max([*rings, *([found] if found else [])], key=lambda ring: ring.version)
    if any(ring.version == highest.version and ring != highest for ring in rings):
        problem = f"two rings of version {highest.version} differ: a person must decide"
        return Wait((), problem)
    if found is not None and found.version == highest.version:
        return Keep(f"the ring object has version {found.version}, nothing newer is known")
    return _restore(found, highest, {report.disk for report in reports}, declared_gone)


def _first(reports: Sequence[Report], wished: Collection[str]) -> Decision:
    marked = sorted(report.name for report in reports if report.cluster is not None)
    if marked:
        problem = f"{', '.join(marked)} belonged to a cluster but brought no ring: not a new one"
        return Wait((), problem)
    answered = {report.name: report.disk for report in reports}
    missing = tuple(sorted(set(wished) - answered.keys()))
    if missing or not wished:
        whom = ", ".join(missing) or "word of how many members there are"
        return Wait(missing, f"the first ring waits for {whom}")
    disks = tuple(answered[name] for name in sorted(wished))
    return MakeFirst(disks, f"all {len(disks)} volumes are new: the first ring is made")


def _restore(
    found: Ring | None, highest: Ring, answered: set[Disk], declared_gone: Collection[Disk]
) -> Decision:
    what = "absent" if found is None else f"at version {found.version}"
    head = f"the ring object is {what}, a member holds version {highest.version}"
    missing = [
        member
        for member in highest.members
        if member.state is not MemberState.GONE
        and member.disk not in answered
        and member.disk not in declared_gone
    ]
    if missing:
        names = ", ".join(f"{member.name} ({member.disk})" for member in missing)
        return Wait(
            tuple(member.disk for member in missing),
            f"{head}; it is restored when every member of it has answered, missing: {names}",
        )
    over = None if found is None else found.version
    return Restore(highest, over, f"{head}: exactly that is restored")


def first_ring(
    cluster: str, members: Iterable[Member], partitions: int, constraints: Constraints
) -> Ring:
    """The ring of a new cluster: version 1, every partition FINAL at generation 1.

    :raises InvalidInputError: impossible counts; ``field`` is ``partitions`` or ``replicas``, or
        what ``validate`` names.
    """
    table = in_order(members)
    placement = place_first(partitions, table, constraints)
    configs = tuple(first_config(disks) for disks in placement.replicas)
    return validate(Ring(1, cluster, constraints.replicas, table, configs))
