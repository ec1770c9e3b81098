"""Sentences: their weight, their identity, and names in place of disks."""

from __future__ import annotations

from becket.core.supervision.saying import Said, Topic, by_weight, named
from tests.unit.core.supervision.scenes import RING


def test_the_most_important_first_otherwise_as_they_were_said() -> None:
    said = [Said(Topic.PLAN, "p"), Said(Topic.MEMBER, "m"), Said(Topic.FREEZE, "f")]
    said.append(Said(Topic.MEMBER, "n"))
    assert [each.sentence for each in by_weight(said)] == ["f", "m", "n", "p"]


def test_a_sentence_stays_the_same_while_its_numbers_change() -> None:
    first = Said(Topic.MEMBER, "dead, 9 s left", key="dead")
    assert first.identity == Said(Topic.MEMBER, "dead, 8 s left", key="dead").identity
    assert first.identity != Said(Topic.PLAN, "dead, 9 s left", key="dead").identity


def test_disks_are_shown_by_the_names_of_their_members() -> None:
    assert named("observers disagree about disk-3", RING) == "observers disagree about m-3"
