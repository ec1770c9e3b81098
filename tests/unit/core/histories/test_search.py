"""The judge must know right from wrong: what some order explains, and what none does.

A helper writes one entry: client, operation, begin and end in ms, and what the client saw.
"""

from __future__ import annotations

import pytest

from becket.core.histories.entries import Entry
from becket.core.histories.search import Judgement, judge
from becket.core.replication.cells import Kind, Operation, Result, Verdict
from becket.core.replication.versions import Epoch, Version

KEY = b"k"
EPOCH = Epoch(1, "d1", 1)


def version(seq: int) -> Version:
    return Version(EPOCH, seq)


def entry(
    operation: Operation, span: tuple[int, int | None], result: Result | None = None
) -> Entry:
    """``result`` None: the outcome is unknown, for ever."""
    began, ended = span
    results = None if result is None else (result,)
    ended_us = None if result is None or ended is None else ended * 1000
    return Entry("c", KEY, (operation,), began * 1000, ended_us, results)


def put(value: str, span: tuple[int, int | None], seq: int = 0, **how: object) -> Entry:
    """A put that was acknowledged as ``seq``; unknown for seq 0."""
    operation = Operation(Kind.PUT, value.encode(), **how)  # type: ignore[arg-type]
    return entry(operation, span, Result(Verdict.DONE, version(seq)) if seq else None)


def failed(operation: Operation, span: tuple[int, int], seq: int | None) -> Entry:
    """A conditional put that found another version (None: nothing)."""
    found = version(seq) if seq is not None else None
    return entry(operation, span, Result(Verdict.CONDITION_FAILED, found))


def get(value: str | None, span: tuple[int, int], seq: int | None = None) -> Entry:
    """A get that saw a value, or nothing."""
    if value is None:
        return entry(Operation(Kind.GET), span, Result(Verdict.ABSENT))
    shown = version(seq) if seq is not None else None
    return entry(Operation(Kind.GET), span, Result(Verdict.DONE, shown, value.encode()))


def delete(span: tuple[int, int | None], verdict: Verdict | None = Verdict.DONE) -> Entry:
    """A delete; unknown without a verdict."""
    return entry(Operation(Kind.DELETE), span, Result(verdict) if verdict else None)


def increment(delta: int, span: tuple[int, int | None], after: int | None, seq: int = 9) -> Entry:
    """An increment that was told the sum; unknown without one."""
    operation = Operation(Kind.INCREMENT, delta=delta)
    if after is None:
        return entry(operation, span)
    return entry(operation, span, Result(Verdict.DONE, version(seq), str(after).encode()))


def bounded(value: str, span: tuple[int, int], staleness_ms: int) -> Entry:
    """A relaxed read that may be so much out of date."""
    read = get(value, span)
    read.staleness_us = staleness_ms * 1000
    return read


IF_1 = Operation(Kind.PUT, b"x", if_version=version(1))
IF_ABSENT = Operation(Kind.PUT, b"x", if_absent=True)

GOOD = {
    "nothing at all": [],
    "a put is read": [put("a", (0, 1), 1), get("a", (2, 3), 1)],
    "reads beside a put may see either": [
        put("a", (0, 1), 1),
        put("b", (2, 9), 2),
        get("b", (3, 4), 2),
        get("b", (5, 6), 2),
    ],
    "an unknown put took effect": [put("a", (0, None)), get("a", (5, 6), 1)],
    "an unknown put never did": [put("a", (0, None)), get(None, (5, 6))],
    "an unknown put took effect late": [
        put("a", (0, None)),
        get(None, (5, 6)),
        get("a", (7, 8), 1),
    ],
    "an unknown increment counted once": [
        increment(1, (0, None), None),
        increment(1, (5, 6), 2),
    ],
    "a condition on a version that an unknown put made": [
        put("a", (0, None)),
        put("b", (5, 6), 2, if_version=version(1)),
        get("b", (7, 8), 2),
    ],
    "a condition fails where the version is another": [
        put("a", (0, 1), 2),
        failed(IF_1, (2, 3), 2),
    ],
    "two puts at once if absent: one wins": [
        put("a", (0, 9), 1, if_absent=True),
        failed(IF_ABSENT, (0, 9), 1),
    ],
    "a value with a time to live goes": [
        put("a", (0, 1), 1, ttl_ms=5),
        get("a", (2, 3), 1),
        get(None, (4, 5)),
    ],
    "a delete finds nothing": [delete((0, 1), Verdict.ABSENT), put("a", (2, 3), 1)],
    "a relaxed read within its bound": [
        put("a", (0, 1), 1),
        put("b", (10, 11), 2),
        bounded("a", (15, 15), 10),
    ],
}

