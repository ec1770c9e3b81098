"""A client's side of an operation (R26-R30)."""

from __future__ import annotations

import pytest

from becket.core.errors import InvalidInputError
from becket.core.replication.cells import Answer, Kind, Operation, Outcome, Reason, Result, Verdict
from becket.core.replication.versions import ZERO, Epoch, Version
from becket.core.sessions import Call, Session

PUT = (Operation(Kind.PUT, b"v"),)
DONE = (Result(Verdict.DONE),)


def at(seq: int) -> Version:
    """A stamp."""
    return Version(Epoch(1, "a", 1), seq)


def answer(number: int, outcome: Outcome, reason: Reason = Reason.NONE, seq: int = 0) -> Answer:
    """An answer to one attempt."""
    results = DONE if outcome is Outcome.OK else ()
    return Answer(number, outcome, results, reason, at(seq) if seq else ZERO, "", 1)


def begun() -> tuple[Session, Call]:
    """A session with one call."""
    session = Session("s")
    return session, session.begin(0, b"k", PUT)


def test_r26_numbers_rise_and_a_key_has_one_open_call() -> None:
    session, call = begun()
    with pytest.raises(InvalidInputError, match="key"):
        session.begin(0, b"k", PUT)
    assert session.begin(0, b"j", PUT).number > call.number
    session.attempt(call, 1, 0)
    session.answer(call, answer(1, Outcome.OK))
    assert session.begin(0, b"k", PUT).number == 3


def test_r26_retry_is_set_once_an_attempt_did_not_end_in_no() -> None:
    session, call = begun()
    assert not session.attempt(call, 1, 0).retry
    session.answer(call, answer(1, Outcome.NO))
    assert not session.attempt(call, 2, 0).retry
    session.give_up(call)
    assert session.attempt(call, 3, 0).retry


def test_r29_an_answer_to_an_abandoned_attempt_is_dropped() -> None:
    session, call = begun()
    session.attempt(call, 1, 0)
    session.give_up(call)
    session.attempt(call, 2, 0)
    assert not session.answer(call, answer(1, Outcome.OK))
    assert call.outcome is None
    assert session.answer(call, answer(2, Outcome.OK))
    assert call.outcome is Outcome.OK


def test_r29_no_only_if_every_attempt_ended_in_no() -> None:
    session, call = begun()
    session.attempt(call, 1, 0)
    session.answer(call, answer(1, Outcome.NO))
    assert session.stop(call) is Outcome.NO
    session, call = begun()
    session.attempt(call, 1, 0)
    session.answer(call, answer(1, Outcome.UNKNOWN))
    session.attempt(call, 2, 0)
    session.answer(call, answer(2, Outcome.NO))
    assert session.stop(call) is Outcome.UNKNOWN


def test_r30_the_stamp_is_that_of_the_first_attempt_that_was_not_refused() -> None:
    session, call = begun()
    assert session.attempt(call, 1, 0).stamp == ZERO
    session.answer(call, answer(1, Outcome.NO, seq=5))
    assert session.attempt(call, 2, 0).stamp == at(5)
    session.give_up(call)
    other = session.begin(0, b"j", PUT)
    session.attempt(other, 3, 0)
    session.answer(other, answer(3, Outcome.OK, seq=9))
    assert session.attempt(call, 4, 0).stamp == at(5), "other keys' answers teach it nothing"


def test_r30_a_retry_refused_by_its_stamp_ends_as_unknown() -> None:
    session, call = begun()
    session.attempt(call, 1, 0)
    session.give_up(call)
    session.attempt(call, 2, 0)
    assert session.answer(call, answer(2, Outcome.NO, Reason.STALE_STAMP))
    assert call.outcome is Outcome.UNKNOWN


def test_r30_a_fresh_call_refused_by_its_stamp_takes_a_new_one() -> None:
    session, call = begun()
    session.attempt(call, 1, 0)
    assert not session.answer(call, answer(1, Outcome.NO, Reason.STALE_STAMP, seq=4))
    assert session.attempt(call, 2, 0).stamp == at(4)


def test_an_answer_after_the_end_changes_nothing() -> None:
    session, call = begun()
    session.attempt(call, 1, 0)
    session.answer(call, answer(1, Outcome.OK))
    assert not session.answer(call, answer(1, Outcome.UNKNOWN))
    assert call.outcome is Outcome.OK
    assert session.stop(call) is Outcome.OK


def test_a_session_learns_stamps_of_others_and_never_forgets_a_higher_one() -> None:
    session = Session("s")
    higher, lower = at(5), at(4)
    session.learn(3, higher)
    session.learn(3, lower)
    call = session.begin(3, b"k", PUT)
    assert session.attempt(call, 1, 10).stamp == higher
