"""The transitions of PROTOCOL R2 and the joint quorum."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becket.core.errors import InvalidRingError
from becket.core.ring.config import Config, first_config

FIRST = first_config(("a", "b", "c"))


def test_the_first_config_is_final_at_generation_one() -> None:
    assert Config(1, ("a", "b", "c"), None, (("a", 1), ("b", 1), ("c", 1))) == FIRST
    assert not FIRST.is_joint
    assert FIRST.target == FIRST.members == ("a", "b", "c")


def test_r2_begin_gives_newcomers_the_new_generation() -> None:
    joint = FIRST.begin(("b", "c", "d"))
    assert joint == Config(
        2, ("a", "b", "c"), ("b", "c", "d"), (("a", 1), ("b", 1), ("c", 1), ("d", 2))
    )
    assert joint.newcomers == ("d",)
    assert joint.members == ("a", "b", "c", "d")
    assert joint.target == ("b", "c", "d")
    assert joint.member_set == {"a", "b", "c", "d"}


def test_r2_finish_keeps_since_of_those_who_stay() -> None:
    final = FIRST.begin(("b", "c", "d")).finish()
    assert final == Config(3, ("b", "c", "d"), None, (("b", 1), ("c", 1), ("d", 2)))


def test_r2_abandon_gives_the_old_members_under_a_new_generation() -> None:
    assert FIRST.begin(("d",)).abandon() == Config(3, FIRST.old, None, FIRST.since)


def test_r2_second_change_waits_for_final() -> None:
    with pytest.raises(InvalidRingError, match="waits for FINAL"):
        FIRST.begin(("d",)).begin(("a",))


def test_r2_only_a_joint_config_ends() -> None:
    for transition in (FIRST.finish, FIRST.abandon):
        with pytest.raises(InvalidRingError, match="no change is under way"):
            transition()


def test_r4_a_member_that_comes_back_joins_anew() -> None:
    without = FIRST.begin(("b", "c")).finish()
    again = without.begin(("a", "b", "c"))
    assert again.joined == {"b": 1, "c": 1, "a": 4}


@pytest.mark.parametrize(("new", "problem"), [((), "at least one"), (("a", "a"), "named twice")])
def test_impossible_replica_sets_are_refused(new: tuple[str, ...], problem: str) -> None:
    for call in (FIRST.begin, first_config):
        with pytest.raises(InvalidRingError, match=problem):
            call(new)


def test_a_joint_quorum_is_a_majority_of_both() -> None:
    joint = FIRST.begin(("c", "d", "e"))
    assert joint.quorum({"a", "c", "d"})
    assert joint.quorum({"b", "c", "e"})
    assert not joint.quorum({"a", "b", "c"})
    assert not joint.quorum({"c", "d", "e"})
    assert not joint.quorum({"a", "b", "x", "y"})


def test_half_is_no_majority() -> None:
    four = first_config(("a", "b", "c", "d"))
    assert not four.quorum({"a", "b"})
    assert four.quorum({"a", "b", "c"})


sets = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5, unique=True).map(tuple)


@given(sets, st.lists(st.tuples(st.booleans(), sets), max_size=8))
def test_invariant_6_every_transition_follows(
    start: tuple[str, ...], changes: list[tuple[bool, tuple[str, ...]]]
) -> None:
    config = first_config(start)
    for certified, new in changes:
        joint = config.begin(new)
        after = joint.finish() if certified else joint.abandon()
        assert joint.follows(config)
        assert after.follows(joint)
        assert not after.follows(config)
        assert not config.follows(joint)
        config = after


@given(sets, sets, st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")))
def test_two_quorums_of_one_config_meet(
    old: tuple[str, ...], new: tuple[str, ...], one: set[str], other: set[str]
) -> None:
    joint = first_config(old).begin(new)
    if joint.quorum(one) and joint.quorum(other):
        assert one & other & joint.old_set
        assert one & other & joint.new_set


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_what_covers_meets_every_quorum_and_nothing_less_does(size: int) -> None:
    disks = tuple("abcde"[:size])
    config = first_config(disks)
    subsets = [frozenset(s) for n in range(size + 1) for s in combinations(disks, n)]
    quorums = [subset for subset in subsets if config.quorum(subset)]
    for subset in subsets:
        assert config.covers(subset) == all(subset & quorum for quorum in quorums)