BAD = {
    "a lost update": [
        put("a", (0, 1), 1),
        put("b", (2, 3), 2, if_version=version(1)),
        put("c", (4, 5), 3, if_version=version(1)),
    ],
    "a lost write": [put("a", (0, 1), 1), get(None, (2, 3))],
    "a stale read": [put("a", (0, 1), 1), put("b", (2, 3), 2), get("a", (4, 5), 1)],
    "reads go back in time": [
        put("a", (0, 1), 1),
        put("b", (2, 20), 2),
        get("b", (3, 4), 2),
        get("a", (5, 6), 1),
    ],
    "an increment counted twice": [increment(1, (0, 1), 1), get("2", (2, 3))],
    "one unknown increment counted twice": [
        increment(1, (0, None), None),
        increment(1, (5, 6), 3),
    ],
    "an unknown put that vanishes after it was seen": [
        put("a", (0, 1), 1),
        put("b", (2, None)),
        get("b", (5, 6), 2),
        get("a", (7, 8), 1),
    ],
    "a value that nobody wrote": [put("a", (0, 1), 1), get("z", (2, 3))],
    "a deleted value comes back": [
        put("a", (0, 1), 1),
        delete((2, 3)),
        get("a", (4, 5), 1),
    ],
    "a value with a time to live comes back": [
        put("a", (0, 1), 1, ttl_ms=5),
        get(None, (2, 3)),
        get("a", (4, 5), 1),
    ],
    "absent without a time to live": [
        put("a", (0, 1), 1, ttl_ms=5),
        put("b", (2, 3), 2),
        get(None, (4, 5)),
    ],
    "two puts if absent both win": [
        put("a", (0, 9), 1, if_absent=True),
        put("b", (0, 9), 2, if_absent=True),
    ],
    "a condition fails although it holds": [put("a", (0, 1), 1), failed(IF_1, (2, 3), 1)],
    "one value under two versions": [
        put("a", (0, 1), 1),
        get("a", (2, 3), 1),
        get("a", (4, 5), 2),
    ],
    "a relaxed read beyond its bound": [
        put("a", (0, 1), 1),
        put("b", (10, 11), 2),
        bounded("a", (35, 35), 10),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_history_that_some_order_explains(name: str) -> None:
    assert judge(GOOD[name]) is Judgement.LINEARIZABLE


@pytest.mark.parametrize("name", BAD)
def test_history_that_no_order_explains(name: str) -> None:
    assert judge(BAD[name]) is Judgement.VIOLATION


def test_list_of_operations_happens_at_once_and_in_order() -> None:
    operations = (
        Operation(Kind.INCREMENT, delta=1),
        Operation(Kind.GET),
        Operation(Kind.INCREMENT, delta=1),
    )
    results = (
        Result(Verdict.DONE, version(1), b"1"),
        Result(Verdict.DONE, version(1), b"1"),
        Result(Verdict.DONE, version(2), b"2"),
    )
    whole = Entry("c", KEY, operations, 0, 1000, results)
    assert judge([whole, get("2", (2, 3), 2)]) is Judgement.LINEARIZABLE
    assert judge([whole, get("1", (2, 3), 1)]) is Judgement.VIOLATION


def test_search_that_takes_too_long_is_undecided_not_right() -> None:
    many = [increment(1 << n, (0, None), None) for n in range(17)]
    impossible = get("-1", (5, 6))
    assert judge([*many, impossible]) is Judgement.UNDECIDED


def test_relaxed_read_beside_an_open_write_teaches_nothing() -> None:
    """A retry may put the value under another version; the first attempt may vanish (R34)."""
    retried = put("a", (0, 20), 7)
    early = bounded("a", (5, 5), 0)
    assert judge([retried, get(None, (8, 9)), early]) is Judgement.LINEARIZABLE
