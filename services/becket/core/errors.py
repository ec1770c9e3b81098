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


class GiveUpError(BecketError):
    """The call can never succeed as it stands."""


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
