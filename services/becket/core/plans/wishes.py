"""Wishes: what somebody wants changed in the ring, to be tested against the ring just read.

Owns the transitions of the config object (PROTOCOL R1, R2). Must not read or write the object, nor
remember anything. Invariant: a wish is a question asked anew of each ring that was read. It either
fits that ring exactly, or it is discarded with a reason (StalePlanError); it is never adapted, and
its result is computed from that ring, never replayed. The version is not raised here: whoever
writes does that once for all wishes of one write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from becket.core.errors import BugError, InvalidRingError, StalePlanError
from becket.core.placement.result import Constraints
from becket.core.ring.config import Config, Disk
from becket.core.ring.members import Member, MemberCount, MemberState
from becket.core.ring.ring import Ring
from becket.core.ring.validation import validate


class Wish(Protocol):
    """One change that somebody wants."""

    def apply(self, ring: Ring | None) -> Ring:
        """The ring after the change, computed from ``ring``, the object just read (None: absent).

        :raises StalePlanError: the wish does not fit this ring; ``field`` says where.
        """
        ...


@dataclass(frozen=True)
class Begin:
    """FINAL(gen) -> JOINT(gen + 1) with the replicas ``new`` (R2)."""

    partition: int
    gen: int
    new: tuple[Disk, ...]

    def apply(self, ring: Ring | None) -> Ring:
        """Begin the change, if the partition is FINAL with exactly this generation."""
        ring, config = _at(ring, self.partition, self.gen)
        for disk in self.new:
            # Who is to be emptied may stay a while longer: one replica moves at a time.
            stays = disk in config.old_set
            if not stays and (disk not in ring.by_disk or not ring.by_disk[disk].may_hold):
                raise StalePlanError("new", f"{ring.name_of(disk)} may hold no copies")
        if config.is_joint:  # R2: a second change waits for FINAL.
            raise StalePlanError(f"configs[{self.partition}]", "a change is under way")
        return ring.with_configs({self.partition: config.begin(self.new)})


@dataclass(frozen=True)
class Certificate:
    """The joint coordinator's word that all of a partition is on the new members (R19).

    ``epoch`` is that of the coordinator, opaque here; ``disk`` is its own.
    """

    partition: int
    gen: int
    epoch: tuple[object, ...]
    disk: Disk

    def apply(self, ring: Ring | None) -> Ring:
        """JOINT(gen) -> FINAL(gen + 1, new), for exactly the generation that was certified."""
        field = f"configs[{self.partition}]"
        ring = _present(ring, field)
        config = _config(ring, self.partition)
        if config.gen != self.gen:  # R1: exactly that gen; what does not fit is never adapted.
            raise StalePlanError(field, f"certified was {self.gen}, it has {config.gen}")
        if not config.is_joint:
            raise StalePlanError(field, "no change is under way")
        return ring.with_configs({self.partition: config.finish()})


@dataclass(frozen=True)
class Abandon:
    """JOINT(gen) -> FINAL(gen + 1, old): allowed to anyone, at any time (R2)."""

    partition: int
    gen: int

    def apply(self, ring: Ring | None) -> Ring:
        """Give the change up, if it is still the one that was seen."""
        ring, config = _at(ring, self.partition, self.gen)
        if not config.is_joint:
            raise StalePlanError(f"configs[{self.partition}]", "no change is under way")
        return ring.with_configs({self.partition: config.abandon()})


@dataclass(frozen=True)
class PutMember:
    """Add a member, or change name, zone, node, weight or state of one."""

    member: Member

    def apply(self, ring: Ring | None) -> Ring:
        """The member as wished; a member that is gone for good does not come back by itself."""
        ring = _present(ring, "members")
        known = ring.by_disk.get(self.member.disk)
        if known == self.member:
            raise StalePlanError("members", f"{self.member.name} is so already")
        others = [member for member in ring.members if member.disk != self.member.disk]
        return _sound(ring.with_members([*others, self.member]), "members")


@dataclass(frozen=True)
class RemoveMember:
    """Forget a member that no partition names any more."""

    disk: Disk

    def apply(self, ring: Ring | None) -> Ring:
        """The ring without the member."""
        ring = _present(ring, "members")
        if self.disk not in ring.by_disk:
            raise StalePlanError("members", f"the ring knows no disk {self.disk}")
        if ring.by_disk[self.disk].state is MemberState.ACTIVE:
            raise StalePlanError("members", f"{ring.name_of(self.disk)} is active; drain it first")
        held = len(ring.partitions_by_disk[self.disk])
        if held:
            problem = f"{ring.name_of(self.disk)} still has a part in {held} partitions"
            raise StalePlanError("members", problem)
        left = [member for member in ring.members if member.disk != self.disk]
        return _sound(ring.with_members(left), "members")


@dataclass(frozen=True)
class SetWishes:
    """Change the replica count, the member count or the leader term; None leaves one as it is."""

    constraints: Constraints | None = None
    member_count: MemberCount | None = None
    leader_term: int | None = None

    def apply(self, ring: Ring | None) -> Ring:
        """The ring with the new values; the leader term only ever rises (it fences writes)."""
        ring = _present(ring, "ring")
        term = ring.leader_term if self.leader_term is None else self.leader_term
        if term < ring.leader_term:
            raise StalePlanError("leader_term", f"{term} is below {ring.leader_term}")
        count = ring.member_count if self.member_count is None else self.member_count
        replicas = ring.replicas if self.constraints is None else self.constraints.replicas
        changed = replace(ring, replicas=replicas, member_count=count, leader_term=term)
        if changed == ring:
            raise StalePlanError("ring", "it is so already")
        return _sound(changed, "ring")


@dataclass(frozen=True)
class Install:
    """Put a whole ring in place: the first one, or one to be restored unchanged (R1).

    ``over`` is the version that the object must have, None where it must be absent.
    """

    ring: Ring
    over: int | None

    def apply(self, ring: Ring | None) -> Ring:
        """The ring to be installed, as it is."""
        found = None if ring is None else ring.version
        if found != self.over:
            raise StalePlanError("version", f"expected {self.over}, the object has {found}")
        if ring is not None and ring.cluster != self.ring.cluster:
            raise StalePlanError("cluster", f"the object belongs to {ring.cluster}")
        return _sound(self.ring, "ring")


@dataclass(frozen=True)
class Discarded:
    """A wish that did not fit, and why."""

    wish: Wish
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What became of several wishes. ``ring`` has the version of the ring that was read."""

    ring: Ring | None
    applied: tuple[Wish, ...]
    discarded: tuple[Discarded, ...]


