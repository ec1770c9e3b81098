"""The ring: the immutable, versioned map from partition to replicas.

Owns the value and its lookups; building it is the planner's, changing it a plan's, and keeping it
the topology's. Must not do I/O nor judge itself (``validation`` does). Invariants: a version of a
cluster names exactly one content, for ever, so whoever writes a ring raises the version by one
(``succeeding``); nothing in a ring is ever changed in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from becket.core.errors import InvalidRingError
from becket.core.hashing import SLOT_BITS, TAG_OPEN, fast_digest, hashed_part
from becket.core.ring.config import Config, Disk
from becket.core.ring.members import NO_COUNT, Member, MemberCount, in_order


@dataclass(frozen=True)
class Ring:
    """Who holds what.

    ``replicas`` is the replica count wished for each partition; ``configs`` has one entry a
    partition; ``members`` is in order of name; ``leader_term`` is the fencing number of the
    supervisor that leads (KUBERNETES.md, "The leader's other writes").
    """

    version: int
    cluster: str
    replicas: int
    members: tuple[Member, ...]
    configs: tuple[Config, ...]
    member_count: MemberCount = NO_COUNT
    leader_term: int = 0
    shift: int = field(init=False, repr=False, compare=False)
    """By how many bits a slot is shifted to give its partition."""
    by_disk: dict[Disk, Member] = field(init=False, repr=False, compare=False)
    """The members by disk."""
    # Worked out when they are asked for. No cached properties: compiled, those remember nothing.
    _held: dict[Disk, tuple[int, ...]] | None = field(init=False, repr=False, compare=False)
    _joint: tuple[int, ...] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        keep = object.__setattr__
        keep(self, "shift", SLOT_BITS + 1 - len(self.configs).bit_length())
        keep(self, "by_disk", {member.disk: member for member in self.members})
        keep(self, "_held", None)
        keep(self, "_joint", None)

    @property
    def partitions(self) -> int:
        """The partition count."""
        return len(self.configs)

    def lookup(self, key: bytes) -> Config:
        """The config of a key's partition: one hash and one table access."""
        if TAG_OPEN in key:
            key = hashed_part(key)
        return self.configs[fast_digest(key)[0] >> self.shift]

    def partition_of(self, key: bytes) -> int:
        """The partition of a key."""
        if TAG_OPEN in key:
            key = hashed_part(key)
        return fast_digest(key)[0] >> self.shift

    def partitions_of(self, keys: Iterable[bytes]) -> list[int]:
        """The partitions of many keys, in their order."""
        digest, shift = fast_digest, self.shift
        return [digest(hashed_part(key) if TAG_OPEN in key else key)[0] >> shift for key in keys]

    def member(self, disk: Disk) -> Member:
        """The member with this disk.

        :raises InvalidRingError: the ring knows no such disk.
        """
        found = self.by_disk.get(disk)
        if found is None:
            raise InvalidRingError("members", f"the ring knows no disk {disk}")
        return found

    def name_of(self, disk: Disk) -> str:
        """The name of a member for a sentence; the disk id where the ring does not know it."""
        found = self.by_disk.get(disk)
        return disk if found is None else found.name

    @property
    def partitions_by_disk(self) -> dict[Disk, tuple[int, ...]]:
        """The partitions that each member has a part in, old or new, in rising order."""
        held = self._held
        if held is None:
            found: dict[Disk, list[int]] = {member.disk: [] for member in self.members}
            for partition, config in enumerate(self.configs):
                for disk in config.members:
                    found.setdefault(disk, []).append(partition)
            held = {disk: tuple(partitions) for disk, partitions in found.items()}
            object.__setattr__(self, "_held", held)
        return held

    @property
    def joint_partitions(self) -> tuple[int, ...]:
        """The partitions whose change is under way."""
        joint = self._joint
        if joint is None:
            joint = tuple(p for p, config in enumerate(self.configs) if config.is_joint)
            object.__setattr__(self, "_joint", joint)
        return joint

    def with_configs(self, changes: Mapping[int, Config]) -> Ring:
        """The same ring, version included, with other configs for some partitions."""
        configs = list(self.configs)
        for partition, config in changes.items():
            configs[partition] = config
        return replace(self, configs=tuple(configs))

    def with_members(self, members: Iterable[Member]) -> Ring:
        """The same ring, version included, with these members, put in order."""
        return replace(self, members=in_order(members))

    def succeeding(self, earlier: Ring) -> Ring:
        """This content under the version that follows ``earlier``: what may be written next."""
        return replace(self, version=earlier.version + 1)
