"""Operations and their results as protobuf, and back; the check of what a call asks for.

Owns validation at the edge: whatever is out of its limits raises InvalidInputError with the path of
the field as the proto names it, before anything is done. Must not decide where an operation goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from becket.adapters.rpc.errors import to_status
from becket.adapters.rpc.rings import (
    field_bytes,
    varint,
    version_from_bytes,
    version_from_proto,
    version_to_bytes,
)
from becket.api.v1 import key_value_pb2 as kv
from becket.core.errors import (
    BugError,
    ConditionFailedError,
    CounterOverflowError,
    InvalidInputError,
    NotACounterError,
)
from becket.core.limits import Limits
from becket.core.replication.cells import Kind, Operation, Result, Verdict
from becket.core.replication.versions import ZERO, Version

SESSION_BYTES = 64
"""The longest request_id or session_id, in UTF-8."""

DEFAULT_STALENESS_US = 5_000_000

_LINEARIZABLE = (int(kv.CONSISTENCY_UNSPECIFIED), int(kv.CONSISTENCY_LINEARIZABLE))

Request = kv.GetRequest | kv.PutRequest | kv.DeleteRequest | kv.IncrementRequest
Write = kv.PutRequest | kv.DeleteRequest | kv.IncrementRequest

GET: Final = Operation(Kind.GET)
"""Every read; one object, so that it is told by identity."""


class Caller(NamedTuple):
    """What a write says of itself. ``stamp`` None: the caller keeps no stamps (R32).

    ``session`` empty: the call is not protected against its own repetition.
    """

    session: str = ""
    number: int = 0
    stamp: Version | None = None
    retry: bool = False


NOBODY: Final = Caller()


class Parsed(NamedTuple):
    """One checked operation. ``staleness_us`` -1: linearizable; ``ANY_AGE``: any will do.

    ``reads``: how many reads of the key it stands for, when hot keys are counted.
    """

    key: bytes
    operation: Operation
    caller: Caller = NOBODY
    staleness_us: int = -1
    reads: int = 1


MOST_READS = 1_000_000
"""No single read counts for more, whatever its caller says."""
ANY_AGE = 1 << 62
"""A staleness that every replica meets."""


def parse_batch(operations: Iterable[kv.Operation], limits: Limits) -> list[Parsed]:
    """Check every operation of a batch, and the batch itself.

    :raises InvalidInputError: ``field`` is the path of what is refused; nothing of it may be done.
    """
    found, total = [], 0
    for place, operation in enumerate(operations):
        if place >= limits.batch_operations:
            raise InvalidInputError(
                "operations", f"holds over {limits.batch_operations}, must be at most that"
            )
        kind = operation.WhichOneof("operation")
        if kind is None:
            raise InvalidInputError(f"operations[{place}]", "has none of its operations set")
        try:
            parsed = parse(getattr(operation, kind), limits)
        except InvalidInputError as error:
            # The path is put together only where there is something to say.
            path = f"operations[{place}].{kind}.{error.field}"
            raise InvalidInputError(path, error.problem) from error
        total += len(parsed.key) + len(parsed.operation.value)
        found.append(parsed)
    if not found:
        raise InvalidInputError("operations", f"holds 0, must be 1..{limits.batch_operations}")
    if total > limits.batch_bytes:
        raise InvalidInputError(
            "operations", f"hold {total} bytes, must be at most {limits.batch_bytes}"
        )
    return found


def parse(request: Request, limits: Limits) -> Parsed:
    """Check one operation.

    :raises InvalidInputError: ``field`` is what is refused.
    """
    key = request.key
    if not 1 <= len(key) <= limits.key_bytes:
        limits.check_key(key)
    if isinstance(request, kv.GetRequest):
        reads = 1 + min(request.answered_from_copy, MOST_READS)
        return Parsed(key, GET, NOBODY, _staleness_us(request), reads)
    operation = _operation(request, limits)
    limits.check_operation(operation, "")
    return Parsed(key, operation, _caller(request))


def operation_id_bytes(session: str, number: int, stamp: Version) -> bytes:
    """An OperationId as protobuf writes it; put together by hand, as every write carries one.

    ``stamp`` ZERO: the session has seen none.
    """
    named = field_bytes(b"\x0a", session.encode()) + b"\x10" + varint(number)
    return named if stamp is ZERO else named + field_bytes(b"\x1a", version_to_bytes(stamp))


def _operation(request: Write, limits: Limits) -> Operation:
    if isinstance(request, kv.IncrementRequest):
        return Operation(Kind.INCREMENT, delta=request.delta)
    version = None
    if request.if_version:
        version = version_from_bytes(request.if_version)
        if version is None:
            raise InvalidInputError("if_version", "is not a version that was given out")
    if isinstance(request, kv.DeleteRequest):
        return Operation(Kind.DELETE, if_version=version)
    ttl_ms = 0
    if request.HasField("ttl"):
        ttl_ms = _milliseconds(request.ttl, "ttl", limits.ttl_ms)
    return Operation(Kind.PUT, request.value, ttl_ms, request.if_absent, version)


def _milliseconds(duration: Duration, field: str, most_ms: int) -> int:
    """A duration over 0, in whole milliseconds, rounded up."""
    nanos = duration.seconds * 1_000_000_000 + duration.nanos
    if nanos <= 0:
        raise InvalidInputError(field, "must be over 0")
    ms = -(-nanos // 1_000_000)
    if ms > most_ms:
        raise InvalidInputError(field, f"is {ms} ms, must be at most {most_ms} ms")
    return ms


def _staleness_us(request: kv.GetRequest) -> int:
    wish = request.consistency
    if wish in _LINEARIZABLE:
        if request.HasField("max_staleness"):
            raise InvalidInputError("max_staleness", "is for CONSISTENCY_BOUNDED only")
        return -1
    if wish == kv.CONSISTENCY_ANY:
        return ANY_AGE
    if wish != kv.CONSISTENCY_BOUNDED:
        raise InvalidInputError("consistency", f"{wish} is not a consistency")
    if not request.HasField("max_staleness"):
        return DEFAULT_STALENESS_US
    age = request.max_staleness
    nanos = age.seconds * 1_000_000_000 + age.nanos
    if nanos <= 0:
        raise InvalidInputError("max_staleness", "must be over 0")
    return min(-(-nanos // 1000), ANY_AGE - 1)


def _caller(request: Write) -> Caller:
    if request.HasField("operation_id"):
        found = request.operation_id
        if request.request_id:
            raise InvalidInputError("request_id", "excludes operation_id")
        _check_session(found.session_id, "operation_id.session_id")
        if not found.number:
            raise InvalidInputError("operation_id.number", "must be at least 1")
        stamp = version_from_proto(found.stamp) if found.HasField("stamp") else ZERO
        return Caller(found.session_id, found.number, stamp, request.retry)
    if request.request_id:
        _check_session(request.request_id, "request_id")
        return Caller(request.request_id, 1, None, request.retry)
    if request.retry:
        raise InvalidInputError("retry", "needs the request_id of the earlier call")
    return NOBODY


def _check_session(session: str, field: str) -> None:
    size = len(session.encode())
    if not 1 <= size <= SESSION_BYTES:
        raise InvalidInputError(field, f"is {size} bytes, must be 1..{SESSION_BYTES}")


# Results


def result_to_bytes(key: bytes, operation: Operation, result: Result) -> bytes:
    """The answer to one executed operation: a ``kv.Result`` as bytes.

    The two that nearly all are, a value read and a value written, are put together
    by hand: from objects each level of the message is copied into the next one.
    """
    if result.verdict is Verdict.DONE and result.version is not None:
        if operation.kind is Kind.PUT:
            return field_bytes(b"\x12", field_bytes(b"\x0a", version_to_bytes(result.version)))
        if operation.kind is Kind.GET and not result.expire_ms:
            found = field_bytes(b"\x0a", key)
            if result.value:
                found += field_bytes(b"\x12", result.value)
            found += field_bytes(b"\x1a", version_to_bytes(result.version))
            return field_bytes(b"\x0a", field_bytes(b"\x0a", found))
    return _result_to_proto(key, operation, result).SerializeToString()


def _result_to_proto(key: bytes, operation: Operation, result: Result) -> kv.Result:
    verdict, version = result.verdict, result.version
    if verdict is Verdict.CONDITION_FAILED:
        known = version_to_bytes(version) if version is not None else b""
        return kv.Result(status=to_status(ConditionFailedError(known)))
    if verdict is Verdict.NOT_A_NUMBER:
        return kv.Result(status=to_status(NotACounterError("the value is not a counter")))
    if verdict is Verdict.OUT_OF_RANGE:
        problem = "the sum would leave 64 signed bits"
        return kv.Result(status=to_status(CounterOverflowError(problem)))
    kind = operation.kind
    if kind is Kind.GET:
        if verdict is Verdict.ABSENT:
            return kv.Result(get=kv.GetResponse())
        return kv.Result(get=kv.GetResponse(entry=entry(key, result)))
    if kind is Kind.DELETE:
        return kv.Result(delete=kv.DeleteResponse(deleted=verdict is Verdict.DONE))
    if version is None:
        raise BugError(f"a {kind.name.lower()} was done without a version: {result}")
    data = version_to_bytes(version)
    if kind is Kind.PUT:
        return kv.Result(put=kv.PutResponse(version=data))
    number = int(result.value or b"0")
    return kv.Result(increment=kv.IncrementResponse(value=number, version=data))


def entry(key: bytes, result: Result, *, keys_only: bool = False) -> kv.Entry:
    """A key with what a read of it has found."""
    found = kv.Entry(key=key)
    if result.value and not keys_only:
        found.value = result.value
    if result.version is not None:
        found.version = version_to_bytes(result.version)
    if result.expire_ms:
        found.expire_time.CopyFrom(_timestamp(result.expire_ms))
    return found


def _timestamp(wall_ms: int) -> Timestamp:
    return Timestamp(seconds=wall_ms // 1000, nanos=wall_ms % 1000 * 1_000_000)
