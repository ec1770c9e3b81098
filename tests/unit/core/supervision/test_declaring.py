"""A person's word that a disk is gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from becket.core.errors import GiveUpError, NotFoundError
from becket.core.ring.members import Member, MemberState
from becket.core.supervision.declaring import declaration
from tests.unit.core.supervision.scenes import RING, seen_of, snapshot, without

SILENT = snapshot(seen=without(snapshot().seen, "m-4"))


@pytest.mark.parametrize("word", ["m-4", "disk-4"])
def test_a_dead_disk_may_be_declared_gone_and_the_risk_is_named(word: str) -> None:
    found = declaration(SILENT, word)
    assert found.member.disk == "disk-4"
    assert not found.is_awaited
    assert found.sentences[0] == "m-4 (disk disk-4) holds a copy of 9 of 16 partitions"
    assert any("made anew on the other members" in sentence for sentence in found.sentences)
    assert not any("no majority" in sentence for sentence in found.sentences)


def test_a_majority_that_depends_on_it_is_told() -> None:
    found = declaration(snapshot(seen=without(snapshot().seen, "m-4", "m-3")), "m-4")
    assert found.sentences[1].startswith("6 of these have no majority without it")


@pytest.mark.parametrize("seen", [snapshot().seen, without(snapshot().seen, "m-4")[:4]])
def test_a_disk_that_is_heard_is_not_gone(seen: tuple[object, ...]) -> None:
    shot = snapshot(seen=seen)
    if len(seen) == 4:
        shot = snapshot(seen=snapshot().seen[:4])  # heard by the others, not by the supervisor
    with pytest.raises(GiveUpError, match="m-4 is heard, so its disk is not gone"):
        declaration(shot, "m-4")


def test_nobody_knows_the_name() -> None:
    with pytest.raises(NotFoundError, match="ring version 1 names no 'm-9'"):
        declaration(SILENT, "m-9")
    with pytest.raises(NotFoundError, match="no ring is known"):
        declaration(snapshot(None, seen=()), "m-4")


def test_a_ring_that_waits_to_be_restored_waits_no_more_for_it() -> None:
    holders = tuple(replace(s, ring=RING) for s in without(tuple(seen_of(RING)), "m-4"))
    shot = replace(snapshot(None), seen=holders)
    found = declaration(shot, "m-4")
    assert found.is_awaited
    assert any("restored as version 1" in sentence for sentence in found.sentences)


def test_a_disk_that_was_given_up_is_told_to_be_so_and_its_successor_is_meant() -> None:
    old = Member("disk-x", "m-4", state=MemberState.GONE)
    ring = RING.with_members([*RING.members, old])
    assert declaration(snapshot(ring, seen=SILENT.seen), "m-4").member.disk == "disk-4"
    found = declaration(snapshot(ring, seen=SILENT.seen), "disk-x")
    assert found.is_given_up
    assert found.sentences == ("m-4 (disk disk-x) is given up already",)
