"""The table of roles: every pair of role and event is either in it or refused with the story."""

from __future__ import annotations

import itertools
import runpy
from pathlib import Path

import pytest

from becket.core.replication.replica import Part
from becket.core.replication.roles import (
    TRANSITIONS,
    Event,
    IllegalTransitionError,
    Role,
    advance,
)
from becket.core.replication.seats import Seat
from becket.core.replication.store import EMPTY
from tests.unit.core.replication.stage import interpreted


@pytest.mark.parametrize(("role", "event"), list(itertools.product(Role, Event)))
def test_every_pair(role: Role, event: Event) -> None:
    if event in TRANSITIONS[role]:
        assert advance(role, event, "") is TRANSITIONS[role][event]
    else:
        with pytest.raises(IllegalTransitionError, match="partition 3 was quiet"):
            advance(role, event, "partition 3 was quiet")


def test_r24_no_way_back_into_coordinating_but_through_a_new_promise() -> None:
    ways = {
        (role, e) for role in Role for e, to in TRANSITIONS[role].items() if to is Role.COORDINATING
    }
    assert ways == {(Role.PREPARING, Event.PROMISED)}


def test_r6_every_role_ends_when_a_generation_is_adopted() -> None:
    assert {TRANSITIONS[role][Event.ADOPTED] for role in Role} == {Role.FOLLOWER}


def test_every_role_is_reached_and_left() -> None:
    reached = {to for events in TRANSITIONS.values() for to in events.values()}
    assert reached == set(Role)
    assert all(set(events.values()) - {role} for role, events in TRANSITIONS.items())


def test_a_seat_keeps_its_story() -> None:
    stirred: list[Seat] = []
    seat = Seat(Part(3, EMPTY, 0), stirred.append)
    seat.advance(Event.SILENCE)
    assert stirred == [seat]
    with pytest.raises(IllegalTransitionError, match=r"partition 3: follower -> asking"):
        seat.advance(Event.DRAINED)


@interpreted
def test_the_picture_in_the_docs_is_drawn_from_the_table() -> None:
    path = Path(__file__).parents[4] / "docs" / "draw_roles.py"
    script = runpy.run_path(str(path))
    assert path.with_name("roles.md").read_text() == script["drawn"]()
