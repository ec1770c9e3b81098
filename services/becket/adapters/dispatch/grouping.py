"""From one caller's list to what is attempted together (PROTOCOL R14a, R32).

Owns the grouping: reads of keys that the list does not write stand alone; everything else on one
key is one part in list order, or several that follow each other where the list names several
identities for one key. Pure, but for operations being made ready: a read that stands among writes
of its key is made linearizable, or it could be answered elsewhere than its neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

from becket.adapters.dispatch.submissions import Identity, Part, Submission, Write
from becket.adapters.rpc.rings import version_from_proto
from becket.api.v1 import key_value_pb2 as kv
from becket.core.replication.versions import ZERO
from becket.core.ring.ring import Ring


class Grouped(NamedTuple):
    """What a list comes to.

    ``reads``: each as (place, partition, key); ``parts``: the first part of each written key.
    """

    reads: list[tuple[int, int, bytes]]
    parts: list[Part]


def group(submission: Submission, ring: Ring) -> Grouped:
    """Group a submission's operations; its parts are noted in it."""
    operations = submission.operations
    if len(operations) == 1:
        return _one(submission, operations[0], ring)
    writes: dict[bytes, Part | None] = {}
    kinds: list[str] = []
    keys: list[bytes] = []
    for operation in operations:
        kind = operation.WhichOneof("operation")
        assert kind is not None
        key = getattr(operation, kind).key
        kinds.append(kind)
        keys.append(key)
        if kind != "get":
            writes[key] = None
    partitions = ring.partitions_of(keys)
    if not writes:
        return Grouped(list(zip(range(len(keys)), partitions, keys, strict=True)), [])
    reads = []
    for place, key in enumerate(keys):
        if key not in writes:
            reads.append((place, partitions[place], key))
        else:
            _join(submission, writes, (place, key, partitions[place]), kinds[place])
    return Grouped(reads, submission.parts)


def _one(submission: Submission, operation: kv.Operation, ring: Ring) -> Grouped:
    kind = operation.WhichOneof("operation")
    assert kind is not None
    request = getattr(operation, kind)
    key = request.key
    partition = ring.partition_of(key)
    if kind == "get":
        return Grouped([(0, partition, key)], [])
    part = Part(submission, key, partition, _identity(request))
    part.add(0, operation, request)
    submission.parts.append(part)
    return Grouped([], submission.parts)


def _join(
    submission: Submission,
    latest: dict[bytes, Part | None],
    at: tuple[int, bytes, int],
    kind: str,
) -> None:
    """Put one operation into its key's latest part, or into one that follows it."""
    place, key, partition = at
    operation = submission.operations[place]
    part = latest[key]
    write: Write | None = None
    if kind == "get":
        operation.get.ClearField("consistency")
        operation.get.ClearField("max_staleness")
        identity = part.identity if part is not None else None
    else:
        write = getattr(operation, kind)
        assert write is not None
        identity = _identity(write)
    if part is None:
        part = latest[key] = Part(submission, key, partition, identity)
        submission.parts.append(part)
    elif not part.writes:
        part.identity = identity
    elif not _is_same(part.identity, identity):
        part.then = Part(submission, key, partition, identity)
        part = latest[key] = part.then
    part.add(place, operation, write)


def _identity(request: Write) -> Identity | None:
    """What the caller says of itself; None where the dispatcher's own session is to speak."""
    if request.request_id:
        return Identity(request.request_id, 0, ZERO, retry=request.retry)
    if request.HasField("operation_id"):
        found = request.operation_id
        stamp = version_from_proto(found.stamp) if found.HasField("stamp") else ZERO
        return Identity(found.session_id, found.number, stamp, retry=request.retry)
    return None


def _is_same(one: Identity | None, other: Identity | None) -> bool:
    """Whether both belong to one operation; it is a retry if any of its writes says so."""
    if one is None or other is None:
        return one is other
    same = (one.session, one.number, one.stamp) == (other.session, other.number, other.stamp)
    if same and other.retry:
        one.retry = True
    return same
