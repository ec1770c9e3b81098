"""Envelopes of peers' messages as bytes, and back.

Owns a short way for what nearly all of them hold: an Accept to a member that knows the config, and
the plain OK that answers it. Both are put together and read by hand, as bytes that protobuf would
write too; everything else goes by ``peers``. Must not differ from ``peers`` in what is understood:
whatever here does not look as expected is read there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from becket.adapters.cell_bytes import CELL_BYTES
from becket.adapters.rpc.peers import Partitioned, from_proto, to_proto
from becket.adapters.rpc.rings import (
    epoch_from_proto,
    epoch_to_proto,
    field_bytes,
    repeated_bytes,
    varint,
    version_from_proto,
    version_to_bytes,
)
from becket.api.v1 import replica_pb2 as pb
from becket.api.v1 import types_pb2
from becket.core.errors import InvalidInputError
from becket.core.replication.cells import SealedCell
from becket.core.replication.encoding import MOST_EPOCHS, seal
from becket.core.replication.messages import Accept, Message, Reply, Status
from becket.core.replication.versions import NO_EPOCH, ZERO, Epoch, Version

_PLAIN: Final = Reply(0, 0, NO_EPOCH, 0, Status.OK, ZERO)[6:]
"""All that stands behind the floor of a reply to an Accept."""
_OK: Final = b"\x08\x01"


# To the wire


def to_bytes(message: Partitioned) -> bytes:
    """The message as an entry of an envelope."""
    if isinstance(message, Accept):
        if message.config is None:
            return _accept(message)
    elif isinstance(message, Reply) and message.status is Status.OK and message[6:] == _PLAIN:
        return _acked(message)
    return to_proto(message).SerializeToString()


def envelope(entries: Sequence[bytes]) -> bytes:
    """An ``ExchangeRequest``, ``ExchangeResponse`` or one of their copies, with these entries."""
    return repeated_bytes(b"\x12", entries)


def _accept(message: Accept) -> bytes:
    cell = message.cell
    content = cell.data if isinstance(cell, SealedCell) else CELL_BYTES.encode(cell)
    inner = field_bytes(b"\x0a", version_to_bytes(cell.ver)) + field_bytes(b"\x12", content)
    body = field_bytes(b"\x0a", message.key) + field_bytes(b"\x12", inner)
    if message.repair:
        body += b"\x18" + varint(message.repair)
    return _head(message) + field_bytes(b"\x4a", body)


def _acked(message: Reply) -> bytes:
    floor = message.floor
    body = _OK
    if floor is not ZERO:
        body += field_bytes(b"\x12", version_to_bytes(floor))
    return _head(message) + field_bytes(b"\x9a\x01", body)


def _head(message: Accept | Reply) -> bytes:
    partition, gen, epoch, number = message[:4]
    head = _place(partition, gen, epoch)
    return head + b"\x20" + varint(number) if number else head


@lru_cache(MOST_EPOCHS)
def _place(partition: int, gen: int, epoch: Epoch) -> bytes:
    """What all messages of a reign begin with."""
    entry = pb.PeerMessage(partition=partition, generation=gen, epoch=epoch_to_proto(epoch))
    return entry.SerializeToString()


# From the wire


def messages_of(data: bytes) -> list[Message]:
    """The messages of an envelope as protobuf writes it, in order; raises PeerMessageError."""
    found: list[Message] = []
    at, end = 0, len(data)
    while at < end:
        tag = data[at]
        if tag & 7 != 2 or tag >= 0x80:  # Of a later program: protobuf knows how to pass over it.
            rest = pb.ExchangeRequest.FromString(data[at:])
            return found + [from_proto(entry) for entry in rest.messages]
        size, at = _varint(data, at + 1)
        upto = at + size
        if tag == 0x12:
            message = _read(data, at, upto)
            if message is None:
                message = from_proto(pb.PeerMessage.FromString(data[at:upto]))
            found.append(message)
        at = upto
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at ``at``, and where the next field begins."""
    number = data[at]
    if number < 0x80:
        return number, at + 1
    number &= 0x7F
    shift = 7
    while True:
        at += 1
        part = data[at]
        number |= (part & 0x7F) << shift
        if part < 0x80:
            return number, at + 1
        shift += 7


def _read(data: bytes, at: int, end: int) -> Message | None:
    """An Accept or a plain OK; None where it is something else, or looks in any way unusual."""
    partition = gen = number = 0
    epoch = NO_EPOCH
    while at < end:
        tag = data[at]
        if tag == 0x08:
            partition, at = _varint(data, at + 1)
        elif tag == 0x10:
            gen, at = _varint(data, at + 1)
        elif tag == 0x20:
            number, at = _varint(data, at + 1)
        elif tag == 0x1A:
            size, at = _varint(data, at + 1)
            epoch = _epoch(data[at : at + size])
            at += size
        elif tag == 0x4A:
            size, at = _varint(data, at + 1)
            head = (partition, gen, epoch, number)
            return _read_accept(data, at, end, head) if at + size == end else None
        elif tag == 0x9A and data[at + 1] == 0x01:
            size, at = _varint(data, at + 2)
            head = (partition, gen, epoch, number)
            return _read_acked(data, at, end, head) if at + size == end else None
        else:
            return None
    return None


def _read_accept(
    data: bytes, at: int, end: int, head: tuple[int, int, Epoch, int]
) -> Message | None:
    key_at, key_end = _part(data, at, end, 0x0A)
    cell_at, cell_end = _part(data, key_end, end, 0x12)
    beside_at, beside_end = _part(data, cell_at, cell_end, 0x0A)
    content_at, content_end = _part(data, beside_end, cell_end, 0x12)
    if content_end < 0 or content_end != cell_end:
        return None
    at, repair = cell_end, 0
    if at < end and data[at] == 0x18:
        repair, at = _varint(data, at + 1)
    if at != end:
        return None
    try:
        cell = seal(data[content_at:content_end])
    except InvalidInputError:
        return None
    if version_to_bytes(cell.ver) != data[beside_at:beside_end]:
        return None
    partition, gen, epoch, number = head
    return Accept(partition, gen, epoch, number, None, data[key_at:key_end], cell, repair)


def _part(data: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """From where to where the field at ``at`` reaches; (-1, -1) where it is not this one."""
    if not 0 <= at < end or data[at] != tag:
        return -1, -1
    size, at = _varint(data, at + 1)
    return at, at + size


def _read_acked(
    data: bytes, at: int, end: int, head: tuple[int, int, Epoch, int]
) -> Message | None:
    if data[at : at + 2] != _OK:
        return None
    floor = ZERO
    if at + 2 < end:
        floor_at, floor_end = _part(data, at + 2, end, 0x12)
        if floor_end != end:
            return None
        floor = _version(data[floor_at:floor_end])
    partition, gen, epoch, number = head
    return Reply(partition, gen, epoch, number, Status.OK, floor)


@lru_cache(MOST_EPOCHS)
def _epoch(data: bytes) -> Epoch:
    return epoch_from_proto(types_pb2.Epoch.FromString(data))


@lru_cache(MOST_EPOCHS)
def _version(data: bytes) -> Version:
    return version_from_proto(types_pb2.Version.FromString(data))
