"""The one table between Becket's errors and gRPC's: code, reason and details, and back.

Owns what an error looks like on the wire. Invariants: a definite no is never ABORTED, an unknown
outcome never anything else (default retry policies repeat UNAVAILABLE); whatever comes without a
reason of ours says nothing of the outcome and becomes OutcomeUnknownError, unless its code says
that the call was refused before anything was done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from becket.api.v1 import errors_pb2, types_pb2
from becket.core.errors import (
    AnswerFullError,
    BecketError,
    BugError,
    ConditionFailedError,
    CounterOverflowError,
    DiskFullError,
    FrozenError,
    GiveUpError,
    InvalidInputError,
    NotACounterError,
    NotAppliedError,
    NotFoundError,
    OldNumberError,
    OutcomeUnknownError,
    OverloadedError,
    RefreshRingError,
    RetryLaterError,
    RetryNowError,
    StalePlanError,
    StaleStampError,
    WrongClusterError,
    WrongMemberError,
)

DOMAIN = "becket.dev"
M = TypeVar("M", bound=Message)
Code = grpc.StatusCode


class StatusError(BecketError):
    """A status that was made elsewhere, on its way out as it is."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


class Row(NamedTuple):
    """How one kind of error travels; ``reason`` is ErrorInfo.reason, empty for none."""

    error: type[BecketError]
    code: grpc.StatusCode
    reason: str = ""


# The first row that an error is an instance of counts: the special before the general.
TABLE = (
    Row(StalePlanError, Code.FAILED_PRECONDITION, "STALE_PLAN"),
    Row(InvalidInputError, Code.INVALID_ARGUMENT),
    Row(NotFoundError, Code.NOT_FOUND),
    Row(ConditionFailedError, Code.FAILED_PRECONDITION, "CONDITION_FAILED"),
    Row(NotACounterError, Code.FAILED_PRECONDITION, "NOT_A_COUNTER"),
    Row(CounterOverflowError, Code.OUT_OF_RANGE, "COUNTER_OVERFLOW"),
    Row(WrongMemberError, Code.FAILED_PRECONDITION, "WRONG_MEMBER"),
    Row(OutcomeUnknownError, Code.ABORTED, "OUTCOME_UNKNOWN"),
    Row(StaleStampError, Code.UNAVAILABLE, "STALE_STAMP"),
    Row(OldNumberError, Code.UNAVAILABLE, "OLD_NUMBER"),
    Row(NotAppliedError, Code.UNAVAILABLE, "NOT_APPLIED"),
    Row(AnswerFullError, Code.RESOURCE_EXHAUSTED, "ANSWER_FULL"),
    Row(OverloadedError, Code.RESOURCE_EXHAUSTED, "OVERLOADED"),
    Row(DiskFullError, Code.RESOURCE_EXHAUSTED, "DISK_FULL"),
    Row(FrozenError, Code.FAILED_PRECONDITION, "FROZEN"),
    Row(WrongClusterError, Code.PERMISSION_DENIED, "WRONG_CLUSTER"),
    Row(GiveUpError, Code.FAILED_PRECONDITION),
    Row(RefreshRingError, Code.FAILED_PRECONDITION),
    Row(RetryNowError, Code.UNAVAILABLE),
    Row(RetryLaterError, Code.UNAVAILABLE),
    Row(BecketError, Code.INTERNAL),
)
_BY_REASON = {row.reason: row for row in TABLE if row.reason}
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def code_number(code: grpc.StatusCode) -> int:
    """The number of a status code."""
    return int(code.value[0])


def row_of(error: BecketError) -> Row:
    """How this error travels."""
    return next(row for row in TABLE if isinstance(error, row.error))


# To the wire


def to_status(error: BecketError, *details: Message) -> status_pb2.Status:
    """The status of an error, with ``details`` beside its own."""
    if isinstance(error, StatusError):
        return error.status
    row = row_of(error)
    packed = []
    if row.reason:
        packed.append(_packed(error_details_pb2.ErrorInfo(reason=row.reason, domain=DOMAIN)))
    packed += [_packed(detail) for detail in (*_own_details(error), *details)]
    return status_pb2.Status(code=code_number(row.code), message=str(error), details=packed)


