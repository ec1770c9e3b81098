"""Is an acknowledged write lost? What a key's last read must show, whatever else was judged.

Owns the account of the writes that may be a key's last one. It is kept beside the search for an
order (``stream``), which ends at the first violation or where it cannot decide; this check never
ends. A key holds values or a counter, not both by turns. Invariant: what is kept is bounded by the
writes that overlapped and by those without an outcome.
"""

from __future__ import annotations

from becket.core.histories.entries import Entry
from becket.core.replication.cells import Kind, Result, Verdict

_NEVER = 1 << 62
_PRUNE = 64


class LastWrites:
    """Which values may stand on one key when all is quiet. Entries are single operations."""

    def __init__(self) -> None:
        self.acknowledged = 0
        """How many writes were acknowledged."""
        self._ends: dict[bytes | None, int] = {None: -1}
        """When the write of this value (None: a delete) ended."""
        self._latest_began = -1
        self._least_sum = 0
        self._counts = False

    def add(self, entry: Entry) -> None:
        """Take an entry that has ended."""
        operation = entry.operations[0]
        if entry.refused or operation.kind is Kind.GET:
            return
        result = entry.results[0] if entry.results is not None else None
        if result is not None and result.verdict is not Verdict.DONE:
            return  # It changed nothing.
        if operation.kind is Kind.INCREMENT:
            self._counts = True
            if result is not None:
                self.acknowledged += 1
                self._least_sum += operation.delta
            elif operation.delta < 0:
                self._least_sum += operation.delta
            return
        value = operation.value if operation.kind is Kind.PUT else None
        ended = _NEVER if result is None or entry.ended_us is None else entry.ended_us
        self._ends[value] = max(self._ends.get(value, -1), ended)
        if result is not None:
            self.acknowledged += 1
            self._latest_began = max(self._latest_began, entry.began_us)
        if len(self._ends) > _PRUNE:
            self._prune()

    def is_lost(self, last: Result) -> bool:
        """Whether this answer to a read, begun after all of them ended, lacks one of the writes."""
        if self._counts:
            try:
                return int(last.value or b"0") < self._least_sum
            except ValueError:
                return True
        # A write is over for good when another one began after its end.
        return self._ends.get(last.value, -2) < self._latest_began

    def _prune(self) -> None:
        latest = self._latest_began
        self._ends = {value: end for value, end in self._ends.items() if end >= latest}
