"""Is a key's history linearizable? A search in the manner of Wing and Gong, with memory.

Owns the search through whole, short histories: it knows lists of operations, values that expire
and relaxed reads. A long history is judged as it grows, by ``stream``. Unknown outcomes stay open
for ever: they may take effect at any later moment, or never.

The search gives up after ``LIMIT`` states and says so; keep histories short per key.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from becket.core.histories.entries import Entry
from becket.core.histories.register import ABSENT, Register, apply
from becket.core.replication.cells import Kind, Verdict

LIMIT = 60_000


class Judgement(Enum):
    """What the search found."""

    LINEARIZABLE = "linearizable"
    VIOLATION = "violation"
    UNDECIDED = "undecided"


def judge(entries: Sequence[Entry]) -> Judgement:
    """Whether some order explains every definite answer of one key's entries.

    Relaxed reads are judged one by one: each must fit somewhere between its bound before it
    began and its end, beside all linearizable operations.
    """
    strict = [entry for entry in entries if entry.staleness_us is None]
    judgement = _search(strict)
    if judgement is not Judgement.LINEARIZABLE:
        return judgement
    for entry in entries:
        if entry.staleness_us is not None:
            judgement = _judge_relaxed(strict, entry)
            if judgement is not Judgement.LINEARIZABLE:
                return judgement
    return Judgement.LINEARIZABLE


def _judge_relaxed(strict: list[Entry], entry: Entry) -> Judgement:
    assert entry.results is not None and entry.staleness_us is not None
    # R34: a write that has no outcome yet may show and later vanish (a retry may then put it
    # under another version); so nothing is learnt from a read beside it.
    beside = [
        operation
        for other in strict
        if other.began_us <= entry.began_us
        and (other.results is None or (other.ended_us or 0) > entry.began_us)
        for operation in other.operations
        if operation.kind is not Kind.GET
    ]
    shown = entry.results[0].value
    if any(operation.kind is not Kind.PUT or operation.value == shown for operation in beside):
        return Judgement.LINEARIZABLE
    expiring = any(operation.ttl_ms for other in strict for operation in other.operations)
    if entry.results[0].verdict is Verdict.ABSENT and expiring:
        return Judgement.LINEARIZABLE  # R33: a relaxed read may hide by its clock.
    early = Entry(
        entry.client,
        entry.key,
        entry.operations,
        entry.began_us - entry.staleness_us,
        entry.ended_us,
        entry.results,
    )
    return _search([*strict, early])


def _search(entries: Sequence[Entry]) -> Judgement:
    ordered = sorted(entries, key=lambda entry: entry.began_us)
    ends = [e.ended_us if e.results is not None else None for e in ordered]
    definite = sum(1 << i for i, end in enumerate(ends) if end is not None)
    seen: set[tuple[int, Register]] = set()
    stack: list[tuple[int, Register]] = [(0, ABSENT)]
    while stack:
        done, register = stack.pop()
        if done & definite == definite:
            return Judgement.LINEARIZABLE
        if len(seen) > LIMIT:
            return Judgement.UNDECIDED
        horizon = min(
            (end for i, end in enumerate(ends) if end is not None and not done >> i & 1),
            default=None,
        )
        for i, entry in enumerate(ordered):
            if done >> i & 1:
                continue
            if horizon is not None and entry.began_us > horizon:
                break
            for after in apply(register, entry.operations, entry.results):
                state = (done | 1 << i, after)
                if state not in seen:
                    seen.add(state)
                    stack.append(state)
    return Judgement.VIOLATION
