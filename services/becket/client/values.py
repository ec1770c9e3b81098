"""What callers of the client hand in and get back.

Owns the types and their way to protobuf and back. Must not talk to anybody. Times are seconds or
``timedelta``; keys may be ``str``, which means their UTF-8, values are ``bytes`` and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import NamedTuple

from google.protobuf.duration_pb2 import Duration

from becket.adapters.rpc.errors import from_status
from becket.adapters.rpc.rings import version_from_bytes
from becket.api.v1 import key_value_pb2 as kv
from becket.core.errors import BecketError, InvalidInputError
from becket.core.limits import INT64, Limits

Key = bytes | str
Span = float | timedelta
"""A length of time: seconds, or a timedelta."""


class Consistency(Enum):
    """How fresh a read must be."""

    LINEARIZABLE = "linearizable"
    """Shows every write that was acknowledged before the read began."""
    BOUNDED = "bounded"
    """Shows every write that was acknowledged ``max_staleness`` before the read began, perhaps also
    one whose outcome is unknown and which later vanishes. Any level replica answers."""
    ANY = "any"
    """Shows some state of the key; may go back in time. Any replica answers."""


class Entry(NamedTuple):
    """A key with its value. ``version`` names the value's last change: compare it for equality."""

    key: bytes
    value: bytes
    version: bytes
    expire_time: datetime | None = None
    """When it expires (UTC); None for never."""


@dataclass(frozen=True)
class Get:
    """A read in a batch; its result is an ``Entry``, or None where the key is absent."""

    key: Key
    consistency: Consistency = Consistency.LINEARIZABLE
    max_staleness: Span | None = None


@dataclass(frozen=True)
class Put:
    """A write in a batch; its result is the entry's new version."""

    key: Key
    value: bytes
    ttl: Span | None = None
    if_absent: bool = False
    if_version: bytes | None = None


@dataclass(frozen=True)
class Delete:
    """A delete in a batch; its result is whether the key was there."""

    key: Key
    if_version: bytes | None = None


@dataclass(frozen=True)
class Increment:
    """An addition to a counter in a batch; its result is the counter after it."""

    key: Key
    delta: int = 1


Operation = Get | Put | Delete | Increment
_KINDS = (Get, Put, Delete, Increment)
Answer = Entry | bytes | bool | int | None
"""What an operation of a batch gives: see the operations."""


class MemberPlace(NamedTuple):
    """A member as a caller may want to see it; ``address`` is empty where it is not known."""

    name: str
    disk: str
    address: str


class Location(NamedTuple):
    """Where a key lives. ``coordinator`` is None where nobody is known to coordinate now."""

    partition: int
    coordinator: MemberPlace | None
    replicas: tuple[MemberPlace, ...]


_LEVELS = {
    Consistency.LINEARIZABLE: kv.CONSISTENCY_LINEARIZABLE,
    Consistency.BOUNDED: kv.CONSISTENCY_BOUNDED,
    Consistency.ANY: kv.CONSISTENCY_ANY,
}


def key_bytes(key: object, limits: Limits, field: str = "key") -> bytes:
    """A key as bytes.

    :raises InvalidInputError: it is of another type, or out of its limits.
    """
    if isinstance(key, str):
        key = key.encode()
    elif not isinstance(key, bytes):
        raise InvalidInputError(field, f"must be bytes or str, is {type(key).__name__}")
    limits.check_key(key, field)
    return key


def bound_bytes(key: object, field: str) -> bytes:
    """A prefix or a bound of a listing as bytes; it may be empty."""
    if isinstance(key, str):
        return key.encode()
    if not isinstance(key, bytes):
        raise InvalidInputError(field, f"must be bytes or str, is {type(key).__name__}")
    return key


def to_proto(operation: Operation, limits: Limits) -> kv.Operation:
    """An operation as protobuf.

    :raises InvalidInputError: ``field`` is what is refused.
    """
    key = key_bytes(operation.key, limits)
    if isinstance(operation, Get):
        return kv.Operation(get=_get(operation, key))
    if isinstance(operation, Put):
        return kv.Operation(put=_put(operation, key, limits))
    if isinstance(operation, Delete):
        version = _version(operation.if_version)
        return kv.Operation(delete=kv.DeleteRequest(key=key, if_version=version))
    delta = _delta(operation.delta)
    return kv.Operation(increment=kv.IncrementRequest(key=key, delta=delta))


