"""The account of a key's last writes: what may stand there when all is quiet."""

from __future__ import annotations

import pytest

from becket.core.histories.entries import Entry
from becket.core.histories.losses import LastWrites
from becket.core.replication.cells import Operation, Result, Verdict
from tests.unit.core.histories.test_search import (
    IF_1,
    delete,
    failed,
    get,
    increment,
    put,
)

NOTHING = Result(Verdict.ABSENT)


def shows(value: str) -> Result:
    return Result(Verdict.DONE, None, value.encode())


A, B = put("a", (0, 1), 1), put("b", (2, 3), 2)
CASES = {
    "nothing was written": ([], NOTHING, False),
    "the only write is gone": ([A], NOTHING, True),
    "the last write stands": ([A, B], shows("b"), False),
    "the one before it stands": ([A, B], shows("a"), True),
    "writes at once: either may stand": ([put("a", (0, 9), 1), B], shows("a"), False),
    "a delete stands": ([A, delete((2, 3))], NOTHING, False),
    "a deleted value came back": ([A, delete((2, 3))], shows("a"), True),
    "an unknown write stands": ([put("a", (0, None)), B], shows("a"), False),
    "an unknown write does not": ([A, put("u", (4, None))], shows("a"), False),
    "an unknown delete stands": ([A, delete((0, None), None)], NOTHING, False),
    "a value that nobody wrote": ([A], shows("z"), True),
    "a failed condition wrote nothing": ([A, failed(IF_1, (2, 3), 1)], shows("x"), True),
    "a read is no write": ([A, get("a", (5, 6), 1)], shows("a"), False),
    "a delete of nothing is none": ([A, delete((2, 3), Verdict.ABSENT)], NOTHING, True),
    "a counter holds all": ([increment(2, (0, 1), 2), increment(3, (2, 3), 5)], shows("5"), False),
    "a counter lacks one": ([increment(2, (0, 1), 2), increment(3, (2, 3), 5)], shows("3"), True),
    "a counter with an unknown one": (
        [increment(2, (0, 1), 2), increment(3, (2, None), None)],
        shows("2"),
        False,
    ),
    "an unknown one that may have subtracted": (
        [increment(2, (0, 1), 2), increment(-1, (2, None), None)],
        shows("1"),
        False,
    ),
    "a counter that is none": ([increment(2, (0, 1), 2)], shows("text"), True),
}


@pytest.mark.parametrize("name", CASES)
def test_last_read(name: str) -> None:
    entries, last, expected = CASES[name]
    writes = LastWrites()
    for entry in entries:
        writes.add(entry)
    assert writes.is_lost(last) is expected


def test_what_can_no_more_be_last_is_forgotten() -> None:
    writes = LastWrites()
    for place in range(1_000):
        writes.add(put(f"v{place}", (place * 2, place * 2 + 1), place + 1))
    assert writes.acknowledged == 1_000
    assert len(writes._ends) < 100
    assert writes.is_lost(shows("v998"))
    assert not writes.is_lost(shows("v999"))


def test_a_refused_write_is_none() -> None:
    never = Entry("c", b"k", (Operation(A.operations[0].kind, b"n"),), 5, refused=True)
    writes = LastWrites()
    writes.add(A)
    writes.add(never)
    assert not writes.is_lost(shows("a"))
    assert writes.is_lost(shows("n"))
