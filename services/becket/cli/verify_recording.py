"""What the workers of a verification did and saw, judged while it grows.

Owns the account: counts, one judge for each key (``core.histories``), and what is still open. Must
not talk to a cluster. Invariants: an operation is counted once, when it ends; a key's judge goes
only as far as nothing is open that began earlier; what is held is bounded by what is open at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from becket.client import values
from becket.core.errors import (
    BecketError,
    ConditionFailedError,
    InvalidInputError,
    OutcomeUnknownError,
    RefreshRingError,
    RetryLaterError,
    RetryNowError,
)
from becket.core.histories.entries import Entry
from becket.core.histories.losses import LastWrites
from becket.core.histories.search import Judgement
from becket.core.histories.stream import KeyStream, Problem
from becket.core.replication.cells import Kind, Operation, Result, Verdict
from becket.core.replication.versions import Epoch, Version

_ADVANCE = 64
"""A key is judged when so many of its operations wait for it."""

_NUMBERS = re.compile("[0-9]+")
_REASONS = 20
"""So many different errors are told."""

_REFUSED = (RetryLaterError, RefreshRingError, RetryNowError)


class Found(NamedTuple):
    """A key whose history no order explains."""

    key: bytes
    problem: Problem


@dataclass
class Counts:
    """How many operations were begun, and how they ended. A refused one was not applied."""

    operations: int = 0
    acknowledged: int = 0
    unknown: int = 0
    refused: int = 0


class Recorder:
    """Takes every operation once it has ended. ``open`` before it is sent, ``close`` after."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.reasons: dict[str, int] = {}
        """The errors that operations ended with, and how often."""
        self._keys: dict[bytes, tuple[KeyStream, LastWrites]] = {}
        self._open: dict[int, int] = {}
        self._tokens = 0

    @property
    def keys(self) -> list[bytes]:
        """Every key that an operation had."""
        return sorted(self._keys)

    def open(self, now_us: int) -> int:
        """Something is about to be sent. Times must not go back from call to call."""
        self._tokens += 1
        self._open[self._tokens] = now_us
        return self._tokens

    def close(self, token: int, entries: list[Entry]) -> None:
        """It has ended, and so: entries that hold results, are refused, or are unknown."""
        counts = self.counts
        del self._open[token]
        # Tokens are in the order of their beginnings.
        oldest = next(iter(self._open.values()), None)
        counts.operations += len(entries)
        for entry in entries:
            if entry.refused:
                counts.refused += 1
                continue
            counts.unknown += entry.results is None
            counts.acknowledged += entry.results is not None
            stream, writes = self._of(entry.key)
            stream.add(entry)
            writes.add(entry)
        for entry in entries:
            stream = self._of(entry.key)[0]
            if stream.held >= _ADVANCE:
                stream.advance(oldest)

    def note(self, answer: object) -> None:
        """Remember an error, if it is one."""
        if isinstance(answer, BecketError) and not isinstance(answer, ConditionFailedError):
            reason = f"{type(answer).__name__}: {_NUMBERS.sub('N', str(answer))}"
            if reason in self.reasons or len(self.reasons) < _REASONS:
                self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def is_lost(self, key: bytes, last: Result) -> bool:
        """Whether a read that began after everything had ended lacks an acknowledged write."""
        return self._of(key)[1].is_lost(last)

    def finish(self) -> tuple[list[Found], list[bytes]]:
        """Judge to the end: keys with a violation, and keys that could not be decided."""
        found, undecided = [], []
        for key in self.keys:
            stream = self._keys[key][0]
            judgement = stream.advance()
            if stream.problem is not None:
                found.append(Found(key, stream.problem))
            elif judgement is Judgement.UNDECIDED:
                undecided.append(key)
        return found, undecided

    def _of(self, key: bytes) -> tuple[KeyStream, LastWrites]:
        found = self._keys.get(key)
        if found is None:
            found = self._keys[key] = KeyStream(), LastWrites()
        return found


def to_model(operation: values.Operation) -> Operation:
    """The operation as the judge knows it."""
    if isinstance(operation, values.Get):
        return Operation(Kind.GET)
    if isinstance(operation, values.Put):
        version = None if operation.if_version is None else opaque(operation.if_version)
        return Operation(
            Kind.PUT, operation.value, if_absent=operation.if_absent, if_version=version
        )
    if isinstance(operation, values.Delete):
        return Operation(Kind.DELETE)
    return Operation(Kind.INCREMENT, delta=operation.delta)


def opaque(version: bytes) -> Version:
    """A version that can only be compared, as clients compare it."""
    return Version(Epoch(0, version.hex(), 0), 0)


def ended(entry: Entry, answer: values.Answer | BecketError, now_us: int) -> Entry:
    """The entry with its outcome.

    :raises BecketError: it is an error that no correct call meets.
    """
    if isinstance(answer, ConditionFailedError):
        version = opaque(answer.version) if answer.version else None
        entry.results = (Result(Verdict.CONDITION_FAILED, version),)
    elif isinstance(answer, OutcomeUnknownError):
        return entry
    elif isinstance(answer, _REFUSED):
        entry.refused = True
    elif isinstance(answer, BecketError):
        raise answer
    else:
        entry.results = (_result(entry.operations[0].kind, answer),)
    entry.ended_us = now_us
    return entry


def _result(kind: Kind, answer: values.Answer) -> Result:
    if kind is Kind.GET:
        if not isinstance(answer, values.Entry):
            return Result(Verdict.ABSENT)
        return Result(Verdict.DONE, opaque(answer.version), answer.value)
    if kind is Kind.DELETE:
        return Result(Verdict.DONE if answer else Verdict.ABSENT)
    if kind is Kind.PUT and isinstance(answer, bytes):
        return Result(Verdict.DONE, opaque(answer))
    if kind is Kind.INCREMENT and isinstance(answer, int):
        return Result(Verdict.DONE, None, str(answer).encode())
    raise InvalidInputError("answer", f"{answer!r} is no answer to a {kind.name.lower()}")
