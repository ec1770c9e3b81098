"""What a command's exit code says, and the one table from errors to codes.

Owns the codes, which scripts rely on (docs/cli.md repeats the table and a test compares the two),
and what a person is told to do next. Invariant: 4 means that the outcome is unknown and nothing
else does; 3 means that nothing was changed.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from becket.core.errors import (
    AnswerFullError,
    BecketError,
    BugError,
    ConditionFailedError,
    DiskFullError,
    FrozenError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
    OverloadedError,
    WrongClusterError,
)


class Exit(IntEnum):
    """Exit codes; each has its meaning in ``MEANINGS``."""

    DONE = 0
    ABSENT = 1
    USAGE = 2
    NOT_DONE = 3
    UNKNOWN = 4
    CONDITION = 5
    UNREACHABLE = 6
    NOT_FOUND = 7
    NOT_RUNNING = 8
    BUG = 70
    INTERRUPTED = 130
    PIPE = 141


MEANINGS = {
    Exit.DONE: "done",
    Exit.ABSENT: ("`get`: the key is absent; `verify`: a promise was broken; `health`: not ready"),
    Exit.USAGE: "the command, an option, a value or a file is wrong; nothing was sent",
    Exit.NOT_DONE: (
        "definitely not done: nothing was changed, and nothing will be;"
        " `verify`: not everything could be judged"
    ),
    Exit.UNKNOWN: (
        "the outcome is unknown: it may or may not have taken effect;"
        " `--wait`: not done in time, it goes on"
    ),
    Exit.CONDITION: "`--if-absent` or `--if-version` does not hold; nothing was changed",
    Exit.UNREACHABLE: "nobody answers at the target",
    Exit.NOT_FOUND: "there is no member or plan of that name",
    Exit.NOT_RUNNING: "`up`: the cluster is up already, cannot be started, or does not get ready",
    Exit.BUG: "a bug of Becket",
    Exit.INTERRUPTED: "interrupted by Ctrl-C; a write that was under way has an unknown outcome",
    Exit.PIPE: "whoever read the output went away",
}


class UsageError(BecketError):
    """What was asked for makes no sense; the message says what would."""


class UnreachableError(BecketError):
    """Nobody answers at an address, or who answers is no Becket."""


class ApiAwayError(UnreachableError):
    """The Kubernetes API does not answer, or not to us."""


class UnfinishedError(BecketError):
    """What was asked for goes on, longer than somebody wanted to wait."""


class NotRunningError(BecketError):
    """A cluster on this machine is not in the state that a command needs."""


class Row(NamedTuple):
    """What one kind of error means to whoever called. ``advice`` may be empty."""

    error: type[BecketError]
    code: Exit
    advice: str = ""


# The first row that an error is an instance of counts: the special before the general.
TABLE = (
    Row(UsageError, Exit.USAGE),
    Row(InvalidInputError, Exit.USAGE),
    Row(
        ApiAwayError,
        Exit.UNREACHABLE,
        "see that KUBECONFIG and --context name the cluster that you mean",
    ),
    Row(
        UnreachableError,
        Exit.UNREACHABLE,
        "see that a cluster is up (becket up), and name its router by --target or BECKET_TARGET",
    ),
    Row(NotRunningError, Exit.NOT_RUNNING),
    Row(UnfinishedError, Exit.UNKNOWN, "it goes on; becket status says how far it is"),
    Row(NotFoundError, Exit.NOT_FOUND, "becket members and becket plan list say what there is"),
    Row(ConditionFailedError, Exit.CONDITION, "read the key again, then decide"),
    Row(
        OutcomeUnknownError,
        Exit.UNKNOWN,
        "it may or may not have taken effect: read the key before you do it again",
    ),
    Row(DiskFullError, Exit.NOT_DONE, "delete something, or give the members more space"),
    Row(AnswerFullError, Exit.NOT_DONE, "ask for fewer keys at once"),
    Row(OverloadedError, Exit.NOT_DONE, "wait a moment, then try again"),
    Row(FrozenError, Exit.NOT_DONE, "becket status says why ring changes are frozen"),
    Row(WrongClusterError, Exit.NOT_DONE, "see that --target names the cluster that you mean"),
    Row(BugError, Exit.BUG, "this is a bug: please report it, with the logs of the members"),
    Row(BecketError, Exit.NOT_DONE, "nothing was changed; becket status says how the cluster is"),
)


def row_of(error: BecketError) -> Row:
    """What this error means."""
    return next(row for row in TABLE if isinstance(error, row.error))


def worse(one: Exit, other: Exit) -> Exit:
    """Which of two outcomes of parts is the outcome of the whole: unknown before not done."""
    order = (Exit.DONE, Exit.CONDITION, Exit.NOT_DONE, Exit.UNREACHABLE, Exit.UNKNOWN)
    return max(one, other, key=order.index)
