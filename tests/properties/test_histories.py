"""The judges agree with one that tries every order, on thousands of small histories."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from becket.core.histories.entries import Entry
from becket.core.histories.search import Judgement, judge
from becket.core.histories.stream import KeyStream, judge_long
from tests.properties.history_making import (
    explains_by_force,
    falsify,
    make_history,
)

SEEDS = st.integers(0, 2**32)
TRUE = Judgement.LINEARIZABLE


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.integers(1, 5), st.booleans())
def test_the_judges_agree_with_one_that_tries_everything(
    seed: int, length: int, is_falsified: bool
) -> None:
    rng = random.Random(seed)
    entries = make_history(rng, length)
    if is_falsified:
        falsify(rng, entries)
    expected = explains_by_force(entries)
    assert expected or is_falsified
    assert (judge_long(entries).judgement is TRUE) == expected
    # The short one lets an unknown write have the version of an answered one, so it may miss this.
    assert judge(entries) is TRUE or not expected


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.integers(6, 25), st.booleans())
def test_both_judges_agree_on_longer_histories(seed: int, length: int, is_falsified: bool) -> None:
    rng = random.Random(seed)
    entries = make_history(rng, length, unknown=0.06)
    if is_falsified:
        falsify(rng, entries)
    judgement = judge(entries)
    found = judge_long(entries).judgement
    assert found is Judgement.VIOLATION or judgement is not Judgement.VIOLATION
    assert found is not Judgement.VIOLATION or is_falsified


# A condition held on a version whose write began later: whoever knew of that write saw it.
@example(seed=1524, is_falsified=True)
@settings(max_examples=60, deadline=None)
@given(SEEDS, st.booleans())
def test_it_does_not_matter_how_far_the_judge_is_let_go_meanwhile(
    seed: int, is_falsified: bool
) -> None:
    rng = random.Random(seed)
    entries = make_history(rng, 40)
    if is_falsified:
        falsify(rng, entries)
    stream = KeyStream()
    open_now = list(entries)
    ends = sorted(entries, key=end_seen)
    for ended in ends:
        open_now.remove(ended)
        stream.add(ended)
        if rng.random() < 0.5:
            # What has not begun by now begins later, so the oldest that has not ended bounds it.
            stream.advance(min((entry.began_us for entry in open_now), default=None))
    stream.advance()
    assert stream.judgement is judge_long(entries).judgement


def end_seen(entry: Entry) -> int:
    """When the recorder hears of it: an unknown outcome after some patience."""
    return entry.ended_us if entry.ended_us is not None else entry.began_us + 100


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_true_histories_of_any_length_are_found_true(seed: int) -> None:
    rng = random.Random(seed)
    stream = judge_long(make_history(rng, 400, unknown=0.01))
    assert stream.judgement is TRUE
    assert stream.held <= 600


def test_orders_of_time_are_drawn() -> None:
    entries = make_history(random.Random(1), 50)
    assert any(b.began_us < (a.ended_us or 0) for a, b in pairwise(entries))


def test_falsified_histories_are_wrong_often_enough_to_say_something() -> None:
    wrong = 0
    for seed in range(200):
        rng = random.Random(seed)
        entries = make_history(rng, 5)
        falsify(rng, entries)
        wrong += not explains_by_force(entries)
    assert 50 <= wrong <= 180