def _own_details(error: BecketError) -> list[Message]:
    if isinstance(error, InvalidInputError):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=error.problem
        )
        return [error_details_pb2.BadRequest(field_violations=[violation])]
    if isinstance(error, ConditionFailedError):
        return [errors_pb2.ConditionFailure(version=error.version)]
    if isinstance(error, WrongMemberError):
        detail = errors_pb2.WrongMember(partition=error.partition, ring_version=error.ring_version)
        if error.coordinator:
            detail.coordinator.partition = error.partition
            detail.coordinator.epoch.disk_id = error.coordinator
        return [detail]
    if isinstance(error, RetryLaterError) and error.after_ms:
        delay = duration_pb2.Duration(nanos=error.after_ms % 1000 * 1_000_000)
        delay.seconds = error.after_ms // 1000
        return [error_details_pb2.RetryInfo(retry_delay=delay)]
    return []


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def internal_status(incident: str) -> status_pb2.Status:
    """A failure of our own, told by a number that the log repeats; its outcome is not known."""
    return status_pb2.Status(
        code=code_number(Code.INTERNAL), message=f"internal error, incident {incident}"
    )


# From the wire


def detail(status: status_pb2.Status, kind: type[M]) -> M | None:
    """The first detail of this kind, None where there is none."""
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            found = kind()
            packed.Unpack(found)
            return found
    return None


def reason_of(status: status_pb2.Status) -> str:
    """ErrorInfo.reason where the domain is ours, else empty."""
    info = detail(status, error_details_pb2.ErrorInfo)
    return info.reason if info is not None and info.domain == DOMAIN else ""


def from_status(status: status_pb2.Status) -> BecketError:
    """The error that a status tells."""
    message = status.message
    row = _BY_REASON.get(reason_of(status))
    if row is not None:
        special = _SPECIAL.get(row.error)
        return special(status) if special is not None else row.error(message)
    code = _CODES.get(status.code, Code.UNKNOWN)
    if code is Code.INVALID_ARGUMENT:
        return _invalid(status)
    if code is Code.NOT_FOUND:
        return NotFoundError(message)
    if code in (Code.UNIMPLEMENTED, Code.PERMISSION_DENIED, Code.UNAUTHENTICATED):
        return GiveUpError(message)
    if code in (Code.FAILED_PRECONDITION, Code.OUT_OF_RANGE, Code.ALREADY_EXISTS):
        return GiveUpError(message)
    if code is Code.RESOURCE_EXHAUSTED:
        return OverloadedError(message, after_ms=_after_ms(status))
    if code is Code.INTERNAL:
        return BugError(message)
    return OutcomeUnknownError(f"{code.name}: {message}")


def from_rpc_error(error: grpc.aio.AioRpcError) -> BecketError:
    """The error of a call that failed; without details its outcome is not known."""
    status: status_pb2.Status | None = rpc_status.from_call(error)
    if status is None:
        status = status_pb2.Status(
            code=code_number(error.code()), message=error.details() or error.code().name
        )
    return from_status(status)


def _invalid(status: status_pb2.Status) -> BecketError:
    found = detail(status, error_details_pb2.BadRequest)
    if found is None or not found.field_violations:
        return GiveUpError(status.message)
    violation = found.field_violations[0]
    return InvalidInputError(violation.field, violation.description)


def _after_ms(status: status_pb2.Status) -> int:
    found = detail(status, error_details_pb2.RetryInfo)
    if found is None:
        return 0
    delay: duration_pb2.Duration = found.retry_delay
    return delay.seconds * 1000 + delay.nanos // 1_000_000


def _condition(status: status_pb2.Status) -> BecketError:
    found = detail(status, errors_pb2.ConditionFailure)
    return ConditionFailedError(found.version if found is not None else b"")


def _wrong_member(status: status_pb2.Status) -> BecketError:
    found = detail(status, errors_pb2.WrongMember) or errors_pb2.WrongMember()
    return WrongMemberError(
        found.partition,
        ring_version=found.ring_version,
        coordinator=found.coordinator.epoch.disk_id,
    )


def _later(kind: type[RetryLaterError]) -> Callable[[status_pb2.Status], BecketError]:
    return lambda status: kind(status.message, after_ms=_after_ms(status))


def _stale_plan(status: status_pb2.Status) -> BecketError:
    field, _, problem = status.message.partition(": ")
    return StalePlanError(field, problem)


_SPECIAL: dict[type[BecketError], Callable[[status_pb2.Status], BecketError]] = {
    ConditionFailedError: _condition,
    WrongMemberError: _wrong_member,
    NotAppliedError: _later(NotAppliedError),
    OverloadedError: _later(OverloadedError),
    DiskFullError: _later(DiskFullError),
    FrozenError: _later(FrozenError),
    StalePlanError: _stale_plan,
}


def coordinator_of(status: status_pb2.Status) -> types_pb2.Coordinator | None:
    """Whom a WRONG_MEMBER names instead; None where nobody."""
    found = detail(status, errors_pb2.WrongMember)
    if found is None or not found.HasField("coordinator"):
        return None
    return found.coordinator
