"""Whether a ring is one that a correct planner makes.

Owns the list of what must hold within one ring. Must not repair anything. Everything that decodes,
restores or writes a ring passes here first. What must hold between two rings (PROTOCOL R2) is
``Config.follows``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from becket.core.errors import InvalidInputError, InvalidRingError
from becket.core.hashing import check_partition_count
from becket.core.ring.config import Config, Disk
from becket.core.ring.members import MAX_NAME_BYTES, MAX_WEIGHT, Member, in_order
from becket.core.ring.ring import Ring

MAX_REPLICAS = 15
"""The largest replica count."""

MAX_MEMBERS = 4_096
"""The largest member count."""

MAX_NUMBER = 2**63 - 1
"""The largest version, generation and leader term."""


def validate(ring: Ring, sound: Sequence[Config] = ()) -> Ring:
    """Return ``ring`` unchanged where it is sound.

    ``sound``: configs, by partition, that were found sound among the same disks before.

    :raises InvalidRingError: it is not; ``field`` says where, as in ``configs[17].old``.
    """
    _between("version", ring.version, 1, MAX_NUMBER)
    _between("leader_term", ring.leader_term, 0, MAX_NUMBER)
    _between("member_count.wished", ring.member_count.wished, 0, MAX_MEMBERS)
    _between("member_count.chart", ring.member_count.chart, 0, MAX_MEMBERS)
    _text("cluster", ring.cluster, empty=False)
    try:
        check_partition_count(len(ring.configs))
    except InvalidInputError as error:
        raise InvalidRingError(error.field, error.problem) from None
    _members(ring.members)
    check_replica_count(ring.replicas, len(ring.members))
    known = frozenset(ring.by_disk)
    for partition, config in enumerate(ring.configs):
        if partition < len(sound) and sound[partition] is config:
            continue
        _config(f"configs[{partition}]", config, known)
    return ring


def check_replica_count(replicas: int, members: int) -> None:
    """Refuse a replica count that so many members cannot carry.

    :raises InvalidRingError: it is below 1, above ``MAX_REPLICAS``, or more than the members.
    """
    _between("replicas", replicas, 1, MAX_REPLICAS)
    if replicas > members:
        problem = f"{replicas} copies of a partition need as many members, there are {members}"
        raise InvalidRingError("replicas", problem)


def _members(members: tuple[Member, ...]) -> None:
    _between("members", len(members), 1, MAX_MEMBERS)
    disks: set[Disk] = set()
    for index, member in enumerate(members):
        field = f"members[{index}]"
        _text(f"{field}.disk", member.disk, empty=False)
        _text(f"{field}.name", member.name, empty=False)
        _text(f"{field}.zone", member.zone, empty=True)
        _text(f"{field}.node", member.node, empty=True)
        _between(f"{field}.weight", member.weight, 1, MAX_WEIGHT)
        if member.disk in disks:
            raise InvalidRingError(f"{field}.disk", f"{member.disk} is there twice")
        disks.add(member.disk)
    if members != in_order(members):
        raise InvalidRingError("members", "they are not in order of name")


def _config(field: str, config: Config, known: Collection[Disk]) -> None:
    _between(f"{field}.gen", config.gen, 1, MAX_NUMBER)
    _replicas(f"{field}.old", config.old, known)
    if config.new is not None:
        _replicas(f"{field}.new", config.new, known)
        if config.gen < 2:
            raise InvalidRingError(f"{field}.gen", "a change under way has at least generation 2")
    _since(f"{field}.since", config)


def _replicas(field: str, disks: tuple[Disk, ...], known: Collection[Disk]) -> None:
    _between(field, len(disks), 1, MAX_REPLICAS)
    if len(set(disks)) != len(disks):
        raise InvalidRingError(field, f"two replicas on one member: {', '.join(disks)}")
    for disk in disks:
        if disk not in known:
            raise InvalidRingError(field, f"{disk} is not a member")


def _since(field: str, config: Config) -> None:
    if tuple(disk for disk, _ in config.since) != config.members:
        raise InvalidRingError(field, "it does not name exactly the members, in their order (R2)")
    newcomers = frozenset(config.newcomers)
    for disk, joined in config.since:
        if disk in newcomers:
            if joined != config.gen:
                problem = f"newcomer {disk} has {joined}, not generation {config.gen} (R2)"
                raise InvalidRingError(field, problem)
        elif not 1 <= joined <= config.gen:
            raise InvalidRingError(field, f"{disk} has {joined}, not in 1..{config.gen}")


def _between(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidRingError(field, f"{value} is not in {low}..{high}")


def _text(field: str, value: str, *, empty: bool) -> None:
    if not value and not empty:
        raise InvalidRingError(field, "it is empty")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidRingError(field, "it is not UTF-8 text") from None
    if size > MAX_NAME_BYTES:
        raise InvalidRingError(field, f"{size} bytes are more than {MAX_NAME_BYTES}")