def apply_wishes(ring: Ring | None, wishes: Iterable[Wish]) -> Outcome:
    """Apply each wish that fits the ring just read, in order; discard the others with a reason.

    A partition makes one transition in a write, but that a certified change may be followed by the
    next one: nobody has seen, let alone certified, what begins in the same write (R1).
    """
    read = ring
    applied: list[Wish] = []
    discarded: list[Discarded] = []
    for wish in wishes:
        try:
            changed = wish.apply(ring)
            _check_follows(read, ring, wish)
        except StalePlanError as error:
            discarded.append(Discarded(wish, str(error)))
        else:
            ring = changed
            applied.append(wish)
    return Outcome(ring, tuple(applied), tuple(discarded))


def _check_follows(read: Ring | None, now: Ring | None, wish: Wish) -> None:
    """Raise StalePlanError where this write has changed the partition of a wish that fits."""
    if now is read or read is None or now is None:
        return
    if not isinstance(wish, Begin | Certificate | Abandon):
        return
    if wish.partition >= read.partitions:
        return  # A ring that was installed in the same write is another one.
    before, after = read.configs[wish.partition], now.configs[wish.partition]
    if after == before:
        return
    is_next = isinstance(wish, Begin) and before.is_joint and after == before.finish()
    if not is_next:
        field = f"configs[{wish.partition}]"
        raise StalePlanError(field, "it changes in the same write: what comes of that is not seen")


def apply_certificates(ring: Ring, certificates: Iterable[Certificate]) -> Outcome:
    """Apply the certificates that fit the object just read, many in one write (R1, R2)."""
    outcome = apply_wishes(ring, certificates)
    if outcome.ring is None:
        raise BugError("plans: certificates made a ring disappear")
    return outcome


def _present(ring: Ring | None, field: str) -> Ring:
    if ring is None:
        raise StalePlanError(field, "there is no ring object")
    return ring


def _config(ring: Ring, partition: int) -> Config:
    if not 0 <= partition < ring.partitions:
        raise StalePlanError("partition", f"{partition} is not in 0..{ring.partitions - 1}")
    return ring.configs[partition]


def _at(ring: Ring | None, partition: int, gen: int) -> tuple[Ring, Config]:
    field = f"configs[{partition}]"
    ring = _present(ring, field)
    config = _config(ring, partition)
    if config.gen != gen:
        raise StalePlanError(f"{field}.gen", f"expected {gen}, it has {config.gen}")
    return ring, config


def _sound(ring: Ring, field: str) -> Ring:
    try:
        return validate(ring)
    except InvalidRingError as error:
        raise StalePlanError(f"{field}.{error.field}", error.problem) from error
