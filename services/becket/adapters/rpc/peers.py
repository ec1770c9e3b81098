"""What members say to each other, as protobuf and back.

Owns the mapping between the core's messages and ``PeerMessage``, one to one. A cell crosses as the
engine's bytes, with its version beside them. Must not judge a message: the core does, partition by
partition. A message that cannot be read raises PeerMessageError, and its stream ends: what it
carried counts as lost, which is always safe (PROTOCOL R10).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from becket.adapters.cell_bytes import CELL_BYTES
from becket.adapters.rpc.rings import (
    config_from_proto,
    config_to_proto,
    epoch_from_proto,
    epoch_to_proto,
    version_from_proto,
)
from becket.api.v1 import replica_pb2 as pb
from becket.api.v1 import types_pb2
from becket.core.errors import BecketError, InvalidInputError
from becket.core.replication.cells import AnyCell, Cell, SealedCell
from becket.core.replication.encoding import MOST_EPOCHS, seal
from becket.core.replication.messages import (
    Accept,
    Check,
    Claim,
    ClaimReply,
    Compare,
    CopyIn,
    CopyKeys,
    Drop,
    HandOver,
    ListKeys,
    Message,
    Prepare,
    ReadKey,
    Release,
    Reply,
    SetFloor,
    Status,
    WouldPromise,
    WouldReply,
)
from becket.core.replication.versions import ZERO, Epoch, Version


class PeerMessageError(BecketError):
    """A peer sent something that this program cannot read; the message says what."""


Partitioned = (
    WouldPromise
    | WouldReply
    | Prepare
    | Accept
    | CopyIn
    | CopyKeys
    | ReadKey
    | Check
    | ListKeys
    | Compare
    | SetFloor
    | Drop
    | Release
    | HandOver
    | Reply
)
"""Everything but claims, which speak of all partitions at once and travel with the beats."""

BULK = (CopyIn, CopyKeys, ListKeys, Compare, SetFloor, Drop)
"""Requests that travel on the stream for copies, so that none delays a write."""


def _set_epoch(target: types_pb2.Epoch, epoch: Epoch) -> None:
    target.counter, target.disk_id, target.incarnation = epoch


def _set_version(target: types_pb2.Version, version: Version) -> None:
    target.epoch.CopyFrom(_epoch(version[0]))
    target.sequence = version[1]


@lru_cache(MOST_EPOCHS)
def _epoch(epoch: Epoch) -> types_pb2.Epoch:
    """The epoch as protobuf, shared: it must be copied and not changed."""
    return epoch_to_proto(epoch)


def _set_cell(target: pb.Cell, cell: AnyCell) -> None:
    _set_version(target.version, cell.ver)
    target.content = cell.data if isinstance(cell, SealedCell) else CELL_BYTES.encode(cell)


def _cell(message: pb.Cell) -> Cell:
    cell = CELL_BYTES.decode(message.content)
    _check_version(message.version, cell.ver)
    return cell


def _sealed(message: pb.Cell) -> SealedCell:
    cell = seal(message.content)
    _check_version(message.version, cell.ver)
    return cell


def _check_version(beside: types_pb2.Version, version: Version) -> None:
    (counter, disk, incarnation), seq = version
    epoch = beside.epoch
    if (
        seq != beside.sequence
        or counter != epoch.counter
        or disk != epoch.disk_id
        or incarnation != epoch.incarnation
    ):
        raise PeerMessageError("a cell's version is not the one beside it")


# To the wire


def to_proto(message: Partitioned) -> pb.PeerMessage:
    """The message as an entry of an envelope."""
    epoch = _epoch(message.epoch)
    if isinstance(message, Release):
        out = pb.PeerMessage(partition=message.partition, epoch=epoch)
    else:
        number = 0 if isinstance(message, HandOver) else message.id
        out = pb.PeerMessage(
            partition=message.partition, generation=message.gen, epoch=epoch, id=number
        )
    config = getattr(message, "config", None)
    if config is not None:
        out.config.CopyFrom(config_to_proto(message.partition, config))
    _FILL[type(message)](out, message)
    return out


def _fill_would_reply(out: pb.PeerMessage, message: WouldReply) -> None:
    body = out.would_promise_reply
    body.yes, body.wait_us = message.yes, max(0, message.wait_us)
    _set_epoch(body.promised, message.promised)


def _fill_prepare(out: pb.PeerMessage, message: Prepare) -> None:
    out.prepare.SetInParent()
    if message.released is not None:
        _set_epoch(out.prepare.released, message.released)


def _fill_accept(out: pb.PeerMessage, message: Accept) -> None:
    out.accept.key, out.accept.repair = message.key, message.repair
    _set_cell(out.accept.cell, message.cell)


def _fill_copy_in(out: pb.PeerMessage, message: CopyIn) -> None:
    out.copy_in.key = message.key
    _set_cell(out.copy_in.cell, message.cell)


def _fill_copy_keys(out: pb.PeerMessage, message: CopyKeys) -> None:
    for key, cell in message.cells:
        _set_cell(out.copy_keys.cells.add(key=key).cell, cell)


def _fill_read_key(out: pb.PeerMessage, message: ReadKey) -> None:
    out.read_key.key = message.key


def _fill_list_keys(out: pb.PeerMessage, message: ListKeys) -> None:
    out.list_keys.SetInParent()
    out.list_keys.buckets.extend(message.buckets)
    if message.after is not None:
        out.list_keys.after = message.after


def _fill_set_floor(out: pb.PeerMessage, message: SetFloor) -> None:
    _set_version(out.set_floor.floor, message.floor)


def _fill_drop(out: pb.PeerMessage, message: Drop) -> None:
    out.drop.key = message.key
    _set_version(out.drop.version, message.ver)


def _fill_reply(out: pb.PeerMessage, message: Reply) -> None:
    body, status = out.reply, message.status
    body.status = int(status)  # type: ignore[assignment]
    if message.floor is not ZERO:
        _set_version(body.floor, message.floor)
    if message.cell is not None:
        _set_cell(body.cell, message.cell)
    for digest in message.digests:
        body.digests.add(sum=b"" if digest is None else digest.to_bytes(16, "big"))
    for key, version in message.keys:
        item = body.keys.add(key=key)
        _set_version(item.version, version)
    if message.more:
        body.more = True
    if message.promised is not None:
        _set_epoch(body.promised, message.promised)
    if status is Status.LEASE:
        body.wait_us = message.number
    elif message.number:
        body.repair = message.number


def _bare(name: str) -> Callable[[pb.PeerMessage, object], None]:
    return lambda out, _: getattr(out, name).SetInParent()


_FILL: dict[type, Callable[..., None]] = {
    WouldPromise: _bare("would_promise"),
    WouldReply: _fill_would_reply,
    Prepare: _fill_prepare,
    Accept: _fill_accept,
    CopyIn: _fill_copy_in,
    CopyKeys: _fill_copy_keys,
    ReadKey: _fill_read_key,
    Check: _bare("check"),
    ListKeys: _fill_list_keys,
    Compare: _bare("compare"),
    SetFloor: _fill_set_floor,
    Drop: _fill_drop,
    Release: _bare("release"),
    HandOver: _bare("hand_over"),
    Reply: _fill_reply,
}


# From the wire


def from_proto(entry: pb.PeerMessage) -> Message:
    """The message of an entry.

    :raises PeerMessageError: it is damaged, incomplete, or of a kind that is not known here.
    """
    kind = entry.WhichOneof("body")
    read = _READ.get(kind or "")
    if read is None:
        raise PeerMessageError(f"an entry of partition {entry.partition} is of no known kind")
    try:
        return read(entry)
    except InvalidInputError as error:
        raise PeerMessageError(f"{kind} of partition {entry.partition}: {error}") from error


def _head(entry: pb.PeerMessage) -> tuple[int, int, Epoch, int]:
    return entry.partition, entry.generation, epoch_from_proto(entry.epoch), entry.id


def _read_would_reply(entry: pb.PeerMessage) -> Message:
    body = entry.would_promise_reply
    config = config_from_proto(entry.config) if entry.HasField("config") else None
    promised = epoch_from_proto(body.promised)
    return WouldReply(*_head(entry), body.yes, body.wait_us, config, promised)


def _read_prepare(entry: pb.PeerMessage) -> Message:
    body = entry.prepare
    released = epoch_from_proto(body.released) if body.HasField("released") else None
    return Prepare(*_head(entry), config_from_proto(entry.config), released)


def _read_accept(entry: pb.PeerMessage) -> Message:
    config = config_from_proto(entry.config) if entry.HasField("config") else None
    body = entry.accept
    return Accept(*_head(entry), config, body.key, _sealed(body.cell), body.repair)


def _read_copy_in(entry: pb.PeerMessage) -> Message:
    config = config_from_proto(entry.config) if entry.HasField("config") else None
    return CopyIn(*_head(entry), config, entry.copy_in.key, _cell(entry.copy_in.cell))


def _read_list_keys(entry: pb.PeerMessage) -> Message:
    config = config_from_proto(entry.config) if entry.HasField("config") else None
    body = entry.list_keys
    buckets = tuple(body.buckets) or ((body.bucket,) if body.HasField("bucket") else ())
    after = body.after if body.HasField("after") else None
    return ListKeys(*_head(entry), config, buckets, after)


_STATUSES = {int(status): status for status in Status}


def _read_reply(entry: pb.PeerMessage) -> Message:
    body = entry.reply
    status = _STATUSES.get(body.status)
    if status is None:
        raise PeerMessageError(f"a reply's status is {body.status}")
    floor = version_from_proto(body.floor) if body.HasField("floor") else ZERO
    number = body.wait_us if status is Status.LEASE else body.repair
    # Nearly every reply is an OK to an Accept, with nothing in it that takes time to look for.
    digests, keys = body.digests, body.keys
    return Reply(
        entry.partition,
        entry.generation,
        epoch_from_proto(entry.epoch),
        entry.id,
        status,
        floor,
        _cell(body.cell) if body.HasField("cell") else None,
        tuple(int.from_bytes(d.sum, "big") if d.sum else None for d in digests) if digests else (),
        tuple((k.key, version_from_proto(k.version)) for k in keys) if keys else (),
        body.more,
        config_from_proto(entry.config) if entry.HasField("config") else None,
        epoch_from_proto(body.promised) if body.HasField("promised") else None,
        number,
    )


def _with_config(
    make: Callable[..., Message], *fields: Callable[[pb.PeerMessage], object]
) -> Callable[[pb.PeerMessage], Message]:
    def read(entry: pb.PeerMessage) -> Message:
        config = config_from_proto(entry.config) if entry.HasField("config") else None
        return make(*_head(entry), config, *(field(entry) for field in fields))

    return read


def _read_hand_over(entry: pb.PeerMessage) -> Message:
    partition, gen, epoch, _ = _head(entry)
    return HandOver(partition, gen, epoch, config_from_proto(entry.config))


_READ: dict[str, Callable[[pb.PeerMessage], Message]] = {
    "would_promise": lambda entry: WouldPromise(*_head(entry)),
    "would_promise_reply": _read_would_reply,
    "prepare": _read_prepare,
    "accept": _read_accept,
    "copy_in": _read_copy_in,
    "copy_keys": _with_config(
        CopyKeys,
        lambda entry: tuple((each.key, _cell(each.cell)) for each in entry.copy_keys.cells),
    ),
    "read_key": _with_config(ReadKey, lambda entry: entry.read_key.key),
    "check": _with_config(Check),
    "list_keys": _read_list_keys,
    "compare": _with_config(Compare),
    "set_floor": _with_config(SetFloor, lambda entry: version_from_proto(entry.set_floor.floor)),
    "drop": _with_config(
        Drop,
        lambda entry: entry.drop.key,
        lambda entry: version_from_proto(entry.drop.version),
    ),
    "release": lambda entry: Release(entry.partition, epoch_from_proto(entry.epoch)),
    "hand_over": _read_hand_over,
    "reply": _read_reply,
}


# Claims


def claim_to_proto(claim: Claim) -> pb.Claim:
    """A claim."""
    out = pb.Claim(
        id=claim.id,
        digest=claim.digest,
        lease_us=claim.lease_us,
        clock_us=claim.clock_us,
        bounded=claim.bounded,
        leaving=claim.leaving,
    )
    if claim.covered is not None:
        out.covered.SetInParent()
        for partition, gen, epoch in claim.covered:
            item = out.covered.items.add(partition=partition, generation=gen)
            _set_epoch(item.epoch, epoch)
    return out


def claim_from_proto(message: pb.Claim) -> Claim:
    """The claim."""
    covered = None
    if message.HasField("covered"):
        covered = tuple(
            (item.partition, item.generation, epoch_from_proto(item.epoch))
            for item in message.covered.items
        )
    return Claim(
        message.id,
        message.digest,
        covered,
        message.lease_us,
        message.clock_us,
        message.bounded,
        message.leaving,
    )


def claim_reply_to_proto(reply: ClaimReply) -> pb.ClaimReply:
    """The answer to a claim."""
    return pb.ClaimReply(
        id=reply.id,
        lease_us=reply.lease_us,
        unknown=reply.unknown,
        except_partitions=reply.except_,
        clock_us=reply.clock_us,
        level_partitions=reply.level,
        bounded_partitions=reply.bounded,
    )


def claim_reply_from_proto(message: pb.ClaimReply) -> ClaimReply:
    """The answer to a claim."""
    return ClaimReply(
        message.id,
        message.lease_us,
        message.unknown,
        tuple(message.except_partitions),
        message.clock_us,
        tuple(message.level_partitions),
        tuple(message.bounded_partitions),
    )