def _delta(delta: object) -> int:
    if not isinstance(delta, int) or not -INT64 <= delta < INT64:
        raise InvalidInputError("delta", "must be a whole number within 64 signed bits")
    return delta


def _get(operation: Get, key: bytes) -> kv.GetRequest:
    level = operation.consistency
    if level is Consistency.LINEARIZABLE and operation.max_staleness is None:
        return kv.GetRequest(key=key)
    if operation.max_staleness is None:
        return kv.GetRequest(key=key, consistency=_LEVELS[Consistency(level)])
    if level is not Consistency.BOUNDED:
        raise InvalidInputError("max_staleness", "is for Consistency.BOUNDED only")
    age = duration(operation.max_staleness, "max_staleness")
    return kv.GetRequest(key=key, consistency=kv.CONSISTENCY_BOUNDED, max_staleness=age)


def _put(operation: Put, key: bytes, limits: Limits) -> kv.PutRequest:
    value = _bytes(operation.value, "value")
    if len(value) > limits.value_bytes:
        problem = f"is {len(value)} bytes, must be at most {limits.value_bytes}"
        raise InvalidInputError("value", problem)
    request = kv.PutRequest(key=key, value=value)
    if operation.ttl is not None:
        request.ttl.CopyFrom(duration(operation.ttl, "ttl"))
    if operation.if_version is not None:
        if operation.if_absent:
            raise InvalidInputError("if_absent", "excludes if_version")
        request.if_version = _version(operation.if_version)
    elif operation.if_absent:
        request.if_absent = True
    return request


def _version(version: bytes | None) -> bytes:
    if version is None:
        return b""
    if version_from_bytes(_bytes(version, "if_version")) is None:
        raise InvalidInputError("if_version", "is not a version that was given out")
    return version


def _bytes(value: object, field: str) -> bytes:
    if not isinstance(value, bytes):
        raise InvalidInputError(field, f"must be bytes, is {type(value).__name__}")
    return value


def duration(span: Span, field: str) -> Duration:
    """A length of time as protobuf, in whole microseconds, rounded up.

    :raises InvalidInputError: it is not over 0, or over ten thousand years.
    """
    seconds = span.total_seconds() if isinstance(span, timedelta) else float(span)
    if not 0 < seconds < 315_576_000_000:
        raise InvalidInputError(field, "must be over 0, in seconds")
    micros = max(1, round(seconds * 1e6))
    return Duration(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)


def timeout_seconds(span: Span) -> float:
    """How long to wait, in seconds.

    :raises InvalidInputError: it is not over 0.
    """
    seconds = span.total_seconds() if isinstance(span, timedelta) else float(span)
    if not seconds > 0:
        raise InvalidInputError("timeout", "must be over 0, in seconds")
    return seconds


def entry_from_proto(entry: kv.Entry) -> Entry:
    """An entry."""
    expires = None
    if entry.HasField("expire_time"):
        at = entry.expire_time
        expires = datetime.fromtimestamp(at.seconds, UTC) + timedelta(microseconds=at.nanos // 1000)
    return Entry(entry.key, entry.value, entry.version, expires)


def answer_from_proto(result: kv.Result) -> Answer | BecketError:
    """What one operation gave, or why it gave nothing."""
    kind = result.WhichOneof("result")
    if kind == "get":
        return entry_from_proto(result.get.entry) if result.get.HasField("entry") else None
    if kind == "put":
        return result.put.version
    if kind == "delete":
        return result.delete.deleted
    if kind == "increment":
        return result.increment.value
    return from_status(result.status)


def checked_batch(operations: Sequence[Operation], limits: Limits) -> list[list[kv.Operation]]:
    """Operations as protobuf, in lists that each fit into one batch.

    A key that comes twice stays in one list, so that its operations keep their order.

    :raises InvalidInputError: ``field`` is the path of what is refused; nothing was sent.
    """
    made: list[kv.Operation] = []
    for place, operation in enumerate(operations):
        _check_kind(operation, place)
        try:
            made.append(to_proto(operation, limits))
        except InvalidInputError as error:
            # The path is put together only where there is something to say.
            raise InvalidInputError(f"operations[{place}].{error.field}", error.problem) from error
    most = limits.batch_operations
    return [made[at : at + most] for at in range(0, len(made), most)]


def _check_kind(operation: object, place: int) -> None:
    if not isinstance(operation, _KINDS):
        problem = f"must be Get, Put, Delete or Increment, is {type(operation).__name__}"
        raise InvalidInputError(f"operations[{place}]", problem)
