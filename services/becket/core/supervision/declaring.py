"""A person's word that a disk is gone: what it would mean, and whether it may be taken.

Owns the judgement and the sentences that name the risk (PROTOCOL R1; KUBERNETES.md, "Ring object").
Must not act on it. Invariant: a disk that anybody hears is not gone, whoever says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from becket.core.errors import GiveUpError, NotFoundError
from becket.core.ring.members import Member, MemberState
from becket.core.ring.ring import Ring
from becket.core.supervision.snapshot import Snapshot
from becket.core.supervision.status import Liveness, liveness_of


@dataclass(frozen=True)
class Declaration:
    """Whose disk it is, what follows from its being gone, and whether a ring waits for it.

    ``is_given_up``: the ring says so already.
    """

    member: Member
    sentences: tuple[str, ...]
    is_awaited: bool = False
    is_given_up: bool = False


def declaration(snapshot: Snapshot, name_or_disk: str) -> Declaration:
    """What it would mean that this member's disk is gone.

    :raises NotFoundError: no ring that is known names it.
    :raises GiveUpError: it is heard.
    """
    ring = _highest(snapshot)
    if ring is None:
        raise NotFoundError("no ring is known that could name a disk")
    member = _member(ring, name_or_disk)
    if member.state is MemberState.GONE:
        given_up = f"{member.name} (disk {member.disk}) is given up already"
        return Declaration(member, (given_up,), is_given_up=True)
    if _is_heard(member, snapshot, ring):
        advice = "drain it if it is to leave"
        raise GiveUpError(f"{member.name} is heard, so its disk is not gone; {advice}")
    is_awaited = snapshot.found is None or snapshot.found.version < ring.version
    return Declaration(member, _sentences(ring, snapshot, member, is_awaited), is_awaited)


def _highest(snapshot: Snapshot) -> Ring | None:
    rings = [seen.ring for seen in snapshot.connected if seen.ring is not None]
    rings += [ring for ring in (snapshot.found, snapshot.confirmed) if ring is not None]
    return max(rings, key=lambda ring: ring.version, default=None)


def _member(ring: Ring, name_or_disk: str) -> Member:
    found = [m for m in ring.members if name_or_disk in (m.disk, m.name)]
    if not found:
        raise NotFoundError(f"ring version {ring.version} names no {name_or_disk!r}")
    exact = [m for m in found if m.disk == name_or_disk]
    return min(exact or found, key=lambda m: m.state is MemberState.GONE)


def _is_heard(member: Member, snapshot: Snapshot, ring: Ring) -> bool:
    seen = snapshot.by_disk.get(member.disk)
    if seen is not None and seen.is_connected:
        # One that stopped keeps its connection for a while: then the others decide.
        return liveness_of(member.disk, snapshot, ring) is not Liveness.DEAD
    others = [s for disk, s in snapshot.observers(ring).items() if disk != member.disk]
    return any(member.disk not in suspects for suspects in others)


def _sentences(
    ring: Ring,
    snapshot: Snapshot,
    member: Member,
    is_awaited: bool,
) -> tuple[str, ...]:
    held = ring.partitions_by_disk[member.disk]
    alive = {
        m.disk
        for m in ring.members
        if m.disk != member.disk and liveness_of(m.disk, snapshot, ring) is not Liveness.DEAD
    }
    lost = sum(not ring.configs[partition].quorum(alive) for partition in held)
    name = f"{member.name} (disk {member.disk})"
    found = [f"{name} holds a copy of {len(held)} of {ring.partitions} partitions"]
    if lost:
        found.append(
            f"{lost} of these have no majority without it: if the disk is not gone, do not do"
            " this; if it is, they serve nothing until enough of their other members are back"
        )
    if is_awaited:
        found.append(
            f"the ring object is restored as version {ring.version}, the highest that is known"
            " without it: if this disk alone holds a newer one, writes that were acknowledged"
            " since may be lost"
        )
    else:
        found.append("its copies are made anew on the other members, as far as they have room")
    found.append("should the disk come back after all, what it holds is deleted, not merged")
    return tuple(found)
