"""Each rule of a sound ring, with the field that its breach names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from becket.core.errors import InvalidRingError
from becket.core.ring.config import Config
from becket.core.ring.members import MemberCount
from becket.core.ring.ring import Ring
from becket.core.ring.validation import MAX_NUMBER, check_replica_count, validate
from tests.unit.core.ring.rings import turning_ring

Spoil = Callable[[Ring], Ring]


def config(gen: int, old: str, new: str | None, since: str) -> Spoil:
    """Replace the config of partition 1; letters stand for disks: ``"0 1"``, ``"0:1 1:1"``."""

    def names(text: str) -> tuple[str, ...]:
        return tuple(f"disk-{digit}" for digit in text.split())

    joined = tuple(
        (f"disk-{pair.split(':')[0]}", int(pair.split(":")[1])) for pair in since.split()
    )
    wrong = Config(gen, names(old), None if new is None else names(new), joined)
    return lambda ring: ring.with_configs({1: wrong})


def member(**fields: object) -> Spoil:
    return lambda ring: replace(
        ring,
        members=(replace(ring.members[0], **fields), *ring.members[1:]),  # type: ignore[arg-type]
    )


CASES: list[tuple[str, str, Spoil]] = [
    ("version", "0 is not in 1", lambda r: replace(r, version=0)),
    ("version", "is not in 1", lambda r: replace(r, version=MAX_NUMBER + 1)),
    ("leader_term", "-1 is not in 0", lambda r: replace(r, leader_term=-1)),
    ("member_count.wished", "not in", lambda r: replace(r, member_count=MemberCount(-1, 0))),
    ("member_count.chart", "not in", lambda r: replace(r, member_count=MemberCount(0, 9999))),
    ("cluster", "empty", lambda r: replace(r, cluster="")),
    ("partitions", "power of two", lambda r: replace(r, configs=r.configs[:3])),
    ("partitions", "power of two", lambda r: replace(r, configs=())),
    ("replicas", "0 is not in 1..15", lambda r: replace(r, replicas=0)),
    ("replicas", "need as many members, there are 5", lambda r: replace(r, replicas=6)),
    ("members", "not in 1", lambda r: replace(r, members=())),
    ("members", "order of name", lambda r: replace(r, members=r.members[::-1])),
    ("members[0].disk", "empty", member(disk="")),
    ("members[1].disk", "there twice", member(disk="disk-1")),
    ("members[0].name", "empty", member(name="")),
    ("members[0].name", "more than 253", member(name="n" * 254)),
    ("members[0].zone", "not UTF-8", member(zone="\ud800")),
    ("members[0].node", "more than 253", member(node="ä" * 127)),
    ("members[0].weight", "0 is not in 1..10000", member(weight=0)),
    ("members[0].weight", "10001 is not in", member(weight=10_001)),
    ("configs[1].gen", "0 is not in 1", config(0, "0", None, "0:1")),
    ("configs[1].old", "0 is not in 1..15", config(1, "", None, "")),
    ("configs[1].old", "two replicas on one member", config(1, "0 0", None, "0:1 0:1")),
    ("configs[1].old", "disk-9 is not a member", config(1, "0 9", None, "0:1 9:1")),
    ("configs[1].new", "two replicas on one member", config(2, "0", "1 1", "0:1 1:2")),
    ("configs[1].new", "disk-9 is not a member", config(2, "0", "9", "0:1 9:2")),
    ("configs[1].new", "0 is not in 1..15", config(2, "0", "", "0:1")),
    ("configs[1].gen", "at least generation 2", config(1, "0", "1", "0:1 1:1")),
    ("configs[1].since", "exactly the members", config(1, "0 1", None, "0:1")),
    ("configs[1].since", "exactly the members", config(1, "0 1", None, "1:1 0:1")),
    ("configs[1].since", "not in 1..3", config(3, "0 1", None, "0:1 1:4")),
    ("configs[1].since", "newcomer disk-1 has 2", config(3, "0", "1", "0:1 1:2")),
]


@pytest.mark.parametrize(("field", "problem", "spoil"), CASES)
def test_an_unsound_ring_names_the_field(field: str, problem: str, spoil: Spoil) -> None:
    with pytest.raises(InvalidRingError, match=problem) as caught:
        validate(spoil(turning_ring()))
    assert caught.value.field == field


def test_a_sound_ring_passes_unchanged() -> None:
    ring = turning_ring()
    assert validate(ring) is ring
    joint = ring.with_configs({2: ring.configs[2].begin(("disk-0", "disk-1", "disk-2"))})
    assert validate(joint) is joint


@pytest.mark.parametrize(("replicas", "members"), [(0, 3), (4, 3), (16, 20), (-1, 3)])
def test_impossible_replica_counts(replicas: int, members: int) -> None:
    with pytest.raises(InvalidRingError) as caught:
        check_replica_count(replicas, members)
    assert caught.value.field == "replicas"
