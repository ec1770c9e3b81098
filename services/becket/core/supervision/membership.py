"""Who belongs to the ring: places that appear, vanish, come back with another disk, or are dead.

Owns the wishes for members. Must not plan moves: once the ring names the members, ``planning`` sees
to the copies. Nothing is wished while the judgement is frozen, but that a disk which is known to be
lost is given up, and that another one takes its name: a member that flaps must not hold that up.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from becket.core.membership.judgement import Judgement
from becket.core.plans.wishes import PutMember, RemoveMember, Wish
from becket.core.ring.config import Disk
from becket.core.ring.members import Member, MemberState
from becket.core.ring.ring import Ring
from becket.core.supervision.counting import can_join
from becket.core.supervision.pods import Claim
from becket.core.supervision.saying import Said, Topic, named
from becket.core.supervision.snapshot import Seen, Snapshot, Wished


@dataclass(frozen=True)
class Changes:
    """What is wished for, and why."""

    wishes: tuple[Wish, ...]
    said: tuple[Said, ...]


def lost_volumes(ring: Ring, snapshot: Snapshot) -> frozenset[Disk]:
    """Disks that nobody hears, and in place of which another one answers, or whose claim is gone.

    A wrong address alone, or one witness alone, must not cost a disk its place: the other members
    have to agree.
    """
    observers = snapshot.observers(ring)
    strangers = {
        seen.name
        for seen in snapshot.connected
        if seen.disk not in ring.by_disk and seen.cluster in ("", ring.cluster)
    }
    unclaimed = _unclaimed(snapshot)
    found = set()
    for member in ring.members:
        if member.state is MemberState.GONE or member.disk in observers:
            continue
        others = [suspects for disk, suspects in observers.items() if disk != member.disk]
        witness = member.name in strangers or (bool(others) and member.name in unclaimed)
        if witness and all(member.disk in suspects for suspects in others):
            found.add(member.disk)
    return frozenset(found)


def _unclaimed(snapshot: Snapshot) -> frozenset[str]:
    """Names whose volume claim is known to be lost or deleted."""
    view = snapshot.platform
    if view is None or not view.is_current:
        return frozenset()
    gone = (Claim.LOST, Claim.ABSENT)
    return frozenset(name for name, claim in view.claims.items() if claim in gone)


@dataclass(frozen=True)
class Newcomers:
    """Names that are new to the ring: whose processes are heard, and whose are not yet."""

    heard: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()


NO_NEWCOMERS = Newcomers()


def newcomers(ring: Ring, snapshot: Snapshot) -> Newcomers:
    """Who comes on top of the members that there are. Joined together, less is moved."""
    known = {member.name for member in ring.members}
    new = frozenset(snapshot.names) - known
    heard = {seen.name for seen in snapshot.connected if _stays(seen, snapshot)}
    return Newcomers(new & heard, new - heard)


def member_changes(
    ring: Ring,
    snapshot: Snapshot,
    judgement: Judgement,
    returned: Collection[str],
    early: Newcomers = NO_NEWCOMERS,
) -> Changes:
    """The members as they should be. ``returned`` are names that had vanished and are back.

    Of ``early`` newcomers, who is heard waits for who is not.
    """
    wishes: list[Wish] = []
    said = [
        Said(Topic.FREEZE, f"ring changes are frozen: {named(reason, ring)}", key=reason)
        for reason in judgement.freezes
    ]
    said += [_waiting(ring, wait) for wait in judgement.waits]
    if not judgement.may_restore:
        return Changes((), tuple(said))
    gone = _gone(ring, snapshot, judgement, said)
    wishes += gone
    taken = _taken_names(ring, gone)
    for seen in snapshot.connected:
        place = snapshot.names.get(seen.name)
        if place is None or not _stays(seen, snapshot):
            continue
        if judgement.is_frozen and seen.name not in _given_up(ring, gone):
            continue
        if seen.name in early.heard and early.missing:
            others = ", ".join(sorted(early.missing)[:3])
            sentence = f"{seen.name} joins together with {others}, as soon as they are there"
            said.append(Said(Topic.MEMBER, sentence, seen.name, f"{seen.name} is early"))
            continue
        if seen.disk not in ring.by_disk and seen.name in taken:
            sentence = f"{seen.name} answers with another disk, the one before is still heard"
            said.append(Said(Topic.MEMBER, sentence, seen.name))
        else:
            wishes += _arrival(ring, place, seen, returned, said)
    if judgement.is_frozen:
        return Changes(tuple(wishes), tuple(said))
    wishes += _departures(ring, snapshot, len(gone), said)
    wishes += _removals(ring, snapshot, said)
    return Changes(tuple(wishes), tuple(said))


def _waiting(ring: Ring, wait: str) -> Said:
    # The time that is left changes with every round, the matter does not.
    return Said(Topic.MEMBER, named(wait, ring), key=wait.partition(" ")[0] + " is dead")


def _gone(
    ring: Ring, snapshot: Snapshot, judgement: Judgement, said: list[Said]
) -> list[PutMember]:
    wishes: list[PutMember] = []
    lost = lost_volumes(ring, snapshot)
    holders = sum(member.may_hold for member in ring.members)
    for replacement in judgement.replacements:
        member = ring.by_disk[replacement.disk]
        if member.state is MemberState.GONE:
            continue
        sentence = named(replacement.sentence, ring)
        left = holders - sum(wish.member.disk in ring.by_disk for wish in wishes)
        if member.disk not in lost and member.may_hold and left <= ring.replicas:
            problem = f"{sentence}, but nobody could take over its copies"
            said.append(Said(Topic.MEMBER, problem, member.name, key=f"{member.disk} no room"))
            continue
        said.append(Said(Topic.MEMBER, f"{sentence}: it is replaced", member.name))
        wishes.append(PutMember(replace(member, state=MemberState.GONE)))
    return wishes


def _taken_names(ring: Ring, gone: list[PutMember]) -> set[str]:
    """Names under which a member is known that is not given up."""
    given_up = {wish.member.disk for wish in gone}
    return {
        member.name
        for member in ring.members
        if member.state is not MemberState.GONE and member.disk not in given_up
    }


def _given_up(ring: Ring, gone: list[PutMember]) -> set[str]:
    """Names of which the disk is given up, so that another one may restore what it held."""
    names = {member.name for member in ring.members if member.state is MemberState.GONE}
    return names | {wish.member.name for wish in gone}


def _stays(seen: Seen, snapshot: Snapshot) -> bool:
    """Whether a process may be given a place: on a platform, its pod must not be about to go."""
    view = snapshot.platform
    return view is None or can_join(seen.name, view)


def _arrival(
    ring: Ring, place: Wished, seen: Seen, returned: Collection[str], said: list[Said]
) -> list[Wish]:
    name = place.name
    known = ring.by_disk.get(seen.disk)
    if seen.cluster not in ("", ring.cluster):
        problem = f"{name} belongs to cluster {seen.cluster}, not {ring.cluster}: it is left alone"
        said.append(Said(Topic.MEMBER, problem, name))
        return []
    if known is None:
        said.append(Said(Topic.MEMBER, f"{name} joins with disk {seen.disk}", name))
        # Another disk under a name takes over what a person has said of that name.
        before = next((member for member in ring.members if member.name == name), None)
        weight = place.weight if before is None else before.weight
        return [PutMember(Member(seen.disk, name, place.zone, place.node, weight))]
    if known.name != name:
        problem = f"at the address of {name} answers {known.name}: it is left alone"
        said.append(Said(Topic.MEMBER, problem, name))
        return []
    if known.state is MemberState.GONE:
        sentence = f"{name} was given up; it joins again when the ring has forgotten its disk"
        said.append(Said(Topic.MEMBER, sentence, name))
        return []
    # Its weight is the ring's own, changed by plans: who lists the places says only the first one.
    wished = replace(known, zone=place.zone, node=place.node)
    if known.state is MemberState.DRAINING and name in returned:
        said.append(Said(Topic.MEMBER, f"{name} is wished for again", name))
        wished = replace(wished, state=MemberState.ACTIVE)
    elif wished != known:
        said.append(Said(Topic.MEMBER, f"{name} has another zone or node", name))
    return [] if wished == known else [PutMember(wished)]


def _departures(ring: Ring, snapshot: Snapshot, gone: int, said: list[Said]) -> list[Wish]:
    """Members whose places have vanished are emptied, as long as the others can hold all."""
    wishes: list[Wish] = []
    if not snapshot.names:
        return []  # A directory that knows nobody says nothing about who should go.
    spare = sum(member.may_hold for member in ring.members) - gone - ring.replicas
    for member in reversed(ring.members):
        if member.name in snapshot.names or not member.may_hold:
            continue
        if spare <= 0:
            problem = f"{member.name} is wished no more, but {ring.replicas} copies need it"
            said.append(Said(Topic.MEMBER, problem, member.name))
            continue
        spare -= 1
        said.append(Said(Topic.MEMBER, f"{member.name} is wished no more: drained", member.name))
        wishes.append(PutMember(replace(member, state=MemberState.DRAINING)))
    return wishes


def _removals(ring: Ring, snapshot: Snapshot, said: list[Said]) -> list[Wish]:
    """Members that hold nothing and are not to come back under this disk are forgotten."""
    wishes: list[Wish] = []
    spare = len(ring.members) - ring.replicas
    for member in ring.members:
        is_over = member.state is MemberState.GONE or (
            member.state is MemberState.DRAINING and member.name not in snapshot.names
        )
        if is_over and not ring.partitions_by_disk[member.disk] and spare > 0:
            spare -= 1
            sentence = f"{member.name} (disk {member.disk}) holds nothing any more: forgotten"
            said.append(Said(Topic.MEMBER, sentence, member.name))
            wishes.append(RemoveMember(member.disk))
    return wishes
