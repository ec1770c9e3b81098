"""What differs between two rings, for people, logs and the CLI.

Owns the comparison and its sentences. Must not plan anything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from becket.core.errors import InvalidRingError
from becket.core.ring.config import Disk
from becket.core.ring.members import Member
from becket.core.ring.ring import Ring


@dataclass(frozen=True)
class ReplicaChange:
    """One partition whose members, once changes under way have ended, are others than before."""

    partition: int
    added: tuple[Disk, ...]
    removed: tuple[Disk, ...]


@dataclass(frozen=True)
class Difference:
    """From ``before`` to ``after``. Counts are of copies, one for each partition and member."""

    before: int
    after: int
    joined: tuple[Member, ...]
    left: tuple[Member, ...]
    changed: tuple[ReplicaChange, ...]
    added: dict[Disk, int]
    removed: dict[Disk, int]
    coordinators: tuple[tuple[int, Disk, Disk], ...]
    """Partitions whose first replica in order moved: (partition, from, to)."""
    began: tuple[int, ...]
    """Partitions with a change under way that had none before."""
    ended: tuple[int, ...]
    """Partitions whose change under way has ended."""
    sentences: tuple[str, ...]

    @property
    def copies(self) -> int:
        """How many copies arrived on a member that did not hold them before."""
        return sum(self.added.values())


def difference(before: Ring, after: Ring) -> Difference:
    """What changed from ``before`` to ``after``, by the members wished for (``Config.target``).

    :raises InvalidRingError: they are rings of two clusters, or of two partition counts.
    """
    if before.cluster != after.cluster:
        problem = f"{after.cluster} cannot be compared with {before.cluster}"
        raise InvalidRingError("cluster", problem)
    if before.partitions != after.partitions:
        problem = f"{after.partitions} cannot be compared with {before.partitions}"
        raise InvalidRingError("partitions", problem)
    changed = _changes(before, after)
    pairs = list(enumerate(zip(before.configs, after.configs, strict=True)))
    joined = tuple(m for m in after.members if m.disk not in before.by_disk)
    left = tuple(m for m in before.members if m.disk not in after.by_disk)
    added = Counter(disk for change in changed for disk in change.added)
    removed = Counter(disk for change in changed for disk in change.removed)
    coordinators = tuple(
        (p, a.target[0], b.target[0]) for p, (a, b) in pairs if a.target[0] != b.target[0]
    )
    found = Difference(
        before=before.version,
        after=after.version,
        joined=joined,
        left=left,
        changed=changed,
        added=dict(added),
        removed=dict(removed),
        coordinators=coordinators,
        began=tuple(p for p, (a, b) in pairs if b.is_joint and not a.is_joint),
        ended=tuple(p for p, (a, b) in pairs if a.is_joint and not b.is_joint),
        sentences=(),
    )
    return _with_sentences(found, before, after)


def _changes(before: Ring, after: Ring) -> tuple[ReplicaChange, ...]:
    changed = []
    for partition, (a, b) in enumerate(zip(before.configs, after.configs, strict=True)):
        if a.new_set != b.new_set:
            added = tuple(disk for disk in b.target if disk not in a.new_set)
            removed = tuple(disk for disk in a.target if disk not in b.new_set)
            changed.append(ReplicaChange(partition, added, removed))
    return tuple(changed)


def _with_sentences(found: Difference, before: Ring, after: Ring) -> Difference:
    lines = [f"{member.name} joined with weight {member.weight}" for member in found.joined]
    lines += [f"{member.name} left" for member in found.left]
    lines += _member_changes(before, after)
    for disk in sorted(found.added | found.removed, key=after.name_of):
        name = after.name_of(disk) if disk in after.by_disk else before.name_of(disk)
        takes, gives = found.added.get(disk, 0), found.removed.get(disk, 0)
        lines.append(f"{name}: {takes} copies arrive, {gives} leave")
    if found.coordinators:
        lines.append(f"{len(found.coordinators)} partitions get another first replica")
    if found.began:
        lines.append(f"{len(found.began)} changes began")
    if found.ended:
        lines.append(f"{len(found.ended)} changes ended")
    if before.replicas != after.replicas:
        lines.append(f"replica count {before.replicas} became {after.replicas}")
    if not lines:
        lines.append("nothing differs in members and replicas")
    return replace(found, sentences=tuple(lines))


def _member_changes(before: Ring, after: Ring) -> list[str]:
    lines = []
    for member in after.members:
        earlier = before.by_disk.get(member.disk)
        if earlier is None:
            continue
        for word in ("state", "weight", "zone", "node"):
            was, now = getattr(earlier, word), getattr(member, word)
            if was != now:
                lines.append(f"{member.name}: {word} {_shown(was)} became {_shown(now)}")
    return lines


def _shown(value: object) -> str:
    name = getattr(value, "name", None)
    return str(name).lower() if name is not None else str(value) or "unknown"
