"""The configuration of one partition: who its replicas are, now and next.

Owns the words of PROTOCOL section 1 (config, gen, old, new, since, joint quorum, newcomer) and
the three transitions of R2. Must not know epochs, cells or messages. Invariant: a generation
names exactly one content, for ever, so every transition raises it by one.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from becket.core.errors import InvalidRingError

Disk = str
"""A replica's identity: the random id made when its data directory was formatted."""


def _is_majority(votes: AbstractSet[Disk], members: frozenset[Disk]) -> bool:
    return 2 * len(members.intersection(votes)) > len(members)


@dataclass(frozen=True)
class Config:
    """The replica set of one partition under one generation.

    ``new is None`` means FINAL: the members are ``old``. Otherwise JOINT: the members are the
    union, and every quorum is a majority of ``old`` and a majority of ``new``. ``since`` gives,
    for each member, the generation at which it joined this time (R4). The order of ``old`` and
    ``new`` is the order in which replicas stand for coordinator.
    """

    gen: int
    old: tuple[Disk, ...]
    new: tuple[Disk, ...] | None
    since: tuple[tuple[Disk, int], ...]

    # What follows from the four. Fields, and no cached properties: compiled, those are worked out
    # anew at each access, and every message asks for some of these.
    is_joint: bool = field(init=False, repr=False, compare=False)
    """Whether a change of this partition is under way."""
    members: tuple[Disk, ...] = field(init=False, repr=False, compare=False)
    """Every member, those of ``old`` first, without repetition."""
    newcomers: tuple[Disk, ...] = field(init=False, repr=False, compare=False)
    """Members of ``new`` that are not in ``old``."""
    target: tuple[Disk, ...] = field(init=False, repr=False, compare=False)
    """The members once the change under way has ended well."""
    joined: dict[Disk, int] = field(init=False, repr=False, compare=False)
    """``since`` as a mapping."""
    old_set: frozenset[Disk] = field(init=False, repr=False, compare=False)
    """``old`` as a set."""
    new_set: frozenset[Disk] = field(init=False, repr=False, compare=False)
    """``new`` as a set; that of ``old`` where the config is FINAL."""
    member_set: frozenset[Disk] = field(init=False, repr=False, compare=False)
    """``members`` as a set."""

    def __post_init__(self) -> None:
        old_set = new_set = member_set = frozenset(self.old)
        newcomers: tuple[Disk, ...] = ()
        if self.new is not None:
            newcomers = tuple(disk for disk in self.new if disk not in old_set)
            new_set = frozenset(self.new)
            member_set = old_set | new_set
        keep = object.__setattr__
        keep(self, "is_joint", self.new is not None)
        keep(self, "members", self.old + newcomers)
        keep(self, "newcomers", newcomers)
        keep(self, "target", self.old if self.new is None else self.new)
        keep(self, "joined", dict(self.since))
        keep(self, "old_set", old_set)
        keep(self, "new_set", new_set)
        keep(self, "member_set", member_set)

    def old_majority(self, votes: AbstractSet[Disk]) -> bool:
        """Whether ``votes`` holds a majority of ``old``."""
        return _is_majority(votes, self.old_set)

    def new_majority(self, votes: AbstractSet[Disk]) -> bool:
        """Whether ``votes`` holds a majority of ``new`` (of ``old`` where FINAL)."""
        return _is_majority(votes, self.new_set)

    def quorum(self, votes: AbstractSet[Disk]) -> bool:
        """Whether ``votes`` is a joint quorum; one vote may count for both majorities."""
        return self.old_majority(votes) and (self.new is None or self.new_majority(votes))

    def covers(self, votes: AbstractSet[Disk]) -> bool:
        """Whether ``votes`` meets every joint quorum: what any of them chose, one vote holds.

        For an odd number of members that is a majority; for an even one, half of them is enough.
        """
        return all(
            2 * len(members.intersection(votes)) >= len(members)
            for members in (self.old_set, self.new_set)
        )

    def begin(self, new: tuple[Disk, ...]) -> Config:
        """FINAL(g, M) -> JOINT(g+1, old=M, new) (R2)."""
        if self.new is not None:
            raise InvalidRingError("config.new", "a second change waits for FINAL (R2)")
        _check_replicas("config.new", new)
        gen = self.gen + 1
        joined = self.joined
        since = [(disk, joined[disk]) for disk in self.old]
        since += [(disk, gen) for disk in new if disk not in joined]
        return Config(gen, self.old, new, tuple(since))

    def finish(self) -> Config:
        """JOINT(g) -> FINAL(g+1, new); only with a certificate for exactly this gen (R2, R19)."""
        if self.new is None:
            raise InvalidRingError("config.new", "no change is under way")
        joined = self.joined
        return Config(self.gen + 1, self.new, None, tuple((d, joined[d]) for d in self.new))

    def abandon(self) -> Config:
        """JOINT(g) -> FINAL(g+1, old); by anyone, at any time, without condition (R2)."""
        if self.new is None:
            raise InvalidRingError("config.new", "no change is under way")
        joined = self.joined
        return Config(self.gen + 1, self.old, None, tuple((d, joined[d]) for d in self.old))

    def follows(self, earlier: Config) -> bool:
        """Whether this is one R2 transition away from ``earlier`` (invariant 6)."""
        if self.gen != earlier.gen + 1:
            return False
        if earlier.new is None:
            return self.new is not None and self == earlier.begin(self.new)
        return self in (earlier.finish(), earlier.abandon())


def first_config(replicas: tuple[Disk, ...]) -> Config:
    """The config that a new cluster starts a partition with: FINAL, generation 1."""
    _check_replicas("config.old", replicas)
    return Config(1, replicas, None, tuple((disk, 1) for disk in replicas))


def _check_replicas(field: str, replicas: tuple[Disk, ...]) -> None:
    if not replicas:
        raise InvalidRingError(field, "a partition needs at least one replica")
    if len(set(replicas)) != len(replicas):
        raise InvalidRingError(field, f"a disk is named twice: {', '.join(replicas)}")
