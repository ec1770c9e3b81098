"""Cells: what a replica keeps of one key, and the records that make a retried write happen once.

Owns the shape of a cell, of an operation and of its result. Executing operations on a cell is
``registers``. Invariants: ``mod <= ver``; ``executed_at <= ver`` for each record (PROTOCOL
section 4, invariant 10).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple

from becket.core.replication.versions import Version


class Kind(IntEnum):
    """What an operation does to its key."""

    GET = 1
    PUT = 2
    DELETE = 3
    INCREMENT = 4


class Operation(NamedTuple):
    """One operation on one key.

    ``ttl_ms`` 0 means no expiry. ``if_version`` is a ``mod`` that the client was given; it and
    ``if_absent`` exclude each other (checked at the edge). ``delta`` is for increments, which
    keep the value as ASCII decimal digits within 64 signed bits.
    """

    kind: Kind
    value: bytes = b""
    ttl_ms: int = 0
    if_absent: bool = False
    if_version: Version | None = None
    delta: int = 0


class Verdict(IntEnum):
    """How an executed operation ended; each of them is a definite answer."""

    DONE = 1
    ABSENT = 2
    CONDITION_FAILED = 3
    NOT_A_NUMBER = 4
    OUT_OF_RANGE = 5


class Result(NamedTuple):
    """The answer to one operation; ``version`` is the key's ``mod`` after it, None when absent.

    ``value`` is set for gets and increments, ``expire_ms`` for gets (wall clock, 0 = never).
    """

    verdict: Verdict
    version: Version | None = None
    value: bytes | None = None
    expire_ms: int = 0


NOTHING: Final = Result(Verdict.ABSENT)
"""The answer of a get where there is no value."""


class Record(NamedTuple):
    """That a session's write was executed, and with which results (R27).

    ``executed_ms`` is the coordinator's wall clock; it only decides which records are kept.
    """

    session: str
    number: int
    results: tuple[Result, ...]
    executed_at: Version
    executed_ms: int


class Cell(NamedTuple):
    """One key at one replica; ``value`` None is a TOMBSTONE.

    ``ver`` is what the protocol compares, ``mod`` what clients see: re-writes raise ``ver`` and
    keep ``mod``. ``expire_ms`` is absolute wall time, 0 = never. ``rec_floor``: records executed
    at or below it may be gone (R31).
    """

    ver: Version
    mod: Version
    value: bytes | None
    expire_ms: int
    records: tuple[Record, ...]
    rec_floor: Version

    @property
    def is_tombstone(self) -> bool:
        """Whether it says that the key was deleted."""
        return self.value is None

    @property
    def head(self) -> Head:
        """What background work needs of it."""
        return Head(self.ver, self.is_tombstone, self.expire_ms, self.rec_floor)

    @property
    def shown(self) -> Result:
        """The answer of a get; a clock hides nothing (R33)."""
        if self.value is None:
            return NOTHING
        return Result(Verdict.DONE, self.mod, self.value, self.expire_ms)

    def rewritten(self, ver: Version) -> Cell:
        """The same content at a higher version (R13, R18, R21); ``mod`` stays."""
        return self._replace(ver=ver)


class Head(NamedTuple):
    """A cell without its content: what listing, sweeping and digests read of it."""

    ver: Version
    is_tombstone: bool
    expire_ms: int
    rec_floor: Version


class SealedCell:
    """A cell as its bytes, of which only the head has been read.

    All that a replica needs of a cell to keep it: reading its records costs several times as much,
    and only the key's coordinator ever looks at them.
    """

    __slots__ = ("_read", "data", "head", "rec_floor", "ver")

    def __init__(self, data: bytes, head: Head, read: Callable[[bytes], Cell]) -> None:
        self.data = data
        self.head = head
        self.ver = head.ver
        self.rec_floor = head.rec_floor
        self._read = read

    def opened(self) -> Cell:
        """All of it; raises EncodingError."""
        return self._read(self.data)


AnyCell = Cell | SealedCell


class Attempt(NamedTuple):
    """One attempt of a client at a list of operations on one key (R14a, R26).

    All writes of the list are one operation number. ``retry``: some earlier attempt did not end
    in ``no``. ``stamp`` belongs to the operation, not to the attempt (R30). ``deadline_us`` is
    on the member's monotonic clock. ``id`` is the caller's, echoed in the answer.
    """

    id: int
    partition: int
    key: bytes
    operations: tuple[Operation, ...]
    session: str
    number: int
    retry: bool
    stamp: Version
    deadline_us: int

    @property
    def is_read(self) -> bool:
        """Whether nothing in the list can change the key."""
        for operation in self.operations:  # noqa: SIM110 - a generator costs more than the test
            if operation.kind is not Kind.GET:
                return False
        return True


class Outcome(IntEnum):
    """The three outcomes, never blurred."""

    OK = 1
    NO = 2
    UNKNOWN = 3


class Reason(IntEnum):
    """Why an attempt ended in ``no`` (or unknown); what the caller may do next follows from it."""

    NONE = 0
    WRONG_MEMBER = 1
    STEPPED_DOWN = 2
    STALE_STAMP = 3
    OLD_NUMBER = 4
    DEADLINE = 5
    OVERLOADED = 6
    UNCONFIRMED = 7


class Answer(NamedTuple):
    """The answer to one attempt. ``stamp`` is the partition's highest version known here (R30).

    ``coordinator`` is whom to ask instead, where that is known; ``gen`` the generation known here.
    """

    id: int
    outcome: Outcome
    results: tuple[Result, ...]
    reason: Reason
    stamp: Version
    coordinator: str
    gen: int
