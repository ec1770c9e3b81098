"""How many members there should be, where they are, and how many pods run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from becket.core.plans.wishes import PutMember, SetWishes
from becket.core.ring.config import first_config
from becket.core.ring.members import Member, MemberCount, MemberState
from becket.core.ring.ring import Ring
from becket.core.supervision.counting import (
    can_join,
    count_changes,
    count_in_force,
    scale_wish,
    wished_places,
)
from becket.core.supervision.pods import PlatformView
from becket.core.supervision.snapshot import Seen, Wished
from tests.unit.core.supervision.pods import changed, on_platform, view_of
from tests.unit.core.supervision.scenes import RING, snapshot

# The ring's own count is five, and five is what its chart said last.
VIEW = view_of()


def counted(wished: int, chart: int) -> Ring:
    return replace(RING, member_count=MemberCount(wished, chart))


@pytest.mark.parametrize(
    ("ring", "chart", "count"),
    [
        (None, 4, 4),  # before there is a ring the chart's value
        (None, None, None),
        (counted(0, 0), 4, 4),
        (counted(7, 5), 5, 7),  # the count that was asked for since
        (counted(7, 5), 6, 7),  # until the new value has replaced it in the ring
        (counted(7, 5), None, 7),
    ],
)
def test_the_count_in_force(ring: Ring | None, chart: int | None, count: int | None) -> None:
    assert count_in_force(ring, replace(VIEW, chart_count=chart)) == count


def test_an_unchanged_value_of_the_chart_changes_nothing() -> None:
    asked = counted(7, 5)
    assert count_changes(asked, VIEW).wishes == ()
    assert count_changes(asked, replace(VIEW, chart_count=None)).wishes == ()


def test_a_changed_value_of_the_chart_replaces_the_count() -> None:
    found = count_changes(counted(7, 5), replace(VIEW, chart_count=6))
    assert found.wishes == (SetWishes(member_count=MemberCount(6, 6)),)
    assert found.said[0].sentence == "the chart asks for 6 members, 7 were before"


def test_the_first_value_of_the_chart_is_taken() -> None:
    found = count_changes(counted(0, 0), VIEW)
    assert found.wishes == (SetWishes(member_count=MemberCount(5, 5)),)


@pytest.mark.parametrize("chart", [0, 2, 5000])
def test_an_impossible_value_of_the_chart_is_held_back_and_told(chart: int) -> None:
    found = count_changes(counted(5, 5), replace(VIEW, chart_count=chart))
    assert found.wishes == ()
    (said,) = found.said
    assert said.is_warning
    assert said.sentence.startswith(f"the chart asks for {chart} members, 3 copies need 3 to")
    assert said.sentence.endswith("it stays at 5")


def test_a_larger_count_takes_back_the_drains_of_the_smaller_one_in_the_same_write() -> None:
    draining = [
        replace(m, state=MemberState.DRAINING) if m.name in ("m-1", "m-3", "m-4") else m
        for m in RING.members
    ]
    ring = replace(RING.with_members(draining), member_count=MemberCount(3, 3))
    found = count_changes(ring, replace(VIEW, chart_count=4))
    # m-1 was drained by a person, m-4 is still above the count.
    assert found.wishes == (
        SetWishes(member_count=MemberCount(4, 4)),
        PutMember(RING.by_disk["disk-3"]),
    )


# Places


def test_places_are_where_the_pods_are() -> None:
    moved = changed(VIEW, "m-2", node="node-9", zone="z7")
    places = wished_places(RING, moved)
    assert [place.name for place in places] == [f"m-{i}" for i in range(5)]
    assert places[2] == Wished("m-2", "z7", "node-9")


def test_what_cannot_be_read_now_moves_nobody() -> None:
    ring = RING.with_members([replace(m, zone="z3", weight=7) for m in RING.members])
    without = replace(VIEW, pods=VIEW.pods[1:])
    blind = changed(without, "m-1", zone=None)
    places = wished_places(ring, blind)
    assert places[0] == Wished("m-0", "z3", "node-0", 7)
    assert places[1] == Wished("m-1", "z3", "node-1", 7)
    assert places[2] == Wished("m-2", "z0", "node-2", 7)
    assert wished_places(None, replace(without, chart_count=1)) == (Wished("m-0"),)


def test_where_nobody_says_how_many_the_ring_names_them() -> None:
    unknown = replace(VIEW, chart_count=None)
    assert len(wished_places(counted(0, 0), unknown)) == 5
    assert wished_places(None, unknown) == ()


def test_a_pod_that_is_about_to_go_joins_nothing() -> None:
    assert can_join("m-4", VIEW)
    assert not can_join("m-4", changed(VIEW, "m-4", is_terminating=True))
    assert not can_join("m-4", changed(VIEW, "m-4", zone=None))
    assert not can_join("m-4", replace(VIEW, scale=4))
    assert not can_join("m-4", replace(VIEW, sinking=3))
    assert can_join("m-2", replace(VIEW, sinking=3))
    assert not can_join("m-9", VIEW)


@pytest.mark.parametrize("name", ["m-", "m-01", "m-x", "other-1", "m-1-2"])
def test_names_that_no_pod_of_the_set_can_have(name: str) -> None:
    assert VIEW.ordinal_of(name) is None


# The scale


def scaled(ring: Ring | None, view: PlatformView, **changes: object) -> int | None:
    return scale_wish(snapshot(ring, platform=view, **changes), view).count


def of_three() -> Ring:
    """A ring that has let go of the members above three."""
    three = [m for m in RING.members if m.name in ("m-0", "m-1", "m-2")]
    kept = first_config(("disk-0", "disk-1", "disk-2"))
    configs = dict.fromkeys(range(RING.partitions), kept)
    return replace(RING.with_configs(configs).with_members(three), member_count=MemberCount(3, 5))


def test_the_scale_goes_up_at_once() -> None:
    assert scaled(counted(7, 5), VIEW) == 7
    assert scaled(None, replace(VIEW, scale=1, chart_count=3), confirmed=None) == 3
    assert scaled(counted(5, 5), VIEW) is None
    assert scaled(counted(5, 5), replace(VIEW, scale=None)) is None


def test_the_scale_goes_down_when_the_confirmed_ring_has_let_go() -> None:
    smaller = replace(counted(3, 5))
    found = scale_wish(snapshot(smaller, platform=VIEW), VIEW)
    assert found.count is None
    assert [said.sentence for said in found.said] == [
        "the scale to 3 pods waits for m-4: it still has a part in 9 partitions",
        "the scale to 3 pods waits for m-3: it still has a part in 9 partitions",
    ]
    let_go = of_three()
    assert scaled(let_go, VIEW) == 3
    assert scaled(let_go, VIEW, confirmed=RING) is None, "what was read is not confirmed yet"


def test_a_member_that_holds_nothing_but_is_named_keeps_its_pod() -> None:
    ring = of_three()
    ring = ring.with_members(
        [*ring.members, replace(RING.by_disk["disk-3"], state=MemberState.DRAINING)]
    )
    assert scaled(ring, VIEW) == 4
    (said,) = scale_wish(snapshot(ring, platform=VIEW), VIEW).said
    assert said.sentence == "the scale to 3 pods waits for m-3: the ring still names it"


def test_a_wish_that_goes_up_again_is_followed_at_once() -> None:
    again = replace(of_three(), member_count=MemberCount(5, 5))
    assert scaled(again, replace(VIEW, scale=3)) == 5


def test_without_a_ring_nothing_is_scaled_down_and_members_of_the_highest_ring_run() -> None:
    three = replace(VIEW, chart_count=3)
    assert scaled(None, three, confirmed=None) is None
    holder = Seen("m-0", "disk-0", cluster="test", ring_version=1, ring=RING)
    few = replace(VIEW, chart_count=3, scale=3)
    assert scaled(None, few, confirmed=None, seen=(holder,)) == 5
    assert scaled(None, replace(few, chart_count=None), confirmed=None, seen=(holder,)) == 5


def test_a_member_given_up_above_the_count_is_waited_for_until_it_is_forgotten() -> None:
    ring = of_three()
    gone = Member("disk-4", "m-4", state=MemberState.GONE)
    assert scaled(ring.with_members([*ring.members, gone]), VIEW) is None


def test_a_snapshot_on_a_platform_starts_well() -> None:
    shot = on_platform()
    assert scale_wish(shot, VIEW).count is None
