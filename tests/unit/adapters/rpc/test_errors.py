"""Each error crosses the wire and comes back as itself, with what it carries."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import status_pb2

from becket.adapters.rpc import errors
from becket.api.v1 import errors_pb2
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
    StalePlanError,
    StaleStampError,
    WrongClusterError,
    WrongMemberError,
)

CASES = [
    (StalePlanError("ring_version", "is old"), "FAILED_PRECONDITION", "STALE_PLAN"),
    (InvalidInputError("key", "is 0 bytes"), "INVALID_ARGUMENT", ""),
    (NotFoundError("no such member"), "NOT_FOUND", ""),
    (ConditionFailedError(b"v1"), "FAILED_PRECONDITION", "CONDITION_FAILED"),
    (NotACounterError("text"), "FAILED_PRECONDITION", "NOT_A_COUNTER"),
    (CounterOverflowError("too far"), "OUT_OF_RANGE", "COUNTER_OVERFLOW"),
    (WrongMemberError(3, ring_version=9, coordinator="d1"), "FAILED_PRECONDITION", "WRONG_MEMBER"),
    (OutcomeUnknownError("who knows"), "ABORTED", "OUTCOME_UNKNOWN"),
    (NotAppliedError("no", after_ms=1500), "UNAVAILABLE", "NOT_APPLIED"),
    (StaleStampError("old"), "UNAVAILABLE", "STALE_STAMP"),
    (OldNumberError("old"), "UNAVAILABLE", "OLD_NUMBER"),
    (OverloadedError("busy", after_ms=50), "RESOURCE_EXHAUSTED", "OVERLOADED"),
    (AnswerFullError("too many"), "RESOURCE_EXHAUSTED", "ANSWER_FULL"),
    (DiskFullError("full"), "RESOURCE_EXHAUSTED", "DISK_FULL"),
    (FrozenError("two of three look dead"), "FAILED_PRECONDITION", "FROZEN"),
    (WrongClusterError("another one"), "PERMISSION_DENIED", "WRONG_CLUSTER"),
]


@pytest.mark.parametrize(("error", "code", "reason"), CASES, ids=lambda v: type(v).__name__)
def test_there_and_back(error: BecketError, code: str, reason: str) -> None:
    status = errors.to_status(error)
    assert status.code == getattr(grpc.StatusCode, code).value[0]
    assert errors.reason_of(status) == reason
    back = errors.from_status(status_pb2.Status.FromString(status.SerializeToString()))
    assert type(back) is type(error)
    assert vars(back) == vars(error)


def test_every_row_of_the_table_with_a_reason_is_an_element_of_the_proto() -> None:
    named = {row.reason for row in errors.TABLE if row.reason}
    known = {name.removeprefix("ERROR_REASON_") for name, _ in errors_pb2.ErrorReason.items()}
    # NO_QUORUM stands beside another reason, as a detail.
    assert known - named == {"UNSPECIFIED", "NO_QUORUM"}
    assert named <= known
    assert named == {reason for _, _, reason in CASES if reason}


def test_an_unknown_outcome_is_never_what_retry_policies_repeat() -> None:
    rows = [row for row in errors.TABLE if row.error is OutcomeUnknownError]
    assert [row.code for row in rows] == [grpc.StatusCode.ABORTED]
    assert all(
        row.error is OutcomeUnknownError for row in errors.TABLE if row.code.name == "ABORTED"
    )


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNKNOWN"])
def test_a_failure_without_a_reason_of_ours_says_nothing_of_the_outcome(code: str) -> None:
    status = status_pb2.Status(code=getattr(grpc.StatusCode, code).value[0], message="gone")
    assert isinstance(errors.from_status(status), OutcomeUnknownError)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("UNIMPLEMENTED", GiveUpError),
        ("INTERNAL", BugError),
        ("RESOURCE_EXHAUSTED", OverloadedError),
        ("NOT_FOUND", NotFoundError),
        ("INVALID_ARGUMENT", GiveUpError),
    ],
)
def test_codes_of_others(code: str, kind: type[BecketError]) -> None:
    status = status_pb2.Status(code=getattr(grpc.StatusCode, code).value[0], message="so")
    assert type(errors.from_status(status)) is kind


def test_a_status_that_was_made_elsewhere_goes_out_as_it_is() -> None:
    status = status_pb2.Status(code=5, message="as it was")
    assert errors.to_status(errors.StatusError(status)) is status


def test_a_reason_of_another_domain_is_not_ours() -> None:
    status = errors.to_status(NotAppliedError("no"))
    other = status_pb2.Status.FromString(
        status.SerializeToString().replace(b"becket.dev", b"basket.dev")
    )
    assert errors.reason_of(other) == ""


def test_wrong_member_names_whom_to_ask() -> None:
    named = errors.coordinator_of(errors.to_status(WrongMemberError(3, coordinator="d1")))
    assert named is not None
    assert named.epoch.disk_id == "d1"
    assert errors.coordinator_of(errors.to_status(WrongMemberError(3))) is None
    assert errors.coordinator_of(errors.to_status(NotFoundError("x"))) is None
