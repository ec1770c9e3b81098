"""What if the members were others: the members that a person asks about, checked.

Owns the checks of such a question, each with the reason and what to do, and the members that do not
exist yet. Must not plan: that is ``planning``. Invariant: whatever is refused changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from becket.core.errors import GiveUpError, InvalidInputError, NotFoundError
from becket.core.ring.members import MAX_NAME_BYTES, MAX_WEIGHT, Member, MemberState
from becket.core.ring.ring import Ring
from becket.core.ring.validation import MAX_MEMBERS

NEW = "(new) "
"""Before the name of a member that does not exist yet, in place of a disk."""


@dataclass(frozen=True)
class Question:
    """What if: so many members (0: as many as there are), these gone, others changed."""

    member_count: int = 0
    leaving: Sequence[str] = ()
    weights: Mapping[str, int] = field(default_factory=dict)
    zones: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WhatIf:
    """The members as the question would have them, and what it takes to get there.

    ``changed`` are members of the ring that become others; ``joining`` names those that do not
    exist yet; ``reason`` says it in a few words.
    """

    members: tuple[Member, ...]
    changed: tuple[Member, ...]
    member_count: int
    joining: tuple[str, ...]
    reason: str
    only_shown: str = ""


def what_if(ring: Ring, asked: Question) -> WhatIf:
    """The members as the question would have them.

    :raises NotFoundError: a member that the ring does not know.
    :raises InvalidInputError: a number out of its limits; ``field`` names it.
    :raises GiveUpError: too few would be left, or a member has been given up.
    """
    gone = [living_member(ring, name) for name in dict.fromkeys(asked.leaving)]
    joining: list[Member] = []
    if asked.member_count:
        if not ring.replicas <= asked.member_count <= MAX_MEMBERS:
            problem = (
                f"must be 0, or in {ring.replicas}..{MAX_MEMBERS}:"
                f" each partition has {ring.replicas} replicas, on as many members"
            )
            raise InvalidInputError("member_count", problem)
        # Who is emptied keeps its place; those with the highest numbers lose theirs.
        placed = [member for member in ring.members if member.state is not MemberState.GONE]
        gone += [member for member in placed[asked.member_count :] if member not in gone]
        joining = new_members(ring, asked.member_count - len(placed))
    check_room(ring, gone, joining)
    changes = _changed(ring, asked)
    members = tuple(
        replace(changes.get(member.name, member), state=MemberState.DRAINING)
        if member in gone
        else changes.get(member.name, member)
        if member.state is not MemberState.GONE
        else member
        for member in ring.members
    )
    changed = tuple(new for new, old in zip(members, ring.members, strict=True) if new != old)
    # Where a member is follows from where it runs: the ring learns it, and is not told.
    shown = "a zone is set where the member runs; once it is there, the plan is made by itself"
    return WhatIf(
        members=(*members, *joining),
        changed=changed,
        member_count=asked.member_count,
        joining=tuple(member.name for member in joining),
        reason=_reason(asked, gone, joining),
        only_shown=shown if asked.zones else "",
    )


def known_member(ring: Ring, name: str) -> Member:
    """The member of this name; of several the one that is not given up.

    :raises NotFoundError: there is none.
    """
    found = [member for member in ring.members if member.name == name]
    if not found:
        names = ", ".join(member.name for member in ring.members[:8])
        more = ", ..." if len(ring.members) > 8 else ""
        raise NotFoundError(f"there is no member {name!r}; the ring has {names}{more}")
    return min(found, key=lambda member: member.state is MemberState.GONE)


def check_room(ring: Ring, leaving: Sequence[Member], joining: Sequence[Member] = ()) -> None:
    """Raise GiveUpError where too few members would be left to hold the replicas."""
    left = [*joining, *(m for m in ring.members if m.may_hold and m not in leaving)]
    if len(left) < ring.replicas:
        names = ", ".join(member.name for member in leaving) or "nobody"
        problem = f"{len(left)} members would be left for {ring.replicas} copies"
        advice = f"add members first (becket scale {ring.replicas + len(leaving)})"
        raise GiveUpError(f"{names} cannot leave: {problem}; {advice}")


def new_members(ring: Ring, count: int) -> list[Member]:
    """Members that do not exist yet, under the names that would come next.

    Each is put into the zone with the fewest members, as whoever starts them deals them out.
    """
    names = {member.name for member in ring.members}
    stem = next(iter(names)).rstrip("0123456789")
    there = Counter(m.zone for m in ring.members if m.state is not MemberState.GONE)
    found: list[Member] = []
    ordinal = 0
    while len(found) < count:
        name = f"{stem}{ordinal}"
        if name not in names:
            zone = min(sorted(there), key=lambda each: there[each], default="")
            there[zone] += 1
            found.append(Member(f"{NEW}{name}", name, zone))
        ordinal += 1
    return found


def living_member(ring: Ring, name: str) -> Member:
    """The member of this name that has not been given up.

    :raises NotFoundError: there is none of this name.
    :raises GiveUpError: it has been given up.
    """
    member = known_member(ring, name)
    if member.state is MemberState.GONE:
        raise GiveUpError(f"{name} is given up already: its copies are made anew")
    return member


def _changed(ring: Ring, asked: Question) -> dict[str, Member]:
    found: dict[str, Member] = {}
    for name, weight in asked.weights.items():
        if not 1 <= weight <= MAX_WEIGHT:
            problem = f"{weight} is not in 1..{MAX_WEIGHT}; to take every copy off it, drain it"
            raise InvalidInputError(f"weights[{name}]", problem)
        found[name] = replace(living_member(ring, name), weight=weight)
    for name, zone in asked.zones.items():
        if len(zone.encode()) > MAX_NAME_BYTES:
            problem = f"must be a text of up to {MAX_NAME_BYTES} bytes"
            raise InvalidInputError(f"zones[{name}]", problem)
        found[name] = replace(found.get(name) or living_member(ring, name), zone=zone)
    return found


def _reason(asked: Question, gone: Sequence[Member], joining: Sequence[Member]) -> str:
    parts = []
    if joining:
        parts.append(f"{', '.join(member.name for member in joining)} would join")
    if gone:
        parts.append(f"{', '.join(member.name for member in gone)} would leave")
    parts += [f"{name} would weigh {weight}" for name, weight in asked.weights.items()]
    parts += [f"{name} would be in zone {zone or '(none)'}" for name, zone in asked.zones.items()]
    return "; ".join(parts) or "as asked: the members as they are"
