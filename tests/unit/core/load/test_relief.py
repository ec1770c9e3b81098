"""Coordinators that move off members in trouble, and back: who, how many, and when not."""

from __future__ import annotations

from collections import Counter

import pytest

from becket.core.errors import InvalidInputError
from becket.core.load.relief import Move, Relief, ReliefSettings, room_shares
from becket.core.load.weights import Load
from becket.core.ring.config import Disk
from becket.core.ring.ring import Ring
from tests.unit.core.ring.rings import turning_ring

SECOND = 1_000_000
SETTINGS = ReliefSettings(moves=3)
RING = turning_ring(count=5, partitions=40)
WELL = Load(2, 1000, 0.3)
SLOW = Load(20, 40_000, 0.9)


def loads(**others: Load) -> dict[Disk, Load]:
    """Five members that are well, but for those that are named (``disk_0``)."""
    found = dict.fromkeys((f"disk-{i}" for i in range(5)), WELL)
    return found | {name.replace("_", "-"): load for name, load in others.items()}


def moved(ring: Ring, moves: tuple[Move, ...]) -> Ring:
    """The ring when every move has been made."""
    configs = {}
    for move in moves:
        config = ring.configs[move.partition]
        assert config.gen == move.gen
        assert set(move.order) == set(config.old)
        configs[move.partition] = config.begin(move.order).finish()
    return ring.with_configs(configs)


def first(ring: Ring) -> Counter[Disk]:
    return Counter(config.old[0] for config in ring.configs)


def run(
    relief: Relief, ring: Ring, load: dict[Disk, Load], seconds: range
) -> tuple[Ring, list[int]]:
    """Rounds of a second each; the ring afterwards, and the seconds in which something moved."""
    times = []
    for second in seconds:
        found = relief.step(ring, load, {}, second * SECOND)
        assert len(found.moves) <= SETTINGS.moves
        if found.moves:
            times.append(second)
        ring = moved(ring, found.moves)
    return ring, times


def test_rooms_are_told_in_relation_to_the_median() -> None:
    quarter = Load(3, 4000, 0.5)
    assert room_shares({"a": Load(3, 1000, 0.5), "b": Load(3, 1000, 0.5), "c": quarter}) == {
        "a": 1.0,
        "b": 1.0,
        "c": 0.5,
    }


def test_a_member_in_trouble_gives_up_a_few_at_a_time_until_it_has_none() -> None:
    relief = Relief(SETTINGS)
    ring, times = run(relief, RING, loads(disk_0=SLOW), range(30))
    # Not before it has been in trouble for five seconds; then every two.
    assert times == [5, 7, 9]
    assert first(ring)["disk-0"] == 0
    # Its heirs are the other replicas, evenly.
    assert max(first(ring).values()) - min(first(ring)[f"disk-{i}"] for i in range(1, 5)) <= 4
    assert all(set(a.old) == set(b.old) for a, b in zip(RING.configs, ring.configs, strict=True))


def test_trouble_that_passes_moves_nothing() -> None:
    relief = Relief(SETTINGS)
    for second in range(60):
        load = loads(disk_0=SLOW) if second % 5 < 4 else loads()
        assert not relief.step(RING, load, {}, second * SECOND).moves


def test_who_is_quick_is_in_no_trouble_whatever_others_do() -> None:
    quick = {disk: Load(0, 100, 0.0) for disk in loads()} | {"disk-0": Load(9, 2900, 1.0)}
    assert run(Relief(SETTINGS), RING, quick, range(30))[1] == []


def test_what_is_the_load_of_all_moves_nothing() -> None:
    load = loads(disk_0=SLOW, disk_1=SLOW, disk_2=SLOW)
    assert run(Relief(SETTINGS), RING, load, range(30))[1] == []


def test_nothing_goes_to_who_lags_or_is_in_trouble_itself() -> None:
    relief = Relief(SETTINGS)
    load = loads(disk_0=SLOW, disk_1=SLOW)
    lagging = {partition: frozenset({"disk-2"}) for partition in range(40)}
    for second in range(10):
        found = relief.step(RING, load, lagging, second * SECOND)
        assert not {move.order[0] for move in found.moves} & {"disk-0", "disk-1", "disk-2"}


def test_nothing_begins_while_something_is_under_way() -> None:
    relief = Relief(SETTINGS)
    config = RING.configs[0]
    joint = RING.with_configs({0: config.begin((*config.old[1:], config.old[0]))})
    for second in range(30):
        assert not relief.step(joint, loads(disk_0=SLOW), {}, second * SECOND).moves
    assert set(relief.step(joint, loads(disk_0=SLOW), {}, 30 * SECOND).slow) == {"disk-0"}


def test_a_member_that_is_well_again_gets_its_share_back_and_then_there_is_peace() -> None:
    relief = Relief(SETTINGS)
    ring, _ = run(relief, RING, loads(disk_0=SLOW), range(30))
    ring, times = run(relief, ring, loads(), range(30, 300))
    assert times[0] == 90  # a minute after all were well
    assert times[-1] < 110
    assert first(ring)["disk-0"] == 8
    assert max(first(ring).values()) <= 9


def test_another_supervisor_gives_back_what_the_first_one_took() -> None:
    ring, _ = run(Relief(SETTINGS), RING, loads(disk_0=SLOW), range(30))
    ring, _ = run(Relief(SETTINGS), ring, loads(), range(100))
    assert first(ring)["disk-0"] == 8


def test_a_ring_as_the_planner_makes_it_is_left_alone() -> None:
    uneven = turning_ring(count=5, partitions=41)
    assert run(Relief(SETTINGS), uneven, loads(), range(200))[1] == []


def test_it_can_be_switched_off() -> None:
    relief = Relief(ReliefSettings(is_on=False))
    assert run(relief, RING, loads(disk_0=SLOW), range(30))[1] == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("slow_share", 0.0), ("well_share", 0.3), ("moves", 0), ("after_us", 0), ("pause_us", -1)],
)
def test_settings_name_the_field_that_is_wrong(field: str, value: float) -> None:
    with pytest.raises(InvalidInputError) as raised:
        ReliefSettings(**{field: value})  # type: ignore[arg-type]  # as from a file
    assert raised.value.field == field
