"""Every message of the core crosses the wire unchanged."""

from __future__ import annotations

import pytest

from becket.adapters.rpc import envelopes, peers
from becket.api.v1 import replica_pb2 as pb
from becket.core.replication.cells import Cell, Record, Result, SealedCell, Verdict
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
from becket.core.replication.versions import NO_EPOCH, ZERO, Epoch, Version
from becket.core.ring.config import Config

E1, E2 = Epoch(4, "d1", 2), Epoch(5, "d2", 1)
V = Version(E1, 9)
FINAL = Config(3, ("d1", "d2"), None, (("d1", 1), ("d2", 3)))
JOINT = FINAL.begin(("d2", "d3"))
RECORD = Record("s", 3, (Result(Verdict.DONE, V, b"1"),), V, 77)
CELL = Cell(V, V, b"value", 123, (RECORD,), ZERO)
TOMB = Cell(V, Version(E1, 2), None, 0, (), Version(E1, 1))
HEAD = (7, 3, E1, 1 << 40)

MESSAGES: list[Message] = [
    WouldPromise(*HEAD),
    WouldReply(*HEAD, yes=True, wait_us=0, config=None, promised=NO_EPOCH),
    WouldReply(*HEAD, yes=False, wait_us=120_000, config=JOINT, promised=E2),
    Prepare(*HEAD, FINAL, None),
    Prepare(*HEAD, JOINT, E2),
    Accept(*HEAD, None, b"k", CELL, 0),
    Accept(*HEAD, JOINT, b"k", TOMB, 1 << 33),
    CopyIn(*HEAD, None, b"k", CELL),
    CopyKeys(*HEAD, None, ((b"k", CELL), (b"l", CELL))),
    ReadKey(*HEAD, FINAL, b"k"),
    Check(*HEAD, None),
    ListKeys(*HEAD, None, (), None),
    ListKeys(*HEAD, None, (0,), b""),
    ListKeys(*HEAD, None, (3, 63), b"k"),
    Compare(*HEAD, None),
    SetFloor(*HEAD, None, V),
    Drop(*HEAD, None, b"k", V),
    Release(7, E1),
    HandOver(7, 3, E1, FINAL),
    Reply(*HEAD, Status.OK, ZERO),
    Reply(*HEAD, Status.OK, V, cell=CELL, digests=(1, None, 2**128 - 1)),
    Reply(*HEAD, Status.OK, V, keys=((b"a", V), (b"b", ZERO)), more=True),
    Reply(*HEAD, Status.GEN, V, config=JOINT),
    Reply(*HEAD, Status.EPOCH, V, promised=E2),
    Reply(*HEAD, Status.LEASE, V, number=250_000),
    Reply(*HEAD, Status.CORRUPT, V, number=(1 << 32) + 5),
    Reply(*HEAD, Status.BEHIND, ZERO),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_there_and_back(message: Message) -> None:
    entry = peers.to_proto(message)  # type: ignore[arg-type]
    again = pb.PeerMessage.FromString(entry.SerializeToString())
    assert opened(peers.from_proto(again)) == message


def opened(message: Message) -> Message:
    """The message with all of its cell read."""
    if isinstance(message, Accept) and isinstance(message.cell, SealedCell):
        return message._replace(cell=message.cell.opened())
    return message


def test_the_short_way_writes_what_protobuf_writes_and_reads_it_back() -> None:
    entries = [envelopes.to_bytes(message) for message in MESSAGES]  # type: ignore[arg-type]
    assert entries == [peers.to_proto(message).SerializeToString() for message in MESSAGES]  # type: ignore[arg-type]
    data = envelopes.envelope(entries)
    assert pb.ExchangeResponse.FromString(data).SerializeToString() == data
    assert list(map(opened, envelopes.messages_of(data))) == MESSAGES


def test_an_envelope_is_read_whatever_else_is_in_it() -> None:
    accept = Accept(*HEAD, None, b"k", CELL, 1 << 33)
    request = pb.ExchangeRequest(
        hello=pb.Hello(cluster_id="c"),
        messages=[peers.to_proto(accept), peers.to_proto(Check(*HEAD, None))],
        traceparents=["00"],
    )
    data = request.SerializeToString()
    later = b"\x9a\x06\x01x" + b"\x50\x07"  # fields 99 and 10, of a program after this one
    for read in (data, data + later, later + data):
        found = envelopes.messages_of(read)
        assert list(map(opened, found)) == [accept, Check(*HEAD, None)]


def test_an_accept_with_a_field_of_a_later_program_is_read() -> None:
    accept = Accept(*HEAD, None, b"k", CELL, 0)
    for place in ("entry", "accept", "cell"):
        entry = peers.to_proto(accept)
        part = {"entry": entry, "accept": entry.accept, "cell": entry.accept.cell}[place]
        part.MergeFromString(b"\x9a\x06\x01x")
        found = envelopes.messages_of(envelopes.envelope([entry.SerializeToString()]))
        assert list(map(opened, found)) == [accept]


def test_every_kind_of_message_is_tried() -> None:
    kinds = {entry.WhichOneof("body") for entry in map(peers.to_proto, MESSAGES)}  # type: ignore[arg-type]
    assert kinds == {field.name for field in pb.PeerMessage.DESCRIPTOR.oneofs[0].fields}


@pytest.mark.parametrize(
    "claim",
    [
        Claim(1, 2**64 - 1, None, 400_000, 5, bounded=True),
        Claim(2, 0, (), 0, 5, bounded=False, leaving=True),
        Claim(3, 9, ((1, 2, E1), (5, 1, E2)), 0, 5, bounded=False),
    ],
)
def test_claims(claim: Claim) -> None:
    sent = pb.Claim.FromString(peers.claim_to_proto(claim).SerializeToString())
    assert peers.claim_from_proto(sent) == claim


def test_claim_replies() -> None:
    reply = ClaimReply(
        1, 400_000, unknown=False, except_=(1, 2), clock_us=77, level=(3,), bounded=()
    )
    sent = pb.ClaimReply.FromString(peers.claim_reply_to_proto(reply).SerializeToString())
    assert peers.claim_reply_from_proto(sent) == reply


def broken() -> list[pb.PeerMessage]:
    nothing = pb.PeerMessage(partition=1)
    damaged = peers.to_proto(Accept(*HEAD, None, b"k", CELL, 0))
    damaged.accept.cell.content = damaged.accept.cell.content[:-1]
    other = peers.to_proto(CopyIn(*HEAD, None, b"k", CELL))
    other.copy_in.cell.version.sequence += 1
    twice = peers.to_proto(Prepare(*HEAD, FINAL, None))
    twice.config.old_disk_ids.append("d1")
    empty = peers.to_proto(Prepare(*HEAD, FINAL, None))
    empty.ClearField("config")
    status = peers.to_proto(Reply(*HEAD, Status.OK, ZERO))
    status.reply.status = 99  # type: ignore[assignment]
    return [nothing, damaged, other, twice, empty, status]


@pytest.mark.parametrize("entry", broken(), ids=lambda e: str(e.WhichOneof("body")))
def test_what_cannot_be_read_is_refused(entry: pb.PeerMessage) -> None:
    with pytest.raises(peers.PeerMessageError):
        peers.from_proto(entry)
