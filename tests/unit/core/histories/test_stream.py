"""The judge of long histories: right and wrong as for the short one, and what only it does."""

from __future__ import annotations

import random

import pytest

from becket.core.errors import InvalidInputError
from becket.core.histories import unknowns
from becket.core.histories.entries import Entry
from becket.core.histories.search import Judgement
from becket.core.histories.stream import KeyStream, judge_long
from becket.core.replication.cells import Kind, Operation
from tests.unit.core.histories.test_search import (
    BAD,
    GOOD,
    bounded,
    delete,
    get,
    increment,
    put,
)


def is_for_stream(entries: list[Entry]) -> bool:
    return not any(
        entry.staleness_us is not None or any(operation.ttl_ms for operation in entry.operations)
        for entry in entries
    )


@pytest.mark.parametrize("name", [name for name in GOOD if is_for_stream(GOOD[name])])
def test_history_that_some_order_explains(name: str) -> None:
    assert judge_long(GOOD[name]).judgement is Judgement.LINEARIZABLE


@pytest.mark.parametrize("name", [name for name in BAD if is_for_stream(BAD[name])])
def test_history_that_no_order_explains(name: str) -> None:
    assert judge_long(BAD[name]).judgement is Judgement.VIOLATION


@pytest.mark.parametrize("entry", [bounded("a", (1, 2), 5), put("a", (1, 2), 1, ttl_ms=5)])
def test_what_it_does_not_know_is_refused(entry: Entry) -> None:
    with pytest.raises(InvalidInputError):
        KeyStream().add(entry)


def test_nothing_is_judged_that_an_open_operation_could_change() -> None:
    stream = KeyStream()
    stream.add(get("a", (5, 6), 1))
    # A put that began at 4 is still open.
    assert stream.advance(4_000) is Judgement.LINEARIZABLE
    assert stream.judged == 0
    stream.add(put("a", (4, 7), 1))
    assert stream.advance(8_000) is Judgement.LINEARIZABLE
    assert stream.judged == 2


def test_a_violation_is_told_with_what_surrounds_it() -> None:
    stale = get("a", (4, 5), 1)
    stream = judge_long([put("a", (0, 1), 1), put("b", (2, 3), 2), stale])
    problem = stream.problem
    assert problem is not None
    assert problem.stuck == (stale,)
    assert [register.value for register in problem.registers] == [b"b"]
    assert [entry.operations[0].value for entry in problem.before] == [b"a", b"b"]
    assert stream.held == 0


def test_after_a_violation_nothing_is_kept() -> None:
    stream = judge_long([get("a", (4, 5), 1)])
    stream.add(get("a", (6, 7), 1))
    stream.advance()
    assert (stream.held, stream.judgement) == (0, Judgement.VIOLATION)


def test_a_refused_operation_never_happened() -> None:
    never = put("a", (0, 1), 1)
    never.refused = True
    assert judge_long([never, get(None, (2, 3))]).judgement is Judgement.LINEARIZABLE


def test_a_search_that_takes_too_long_is_undecided_not_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unknowns, "CHAIN_LIMIT", 500)
    many = [increment(1 << n, (0, None), None) for n in range(17)]
    assert judge_long([*many, get("100000", (5, 6))]).judgement is Judgement.UNDECIDED


def test_a_counter_that_fell_is_seen_at_once_however_many_are_unknown() -> None:
    many = [increment(1 << n, (0, None), None) for n in range(40)]
    first = increment(5, (0, 1), 5)
    assert judge_long([*many, first, get("4", (5, 6))]).judgement is Judgement.VIOLATION
    assert judge_long([*many, first, get(None, (5, 6))]).judgement is Judgement.VIOLATION


def long_history(length: int, writers: int) -> list[Entry]:
    """Writers that take turns, each beside the one before and the one after it."""
    rng, found, value, seq = random.Random(7), [], "", 0
    for place in range(length):
        at = place * 10
        if rng.random() < 0.5 or not value:
            value, seq = f"v{place}", place + 1
            found.append(put(value, (at, at + 12 * (writers - 1)), seq))
        else:
            found.append(get(value, (at, at + 5), seq))
    return found


@pytest.mark.parametrize("writers", [1, 2])
def test_a_long_history_is_judged_with_little_memory(writers: int) -> None:
    entries = long_history(6_000, writers)
    stream = KeyStream()
    most = 0
    for place, entry in enumerate(entries):
        stream.add(entry)
        if place % 100 == 99:
            stream.advance(entry.began_us)
            most = max(most, stream.held)
    stream.advance()
    assert stream.judgement is Judgement.LINEARIZABLE
    assert stream.judged == 6_000
    assert most < 500


@pytest.mark.parametrize("planted", ["stale read", "lost write", "double increment"])
def test_what_is_planted_late_in_a_long_history_is_found(planted: str) -> None:
    entries = long_history(3_000, 1)
    at = 40_000
    if planted == "stale read":
        entries += [put("x", (at, at + 1), 9_001), get("v0", (at + 2, at + 3), 1)]
    elif planted == "lost write":
        entries += [put("x", (at, at + 1), 9_001), get(None, (at + 2, at + 3))]
    else:
        entries += [
            delete((at, at + 1)),
            increment(1, (at + 2, at + 3), 1),
            increment(1, (at + 4, at + 5), 3),
        ]
    stream = judge_long(entries)
    assert stream.judgement is Judgement.VIOLATION
    assert stream.judged >= 3_000


def test_many_unknown_writes_of_a_long_history_cost_little() -> None:
    entries = long_history(4_000, 1)
    entries += [put(f"u{place}", (place * 40, None)) for place in range(1_000)]
    entries.append(Entry("c", b"k", (Operation(Kind.GET),), 0))
    assert judge_long(entries).judgement is Judgement.LINEARIZABLE
