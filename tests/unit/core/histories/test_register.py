"""The model of one key, where the judges' tests do not reach."""

from __future__ import annotations

from becket.core.histories.entries import Entry, History
from becket.core.histories.register import ABSENT, Register, apply
from becket.core.replication.cells import Kind, Operation, Result, Verdict

INCREMENT = (Operation(Kind.INCREMENT, delta=1),)
FULL = Register(str(2**63 - 1).encode())


def test_a_counter_keeps_within_64_bits() -> None:
    assert apply(FULL, INCREMENT, (Result(Verdict.OUT_OF_RANGE),)) == [FULL]
    assert apply(FULL, INCREMENT, None) == [FULL]
    assert apply(ABSENT, INCREMENT, (Result(Verdict.OUT_OF_RANGE),)) == []


def test_a_text_is_no_counter() -> None:
    text = Register(b"text")
    assert apply(text, INCREMENT, (Result(Verdict.NOT_A_NUMBER),)) == [text]
    assert apply(text, INCREMENT, (Result(Verdict.DONE, None, b"1"),)) == []


def test_a_history_is_told_by_key_without_what_was_refused() -> None:
    entries = [
        Entry("a", b"k", INCREMENT, 0, 1, (Result(Verdict.DONE, None, b"1"),)),
        Entry("b", b"k", INCREMENT, 0),
        Entry("c", b"k", INCREMENT, 0, refused=True),
    ]
    history = History(entries)
    assert history.by_key() == {b"k": entries[:2]}
    assert (history.acknowledged, history.unknown) == (1, 1)
    assert str(entries[0]) == "[0.0..0.0] a increment +1 -> done 1"
