"""A tick looks at few seats, and at every seat where it would find something to do."""

from __future__ import annotations

import pytest

from becket.core.replication.lookout import Lookout
from becket.core.replication.messages import Accept
from tests.unit.core.replication.stage import Stage, interpreted, many, put

MANY = 40


def looked_at(stage: Stage, name: str, ms: int) -> int:
    """How many seats the ticks of this member look at in so much time."""
    lookout, total = stage.members[name]._lookout, 0
    assert isinstance(lookout, Lookout)
    due = lookout.due

    def counted() -> list[object]:
        nonlocal total
        found = due()
        total += len(found)
        return list(found)

    lookout.due = counted  # type: ignore[method-assign, assignment]
    stage.wait(ms)
    lookout.due = due  # type: ignore[method-assign]
    return total


@interpreted
def test_ticks_pass_over_nearly_all_seats_at_rest() -> None:
    stage = many(MANY)
    # A coordinator looks some three times a second: what it heard, its return, its sweep.
    assert 0 < looked_at(stage, "a", 1000) <= 4 * MANY
    assert looked_at(stage, "b", 1000) == looked_at(stage, "c", 1000) == 0


def test_a_seat_is_looked_at_until_it_has_nothing_more_to_do() -> None:
    stage = many(MANY)
    lookout = stage.members["a"]._lookout
    stage.hold = lambda _from, _to, message: isinstance(message, Accept)
    stage.send("a", put("v"))
    stage.wait(60)
    assert 0 in lookout.stirred
    stage.release_held()
    stage.wait(60)
    assert 0 not in lookout.stirred


def test_followers_are_looked_at_once_the_peer_that_vouches_for_them_is_silent() -> None:
    stage = many(MANY)
    stage.stop("a")
    stage.wait(2000)
    assert sum(len(member.reigns()) for member in stage.members.values()) == MANY


@interpreted
def test_the_reference_finds_a_seat_that_is_left_out() -> None:
    stage = many(MANY)
    stage.hold = lambda _from, _to, message: isinstance(message, Accept)
    stage.send("a", put("v"))
    stage.members["a"]._lookout.stirred.clear()
    with pytest.raises(AssertionError, match="a tick of a leaves out"):
        stage.wait(20)
