"""Errors, by what the caller may do next.

Every error of the core is one of these branches; adapters map a branch to a gRPC code and back,
in one table. An error that comes of bad input names the field and the limit.
"""

from __future__ import annotations


class BecketError(Exception):
    """Root of every error that Becket raises."""


class RetryNowError(BecketError):
    """Nothing was applied; the same call may be made again at once."""


class RetryLaterError(BecketError):
    """Nothing was applied; the same call may be made again after a pause."""

    def __init__(self, message: str, *, after_ms: int = 0) -> None:
        super().__init__(message)
        self.after_ms = after_ms


class RefreshRingError(BecketError):
    """Nothing was applied; the caller's ring is old: refresh it, then call again."""


class OutcomeUnknownError(BecketError):
    """The call may or may not have taken effect; repeat it only with its operation id."""


class NotAppliedError(RetryLaterError):
    """A definite no: nothing was applied, and never will be. ``causes`` says why, where known."""

    def __init__(self, message: str, *, after_ms: int = 0, causes: tuple[str, ...] = ()) -> None:
        super().__init__(message, after_ms=after_ms)
        self.causes = causes


class StaleStampError(NotAppliedError):
    """Refused by R30: the record that would tell of an earlier attempt may be gone."""


class OldNumberError(NotAppliedError):
    """Refused by R27: the session has executed a later operation on this key."""


class OverloadedError(RetryLaterError):
    """Too much is in flight; nothing was applied."""


class AnswerFullError(RetryNowError):
    """The answers before this one fill the message; nothing was done. Ask for fewer at once."""


class DiskFullError(RetryLaterError):
    """The disk is full: writes are refused, reads and deletes are served."""


class WrongMemberError(RefreshRingError):
    """This member cannot answer for the partition. ``coordinator`` is whom to ask, or empty."""

    def __init__(self, partition: int, *, ring_version: int = 0, coordinator: str = "") -> None:
        whom = coordinator or "another member"
        super().__init__(f"partition {partition} is served by {whom}")
        self.partition = partition
        self.ring_version = ring_version
        self.coordinator = coordinator


class GiveUpError(BecketError):
    """The call can never succeed as it stands."""


class ConditionFailedError(GiveUpError):
    """A condition did not hold. ``version`` is the key's present one, empty where it is absent."""

    def __init__(self, version: bytes = b"") -> None:
        now = "the key has another version" if version else "the key is absent"
        super().__init__(f"the condition does not hold: {now}")
        self.version = version


class NotACounterError(GiveUpError):
    """An increment met a value that is no counter; nothing was applied."""


class CounterOverflowError(GiveUpError):
    """An increment would leave the range of a signed 64-bit number; nothing was applied."""


class NotFoundError(GiveUpError):
    """There is nothing of that name."""


class FrozenError(RetryLaterError):
    """The supervisor has frozen ring changes; the message says why."""


class WrongClusterError(GiveUpError):
    """The other side belongs to another cluster, or is an older process of its disk."""


class InvalidInputError(GiveUpError):
    """An argument is out of its limits. ``field`` names it, ``problem`` names the limit."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class InvalidRingError(InvalidInputError):
    """A ring or a config that no correct planner makes."""


class EncodingError(InvalidInputError):
    """Bytes that cannot be read: damaged, or written by a newer version."""


class StalePlanError(InvalidInputError):
    """A plan that was made for another ring than the one at hand."""


class BugError(BecketError):
    """An impossible state was met; the message carries the story so far. Report it."""


def require(holds: bool, field: str, problem: str) -> None:
    """Raise InvalidInputError where a value or a relation of ``field`` does not hold."""
    if not holds:
        raise InvalidInputError(field, problem)
