"""The tree of errors says what the caller may do next."""

from __future__ import annotations

import pytest

from becket.core import errors

BRANCHES = (
    errors.RetryNowError,
    errors.RetryLaterError,
    errors.RefreshRingError,
    errors.OutcomeUnknownError,
    errors.GiveUpError,
    errors.BugError,
)


def test_no_branch_is_part_of_another() -> None:
    for branch in BRANCHES:
        assert issubclass(branch, errors.BecketError)
        assert [b for b in BRANCHES if issubclass(branch, b)] == [branch]


def test_every_error_of_the_core_is_in_one_branch() -> None:
    found = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    for error in found:
        if error is not errors.BecketError:
            assert sum(issubclass(error, branch) for branch in BRANCHES) == 1, error


@pytest.mark.parametrize(
    "kind", [errors.InvalidInputError, errors.InvalidRingError, errors.EncodingError]
)
def test_bad_input_names_the_field_and_the_limit(kind: type[errors.InvalidInputError]) -> None:
    error = kind("configs[3].old", "it is empty")
    assert isinstance(error, errors.GiveUpError)
    assert (error.field, error.problem) == ("configs[3].old", "it is empty")
    assert str(error) == "configs[3].old: it is empty"


def test_retry_later_says_when() -> None:
    assert errors.RetryLaterError("busy", after_ms=40).after_ms == 40
    assert errors.RetryLaterError("busy").after_ms == 0
