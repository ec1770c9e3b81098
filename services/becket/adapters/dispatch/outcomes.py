"""What a result says of an attempt: one of three outcomes, and what may be done next (R29).

Owns the reading of statuses by the one table of ``becket.adapters.rpc.errors``. A condition that
does not hold is an answer like any other: the operation was executed. A status that says nothing of
the outcome counts as unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from google.rpc import status_pb2

from becket.adapters.rpc.errors import coordinator_of, detail, from_status, to_status
from becket.api.v1 import errors_pb2, types_pb2
from becket.api.v1 import key_value_pb2 as kv
from becket.core.errors import (
    AnswerFullError,
    BecketError,
    BugError,
    ConditionFailedError,
    CounterOverflowError,
    DiskFullError,
    GiveUpError,
    NotACounterError,
    OldNumberError,
    OutcomeUnknownError,
    OverloadedError,
    RetryLaterError,
    StaleStampError,
    WrongMemberError,
)
from becket.core.replication.cells import Outcome, Reason

_EXECUTED = (ConditionFailedError, NotACounterError, CounterOverflowError)
_REASONS: dict[type[BecketError], Reason] = {
    OverloadedError: Reason.OVERLOADED,
    OldNumberError: Reason.OLD_NUMBER,
    StaleStampError: Reason.STALE_STAMP,
}


class Told(NamedTuple):
    """What a status says of one attempt.

    ``is_final``: a definite no that no further attempt will change. ``after_us``: when the other
    side wants to be asked again, 0 where it did not say. ``is_crowded``: the answer did not fit
    into its message; it will, with less company.
    """

    outcome: Outcome
    reason: Reason = Reason.NONE
    is_final: bool = False
    is_crowded: bool = False
    after_us: int = 0
    coordinator: types_pb2.Coordinator | None = None
    status: status_pb2.Status | None = None


DONE = Told(Outcome.OK)
LOST = Told(Outcome.UNKNOWN)
"""No answer: it may or may not have been executed."""
UNSENT = Told(Outcome.NO)
"""It never left this process."""
CROWDED = Told(Outcome.UNKNOWN, is_crowded=True)
"""A call that was executed, or not, and whose results did not all fit into the message."""


def told_by(status: status_pb2.Status) -> Told:
    """What one status says of its attempt."""
    error = from_status(status)
    if isinstance(error, _EXECUTED):
        return DONE
    if isinstance(error, OutcomeUnknownError | BugError):
        return Told(Outcome.UNKNOWN, status=status)
    if isinstance(error, WrongMemberError):
        whom = coordinator_of(status)
        return Told(Outcome.NO, Reason.WRONG_MEMBER, coordinator=whom, status=status)
    if isinstance(error, DiskFullError | GiveUpError):
        return Told(Outcome.NO, is_final=True, status=status)
    if isinstance(error, AnswerFullError):
        return Told(Outcome.NO, is_crowded=True, status=status)
    after_us = error.after_ms * 1000 if isinstance(error, RetryLaterError) else 0
    reason = _REASONS.get(type(error), Reason.NONE)
    return Told(Outcome.NO, reason, after_us=after_us, status=status)


def stamps_of(results: Iterable[kv.Result]) -> list[types_pb2.Stamp]:
    """The stamps in the details of errors."""
    stamps = []
    for result in results:
        if result.HasField("status"):
            found = detail(result.status, errors_pb2.StampDetail)
            if found is not None and found.HasField("stamp"):
                stamps.append(found.stamp)
    return stamps


def told_by_all(results: list[kv.Result]) -> Told:
    """What the results of one call say together: they are executed together or not at all."""
    refused: Told | None = None
    crowded = False
    for result in results:
        if result.HasField("status"):
            told = told_by(result.status)
            if told.is_crowded:
                crowded = True
                continue
            if told.outcome is Outcome.UNKNOWN:
                return told
            if told.outcome is Outcome.NO:
                refused = refused or told
    if refused is None:
        return CROWDED if crowded else DONE
    if any(not result.HasField("status") for result in results):
        # Some operations of a call done and others refused: no member says so. Be careful.
        return Told(Outcome.UNKNOWN, status=refused.status)
    return refused


def failure(error: BecketError) -> kv.Result:
    """The result of an operation that has no answer."""
    return kv.Result(status=to_status(error))
