"""How many pods may be evicted at once: none, or one.

Owns the decision behind the disruption budget (KUBERNETES.md, "A PodDisruptionBudget counts pods,
not partitions"). Must not write a budget. Invariant, tried out in the tests for every small
cluster: no eviction that the budget lets through takes a partition's majority away.

What the platform makes of the number (policy IfHealthyBudget): with 0 nobody is evicted. With 1 any
pod while all are ready; while exactly one is not ready, only that one; else nobody. Deletes, kills
and lost nodes ask nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from becket.core.ring.config import Disk
from becket.core.ring.members import Member
from becket.core.ring.ring import Ring
from becket.core.supervision.saying import Said, Topic
from becket.core.supervision.snapshot import Snapshot
from becket.core.supervision.status import Liveness, liveness_of
from becket.core.supervision.wholeness import Wholeness

SHOWN = 3
"""So many names in a sentence, at most."""


@dataclass(frozen=True)
class Budget:
    """How many pods may be missing. ``said`` tells why none may, or who may go."""

    count: int
    said: Said | None = None


def budget(
    ring: Ring | None, snapshot: Snapshot, whole: Wholeness | None, *, release_us: int
) -> Budget:
    """What may be evicted now. ``release_us``: a member unready for so long may be let go."""
    if ring is None or whole is None or snapshot.platform is None:
        return _none("there is no ring yet")
    if snapshot.confirmed != ring:
        return _none("the ring object is being changed or restored")
    leaving = [p.name for p in snapshot.platform.pods if p.is_terminating and _holds(ring, p.name)]
    if leaving:
        return _none(f"{_listed(leaving)} is on its way out or being replaced")
    fragile = [p for p in range(ring.partitions) if not whole.survives_any(p)]
    if not fragile:
        return Budget(1)
    released = _released(ring, snapshot, whole, fragile, release_us)
    if released is not None:
        silent = f"{released.name} has been neither ready nor heard for {release_us // 1_000_000} s"
        sentence = f"{silent}: it may be evicted, every partition has its majority without it"
        return Budget(1, Said(Topic.PLATFORM, sentence, released.name, f"released {released.disk}"))
    return _none(_why(ring, whole, fragile))


def _none(reason: str) -> Budget:
    # Numbers and names change while a member comes back; that no pod may go stays the same.
    sentence = f"no pod may be evicted: {reason}"
    return Budget(0, Said(Topic.PLATFORM, sentence, key="no pod may be evicted", is_passing=True))


def _holds(ring: Ring, name: str) -> bool:
    return any(m.name == name and ring.partitions_by_disk[m.disk] for m in ring.members)


def _released(
    ring: Ring, snapshot: Snapshot, whole: Wholeness, fragile: list[int], release_us: int
) -> Member | None:
    """The one member that is unready for good, where nothing depends on it and all else is well."""
    view = snapshot.platform
    if view is None or not view.is_current:
        return None
    unready = [pod for pod in view.pods if not pod.is_ready and _holds(ring, pod.name)]
    if len(unready) != 1 or unready[0].unready_since_us is None:
        return None
    pod = unready[0]
    if snapshot.now_us - unready[0].unready_since_us < release_us:
        return None
    members = [m for m in ring.members if m.name == pod.name and ring.partitions_by_disk[m.disk]]
    if len(members) != 1 or liveness_of(members[0].disk, snapshot, ring) is not Liveness.DEAD:
        return None
    member = members[0]
    return member if _goes_without(ring, whole, fragile, member.disk) else None


def _goes_without(ring: Ring, whole: Wholeness, fragile: list[int], disk: Disk) -> bool:
    for partition in fragile:
        config = ring.configs[partition]
        others = config.member_set - {disk}
        if disk not in config.member_set or not whole.well[partition] >= others:
            return False
        if not whole.survives(partition, disk):
            return False
    return True


def _why(ring: Ring, whole: Wholeness, fragile: list[int]) -> str:
    """Which partitions would be at risk, and by whom."""
    unwell: dict[Disk, int] = {}
    for partition in fragile:
        for disk in ring.configs[partition].member_set - whole.well[partition]:
            unwell[disk] = unwell.get(disk, 0) + 1
    many = f"{len(fragile)} of {ring.partitions} partitions"
    if not unwell:
        return f"{many} have too few replicas to lose any one; drain a member before its node"
    names = _listed(sorted({ring.name_of(disk) for disk in unwell}))
    return f"{many} could lose their majority, as {names} is not alive and level in all of them"


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
