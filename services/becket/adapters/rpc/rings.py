"""Rings, members, configs, epochs and versions as protobuf, and back.

Owns the mapping only. What comes from outside is checked: a ring that does not validate raises
InvalidRingError with its field. An address is learnt from a directory and never part of a ring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from becket.api.v1 import types_pb2
from becket.core.errors import InvalidRingError
from becket.core.replication.encoding import MOST_EPOCHS
from becket.core.replication.versions import ZERO, Epoch, Version
from becket.core.ring.config import Config
from becket.core.ring.members import Member, MemberState
from becket.core.ring.ring import Ring
from becket.core.ring.validation import validate

AddressOf = Callable[[str], str | None]
"""From a member's name to host:port, None where that is not known."""

_STATE_TO_PROTO = {
    MemberState.ACTIVE: types_pb2.MEMBER_STATE_ACTIVE,
    MemberState.DRAINING: types_pb2.MEMBER_STATE_DRAINING,
    MemberState.GONE: types_pb2.MEMBER_STATE_GONE,
}
_STATE_FROM_PROTO = {proto: state for state, proto in _STATE_TO_PROTO.items()}


_SHORT: Final = [bytes((number,)) for number in range(0x80)]


def epoch_to_proto(epoch: Epoch) -> types_pb2.Epoch:
    """An epoch; the one that precedes all others becomes an empty message."""
    return types_pb2.Epoch(counter=epoch[0], disk_id=epoch[1], incarnation=epoch[2])


def epoch_from_proto(message: types_pb2.Epoch) -> Epoch:
    """The epoch; an empty message is the one that precedes all others."""
    return Epoch(message.counter, message.disk_id, message.incarnation)


def version_to_proto(version: Version) -> types_pb2.Version:
    """A version."""
    return types_pb2.Version(epoch=epoch_to_proto(version[0]), sequence=version[1])


def version_from_proto(message: types_pb2.Version) -> Version:
    """The version; an empty message is the one below all others."""
    return Version(epoch_from_proto(message.epoch), message.sequence)


def stamp_to_proto(partition: int, version: Version) -> types_pb2.Stamp:
    """A partition's stamp."""
    data = version_to_bytes(version)
    # Reading bytes costs a tenth of filling in three messages from here.
    return types_pb2.Stamp.FromString(b"\x08" + varint(partition) + field_bytes(b"\x12", data))


def version_to_bytes(version: Version) -> bytes:
    """An entry's version as clients get it: opaque, equal iff the versions are.

    The bytes of ``version_to_proto``, put together by hand: there is one in every answer.
    """
    epoch, sequence = version
    return _epoch_field(epoch) + b"\x10" + varint(sequence) if sequence else _epoch_field(epoch)


@lru_cache(MOST_EPOCHS)
def _epoch_field(epoch: Epoch) -> bytes:
    return version_to_proto(Version(epoch, 0)).SerializeToString(deterministic=True)


def varint(number: int) -> bytes:
    """A number as protobuf writes it: seven bits a byte, the last one without the eighth."""
    if number < 0x80:
        return _SHORT[number]
    if number < 0x4000:
        return (number & 0x7F | 0x80 | number >> 7 << 8).to_bytes(2, "little")
    size, spread = 0, 0
    while number >= 0x80:
        spread |= (number & 0x7F | 0x80) << size
        number >>= 7
        size += 8
    return (spread | number << size).to_bytes(size // 8 + 1, "little")


def field_bytes(tag: bytes, data: bytes) -> bytes:
    """A field of bytes, or of a message as bytes, as protobuf writes it."""
    return tag + varint(len(data)) + data


def repeated_bytes(tag: bytes, items: Iterable[bytes]) -> bytes:
    """A repeated field of messages as bytes."""
    return b"".join([field_bytes(tag, each) for each in items])


def version_from_bytes(data: bytes) -> Version | None:
    """The version that ``version_to_bytes`` wrote; None for anything else."""
    message = types_pb2.Version()
    try:
        message.ParseFromString(data)
    except Exception:  # noqa: BLE001 - protobuf's DecodeError differs between its two runtimes
        return None
    version = version_from_proto(message)
    if version <= ZERO or version_to_bytes(version) != data:
        return None
    return version


def config_to_proto(partition: int, config: Config) -> types_pb2.Config:
    """A partition's replica set."""
    joined = config.joined
    return types_pb2.Config(
        partition=partition,
        generation=config.gen,
        old_disk_ids=config.old,
        new_disk_ids=config.new or (),
        since=[joined[disk] for disk in config.members],
    )


def config_from_proto(message: types_pb2.Config) -> Config:
    """The replica set.

    :raises InvalidRingError: no replica, a repeated one, or a wrong number of ``since``.
    """
    old, new = tuple(message.old_disk_ids), tuple(message.new_disk_ids)
    for field, disks in (("config.old_disk_ids", old), ("config.new_disk_ids", new)):
        if len(set(disks)) != len(disks):
            raise InvalidRingError(field, "a disk is named twice")
    if not old:
        raise InvalidRingError("config.old_disk_ids", "a partition needs at least one replica")
    bare = Config(message.generation, old, new or None, ())
    if len(message.since) != len(bare.members):
        problem = f"has {len(message.since)} entries for {len(bare.members)} members"
        raise InvalidRingError("config.since", problem)
    since = tuple(zip(bare.members, message.since, strict=True))
    return Config(message.generation, old, new or None, since)


def member_to_proto(member: Member, address: str | None = None) -> types_pb2.Member:
    """What the ring says of a member, with its address where that is known."""
    return types_pb2.Member(
        disk_id=member.disk,
        name=member.name,
        address=address or "",
        zone=member.zone,
        node=member.node,
        weight=member.weight,
        state=_STATE_TO_PROTO[member.state],
    )


def member_from_proto(message: types_pb2.Member) -> Member:
    """The member.

    :raises InvalidRingError: an unknown state.
    """
    state = _STATE_FROM_PROTO.get(message.state)
    if state is None:
        raise InvalidRingError("member.state", f"{message.state} is not a state of a member")
    return Member(message.disk_id, message.name, message.zone, message.node, message.weight, state)


def ring_to_proto(ring: Ring, address_of: AddressOf) -> types_pb2.Ring:
    """The ring for callers in any language."""
    return types_pb2.Ring(
        cluster_id=ring.cluster,
        version=ring.version,
        replicas=ring.replicas,
        members=[member_to_proto(m, address_of(m.name)) for m in ring.members],
        partitions=[config_to_proto(p, config) for p, config in enumerate(ring.configs)],
    )


def ring_from_proto(message: types_pb2.Ring) -> Ring:
    """The ring as a caller needs it: without wishes and terms, which only the object has.

    :raises InvalidRingError: it is not a ring that a correct planner makes; ``field`` names why.
    """
    return validate(
        Ring(
            version=message.version,
            cluster=message.cluster_id,
            replicas=message.replicas,
            members=tuple(member_from_proto(m) for m in message.members),
            configs=tuple(config_from_proto(c) for c in message.partitions),
        )
    )


def addresses_of(members: Iterable[types_pb2.Member]) -> dict[str, str]:
    """From disk to address, for members whose address is told."""
    return {member.disk_id: member.address for member in members if member.address}


def coordinator_to_proto(
    partition: int, epoch: Epoch, name: str, address: str | None
) -> types_pb2.Coordinator:
    """Who coordinates a partition."""
    return types_pb2.Coordinator(
        partition=partition, epoch=epoch_to_proto(epoch), name=name, address=address or ""
    )
