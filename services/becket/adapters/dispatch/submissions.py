"""One caller's list of operations, from its arrival to its results.

Owns the results as they come, in the order of the list, and the one future that the caller waits
for. Must not know where operations go. Invariants: a place is settled once, the first time counts;
when every place is settled, or the caller has gone, the submission is over and forgets everything.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from becket.api.v1 import key_value_pb2 as kv
from becket.core.replication.versions import Version

if TYPE_CHECKING:
    from becket.adapters.dispatch.calling import Calling

Results = list[kv.Result]
Write = kv.PutRequest | kv.DeleteRequest | kv.IncrementRequest

OPERATION_BYTES = 64
"""What an operation takes beside its key and its value: at most its ids and its stamp."""


class Submission:
    """A list of operations under way; ``room``: how many bytes of values its caller can take."""

    __slots__ = (
        "_on_over",
        "_room",
        "count",
        "deadline_us",
        "future",
        "left",
        "operations",
        "parts",
        "read_key",
        "results",
    )

    def __init__(
        self,
        operations: Sequence[kv.Operation],
        deadline_us: int,
        future: asyncio.Future[Results],
        on_over: Callable[[Submission], None],
        room: int = sys.maxsize,
    ) -> None:
        self.operations = operations
        self.read_key = b""
        """Where the list is one linearizable read, its key: nobody has to look for it."""
        self.deadline_us = deadline_us
        self.future = future
        self.results: list[kv.Result | None] = [None] * len(operations)
        self.count = self.left = len(operations)
        self.parts: list[Part] = []
        self._on_over = on_over
        self._room = room

    @property
    def is_over(self) -> bool:
        """Whether nothing is waited for any more."""
        return not self.left

    @property
    def is_full(self) -> bool:
        """Whether the values that have come are as many as the caller can take."""
        taken = 0
        for result in self.results:
            if result is not None and result.HasField("get"):
                taken += len(result.get.entry.value)
        return taken >= self._room

    def settle(self, place: int, result: kv.Result) -> None:
        """Take the result of one operation; any but the first one is dropped."""
        if self.left and self.results[place] is None:
            self.results[place] = result
            self.left -= 1
            if not self.left:
                self._end(self.results)

    def abandon(self) -> None:
        """The caller has gone: nothing is waited for."""
        if self.left:
            self.left = 0
            self._end(None)

    def _end(self, results: list[kv.Result | None] | None) -> None:
        self.results = []
        self.operations = ()
        self.parts = []
        if results is not None and not self.future.done():
            self.future.set_result(results)  # type: ignore[arg-type]  # no place is None now
        self._on_over(self)


class Part:
    """The operations of one submission that belong together: one key, one identity, list order.

    ``then`` is what must follow on the same key, in the order of the list, where one list names
    several identities for one key. ``alone``: it was refused in company and is to be tried by
    itself.
    """

    __slots__ = (
        "alone",
        "calling",
        "identity",
        "key",
        "operations",
        "partition",
        "places",
        "size",
        "submission",
        "then",
        "writes",
    )

    def __init__(
        self, submission: Submission, key: bytes, partition: int, identity: Identity | None
    ) -> None:
        self.submission = submission
        self.key = key
        self.partition = partition
        self.identity = identity
        self.places: list[int] = []
        self.operations: list[kv.Operation] = []
        self.writes: list[Write] = []
        """The writes among the operations, as they stand in them."""
        self.size = 0
        """About how many bytes the operations take in a message."""
        self.then: Part | None = None
        self.calling: Calling | None = None
        self.alone = False

    def add(self, place: int, operation: kv.Operation, write: Write | None) -> None:
        """Take one more operation; ``write`` is what it holds, None for a read."""
        self.places.append(place)
        self.operations.append(operation)
        self.size += OPERATION_BYTES + len(self.key)
        if write is not None:
            self.writes.append(write)
            if isinstance(write, kv.PutRequest):
                self.size += len(write.value)

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for its results."""
        submission = self.submission
        return not submission.left or submission.results[self.places[0]] is not None

    def settle(self, results: Sequence[kv.Result]) -> None:
        """Give the caller its results."""
        submission = self.submission
        if len(results) == 1:
            submission.settle(self.places[0], results[0])
            return
        for place, result in zip(self.places, results, strict=True):
            submission.settle(place, result)

    def fail(self, result: kv.Result) -> None:
        """Give the caller one result for all of its operations here."""
        for place in self.places:
            self.submission.settle(place, result)


class Identity:
    """What a caller says of itself in a write (R32): a request id, or an operation id of its own.

    ``number`` 0 stands for a request id: the stamp is the dispatcher's to choose.
    """

    __slots__ = ("number", "retry", "session", "stamp")

    def __init__(self, session: str, number: int, stamp: Version, *, retry: bool) -> None:
        self.session = session
        self.number = number
        self.stamp = stamp
        self.retry = retry
