"""A client's side of an operation: attempts, stamps, and the one outcome (PROTOCOL R26-R30).

Owns what makes a retried write happen once: the number that the session gives it, the stamp that
belongs to it, and which answer counts. Used by the client library and by the router. Must not
know members or channels; the caller sends attempts and says when it has given one up.

Invariants: an operation has at most one open attempt, and an answer to any other is dropped
(R29); an operation ends as ``no`` only if all of its attempts did.
"""

from __future__ import annotations

from becket.core.errors import InvalidInputError
from becket.core.replication.cells import Answer, Attempt, Operation, Outcome, Reason, Result
from becket.core.replication.versions import ZERO, Version


class Call:
    """One operation (or one list of operations on one key) on its way to an outcome."""

    __slots__ = (
        "key",
        "number",
        "open_id",
        "operations",
        "outcome",
        "partition",
        "results",
        "stamp",
        "unsure",
    )

    def __init__(
        self, partition: int, key: bytes, operations: tuple[Operation, ...], number: int
    ) -> None:
        self.partition = partition
        self.key = key
        self.operations = operations
        self.number = number
        self.stamp: Version = ZERO
        self.open_id = 0
        self.unsure = False
        """Whether some attempt did not end in ``no``."""
        self.outcome: Outcome | None = None
        self.results: tuple[Result, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether the call has its outcome."""
        return self.outcome is not None


class Session:
    """One session: numbers that rise, and the highest stamp seen in each partition."""

    def __init__(self, session_id: str) -> None:
        self.id = session_id
        self._last_number = 0
        self._stamps: dict[int, Version] = {}
        self._open: set[bytes] = set()

    def begin(self, partition: int, key: bytes, operations: tuple[Operation, ...]) -> Call:
        """Start a call; a session has one open call a key, since records live in the cell (R26).

        Raises InvalidInputError when the key has one.
        """
        if key in self._open:
            raise InvalidInputError("key", f"{key!r} has an open call in this session")
        self._open.add(key)
        self._last_number += 1
        return Call(partition, key, operations, self._last_number)

    def attempt(self, call: Call, attempt_id: int, deadline_us: int) -> Attempt:
        """The next attempt; whatever answers an earlier one is dropped from now on."""
        if call.open_id:
            self.give_up(call)
        if not call.unsure:
            # R30: the stamp is the one sent in the first attempt that does not end in ``no``.
            call.stamp = self._stamps.get(call.partition, ZERO)
        call.open_id = attempt_id
        return Attempt(
            attempt_id,
            call.partition,
            call.key,
            call.operations,
            self.id,
            call.number,
            call.unsure,
            call.stamp,
            deadline_us,
        )

    def learn(self, partition: int, stamp: Version) -> None:
        """Take a stamp that an answer to somebody else has shown: a higher one is always safe."""
        self._stamps[partition] = max(self._stamps.get(partition, ZERO), stamp)

    def give_up(self, call: Call) -> None:
        """The open attempt got no answer in time: it may or may not have been executed."""
        call.open_id = 0
        call.unsure = True

    def answer(self, call: Call, answer: Answer) -> bool:
        """Take an answer; True when the call has its outcome, False when it may be tried again."""
        self.learn(call.partition, answer.stamp)
        if answer.id != call.open_id or call.is_over:
            return False  # R29: the answer of an attempt that was given up says nothing.
        call.open_id = 0
        if answer.outcome is Outcome.OK:
            call.results = answer.results
            self._end(call, Outcome.OK)
        elif answer.outcome is Outcome.UNKNOWN:
            call.unsure = True
        elif answer.reason is Reason.OLD_NUMBER or (
            answer.reason is Reason.STALE_STAMP and call.unsure
        ):
            # R30: the record that could tell may be gone; no further attempt can find out.
            self.stop(call)
        return call.is_over

    def stop(self, call: Call) -> Outcome:
        """End the call with what is known: ``no`` only if every attempt ended so (R29)."""
        if call.outcome is None:
            if call.open_id:
                self.give_up(call)
            self._end(call, Outcome.UNKNOWN if call.unsure else Outcome.NO)
        assert call.outcome is not None
        return call.outcome

    def _end(self, call: Call, outcome: Outcome) -> None:
        call.outcome = outcome
        self._open.discard(call.key)
