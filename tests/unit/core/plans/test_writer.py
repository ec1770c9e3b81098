"""The discipline of R1: every (state, event) pair, and what is announced when."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from becket.core.errors import BugError
from becket.core.plans.wishes import Abandon, Begin, Certificate, Install
from becket.core.plans.writer import (
    Announce,
    CasConfirmed,
    CasConflict,
    CasLost,
    CompareAndSwap,
    Dropped,
    Effect,
    Event,
    NeedsRecovery,
    ObjectRead,
    ReadFailed,
    ReadObject,
    Refresh,
    TopologyWriter,
    Want,
    WriterState,
)
from tests.unit.core.ring.rings import turning_ring

RING = turning_ring()
NEW = ("disk-1", "disk-2", "disk-4")
BEGIN = Begin(0, 1, NEW)
BEGUN = BEGIN.apply(RING).succeeding(RING)
READ = ObjectRead(RING, "rv-1")


def writer(*events: Event) -> tuple[TopologyWriter, list[Effect]]:
    """A writer after these events, and the effects of the last one."""
    machine = TopologyWriter()
    effects: list[Effect] = []
    for event in events:
        effects = machine.handle(event)
    return machine, effects


PATHS: dict[WriterState, tuple[Event, ...]] = {
    WriterState.IDLE: (),
    WriterState.READING: (Want((BEGIN,)),),
    WriterState.WRITING: (Want((BEGIN,)), READ),
}
NEXT: dict[tuple[WriterState, type[Event]], WriterState] = {
    (WriterState.IDLE, Want): WriterState.READING,
    (WriterState.IDLE, Refresh): WriterState.READING,
    (WriterState.READING, Want): WriterState.READING,
    (WriterState.READING, Refresh): WriterState.READING,
    (WriterState.READING, ObjectRead): WriterState.WRITING,
    (WriterState.READING, ReadFailed): WriterState.READING,
    (WriterState.WRITING, Want): WriterState.WRITING,
    (WriterState.WRITING, Refresh): WriterState.WRITING,
    (WriterState.WRITING, CasConfirmed): WriterState.IDLE,
    (WriterState.WRITING, CasConflict): WriterState.READING,
    (WriterState.WRITING, CasLost): WriterState.READING,
}
EVENTS: tuple[Event, ...] = (
    Want((BEGIN,)),
    Refresh(),
    READ,
    ReadFailed(),
    CasConfirmed(),
    CasConflict(),
    CasLost(),
)


@pytest.mark.parametrize(("state", "event"), list(product(WriterState, EVENTS)))
def test_every_pair_of_state_and_event(state: WriterState, event: Event) -> None:
    machine, _ = writer(*PATHS[state])
    assert machine.state is state
    after = NEXT.get((state, type(event)))
    if after is None:
        with pytest.raises(BugError, match=f"{state.value}: {type(event).__name__}$"):
            machine.handle(event)
        assert machine.state is state
    else:
        machine.handle(event)
        assert machine.state is after


def test_r1_a_write_is_conditional_on_the_object_just_read() -> None:
    _, effects = writer(Want((BEGIN,)), READ)
    assert effects == [Announce(RING), CompareAndSwap("rv-1", BEGUN)]


def test_r1_nothing_is_announced_before_it_is_confirmed() -> None:
    machine, effects = writer(Want((BEGIN,)), READ)
    assert Announce(BEGUN) not in effects
    assert machine.announced == RING
    assert machine.handle(CasConfirmed()) == [Announce(BEGUN, (BEGIN,))]
    assert machine.announced == BEGUN


def test_r1_after_a_lost_reply_the_object_tells() -> None:
    machine, effects = writer(Want((BEGIN,)), READ, CasLost())
    assert effects == [ReadObject()]
    assert machine.handle(ObjectRead(BEGUN, "rv-2")) == [Announce(BEGUN, (BEGIN,))]
    assert (machine.state, machine.pending) == (WriterState.IDLE, [])


def test_r1_after_a_lost_reply_that_wrote_nothing_the_wish_is_tested_again() -> None:
    machine, _ = writer(Want((BEGIN,)), READ, CasLost())
    assert machine.handle(READ) == [CompareAndSwap("rv-1", BEGUN)]


def test_r1_after_a_conflict_every_wish_is_tested_on_the_new_object() -> None:
    certificate = Certificate(0, 2, (1, "d", 1), "disk-1")
    machine, _ = writer(Want((certificate, Begin(1, 1, NEW))), ObjectRead(BEGUN, "rv-2"))
    other = Abandon(0, 2).apply(BEGUN).succeeding(BEGUN)
    assert machine.handle(CasConflict()) == [ReadObject()]
    effects = machine.handle(ObjectRead(other, "rv-3"))
    dropped = [effect.discarded for effect in effects if isinstance(effect, Dropped)]
    assert [(d.wish, d.reason) for d in dropped] == [
        (certificate, "configs[0]: certified was 2, it has 3")
    ]
    expected = Begin(1, 1, NEW).apply(other).succeeding(other)
    assert effects[-1] == CompareAndSwap("rv-3", expected)


def test_wishes_that_come_during_a_write_wait_for_the_next_read() -> None:
    later = Begin(1, 1, NEW)
    machine, _ = writer(Want((BEGIN,)), READ)
    assert machine.handle(Want((later,))) == []
    assert machine.handle(CasConfirmed()) == [Announce(BEGUN, (BEGIN,)), ReadObject()]
    effects = machine.handle(ObjectRead(BEGUN, "rv-2"))
    assert effects == [CompareAndSwap("rv-2", later.apply(BEGUN).succeeding(BEGUN))]


def test_a_wish_that_fits_nothing_ends_the_round() -> None:
    machine, effects = writer(Want((Begin(0, 7, NEW),)), READ)
    assert [type(effect) for effect in effects] == [Announce, Dropped]
    assert (machine.state, machine.pending) == (WriterState.IDLE, [])


def test_a_read_that_fails_is_made_again_after_a_pause() -> None:
    _, effects = writer(Want((BEGIN,)), ReadFailed())
    assert effects == [ReadObject(again=True)]


def test_a_ring_is_announced_once() -> None:
    machine, effects = writer(Refresh(), READ)
    assert effects == [Announce(RING)]
    machine.handle(Refresh())
    assert machine.handle(READ) == []


def test_r1_an_object_that_went_back_is_not_written_nor_announced() -> None:
    machine, _ = writer(Refresh(), ObjectRead(BEGUN, "rv-2"), Want((Begin(1, 1, NEW),)))
    assert machine.handle(READ) == [NeedsRecovery(1, 2)]
    assert machine.announced == BEGUN
    machine.handle(Refresh())
    assert machine.handle(ObjectRead(None, None)) == [NeedsRecovery(0, 2)]


def test_r1_a_member_that_holds_a_newer_ring_stops_the_writer() -> None:
    machine, _ = writer(Want((BEGIN,)))
    machine.note_seen(5)
    assert machine.handle(READ) == [NeedsRecovery(1, 5)]
    assert machine.pending == [BEGIN]


def test_r1_a_restored_ring_goes_alone_and_to_the_letter() -> None:
    newest = replace(BEGUN, version=5)
    machine, _ = writer(Want((Begin(1, 1, NEW), Install(newest, 1))))
    machine.note_seen(5)
    assert machine.handle(READ) == [CompareAndSwap("rv-1", newest)]
    effects = machine.handle(CasConfirmed())
    assert effects == [Announce(newest, (Install(newest, 1),)), ReadObject()]
    effects = machine.handle(ObjectRead(newest, "rv-2"))
    assert effects == [CompareAndSwap("rv-2", Begin(1, 1, NEW).apply(newest).succeeding(newest))]


def test_the_first_ring_is_written_only_where_there_is_none() -> None:
    machine, effects = writer(Want((Install(RING, None),)), ObjectRead(None, None))
    assert effects == [CompareAndSwap(None, RING)]
    assert machine.handle(CasConfirmed()) == [Announce(RING, (Install(RING, None),))]
    again, effects = writer(Want((Install(RING, None),)), ObjectRead(BEGUN, "rv-2"))
    assert [type(effect) for effect in effects] == [Announce, Dropped]
    assert again.state is WriterState.IDLE
