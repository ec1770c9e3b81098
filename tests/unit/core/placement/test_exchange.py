"""Single moves, chains where no single move is allowed, and circles that save copies."""

from __future__ import annotations

from becket.core.placement.chains import FAR, Freedom, Search, chosen, simple_circle
from becket.core.placement.exchange import fill, settle, shift
from becket.core.placement.holding import Holding
from becket.core.placement.shares import Layout

FLAT = Layout(weights=(1, 1, 1), node=(0, 1, 2), zone=(0, 0, 0), node_limit=1, zone_limit=2)
ZONED = Layout(
    weights=(1, 1, 1, 1), node=(0, 1, 2, 3), zone=(0, 0, 1, 1), node_limit=1, zone_limit=1
)


def holding(where: Layout, held: list[list[int]], before: list[list[int]] | None = None) -> Holding:
    """A state in which ``held`` lies, and ``before`` (or the same) lay before the change."""
    original = [0] * len(where.weights)
    for partition, places in enumerate(before or held):
        for place in places:
            original[place] |= 1 << partition
    everything = [(1 << len(held)) - 1] * len(where.weights)
    replicas = max(len(places) for places in before or held)
    nothing = [0] * len(where.weights)
    return Holding(where, held, replicas, original=original, allowed=everything, reluctant=nothing)


def test_a_zone_that_is_full_takes_only_from_itself() -> None:
    game = holding(ZONED, [[0, 2], [0, 3]])
    assert game.can_take(1, 0) == 0b11
    assert game.can_take(1, 2) == 0
    assert game.can_take(3, 2) == 0b01
    assert game.can_take(2, 2) == 0


def test_costs_count_the_copies_to_be_made() -> None:
    game = holding(FLAT, [[0, 1], [0, 2]])
    assert game.options(2, 0) == (1, 0b01)
    assert game.options(1, 2) == (1, 0b10)
    game.move(0, 2, 0)
    assert game.arrivals() == 1
    assert game.options(0, 2) == (-1, 0b01)
    assert game.cost(2, 0, 0) == -1
    assert game.options(1, 1) == (1, 0)


def test_vacancies_are_filled_within_the_limits() -> None:
    game = holding(ZONED, [[0], [2], [], [1]], [[0, 1], [2], [], [1]])
    assert fill(game, [1, 1, 2, 1]) == 0
    assert [sorted(places) for places in game.holders][3][0] == 1
    for places in game.holders:
        assert sorted(ZONED.zone[place] for place in places) == [0, 1]


def test_what_does_not_fit_is_told() -> None:
    game = holding(FLAT, [[0, 1], [0, 1]])
    assert shift(game, [1, 0, 0], [0, 1, 0]) == 1


def test_a_chain_is_found_where_no_single_move_is_allowed() -> None:
    """Zone 0 is to give to zone 1, but only partition 1 has room there, on another member."""
    where = Layout((1, 1, 1, 1), (0, 1, 2, 3), (0, 0, 1, 2), 1, 1)
    game = holding(where, [[0, 2], [1, 3]])
    assert shift(game, [1, 0, 0, 0], [0, 0, 1, 0]) == 0
    assert [sorted(places) for places in game.holders] == [[1, 2], [2, 3]]


def test_a_circle_that_saves_copies_is_carried_out() -> None:
    """Two partitions were swapped for nothing: settling swaps them back."""
    before = [[0], [1]]
    game = holding(FLAT, [[1], [0]], before)
    assert game.arrivals() == 2
    assert settle(game, [1, 1, 0], [1, 1, 0]) == [0, 0, 0]
    assert game.holders == before
    assert game.arrivals() == 0


def test_freedom_between_floor_and_ceiling_is_used() -> None:
    game = holding(FLAT, [[1], [1]], [[0], [1]])
    settle(game, [0, 1, 0], [1, 2, 0])
    assert game.holders == [[0], [1]]


def test_a_search_ends_at_a_circle_or_with_distances() -> None:
    game = holding(FLAT, [[1], [0]], [[0], [1]])
    circle = Search(game, [0] * len(game.masks), None).run()
    assert sorted(simple_circle(game, circle)) == [(0, 1, 1), (1, 0, 0)]
    settled = holding(FLAT, [[0], [1]])
    freedom = Freedom(more=(True,) * 4, fewer=(False,) * 4)
    search = Search(settled, [0, FAR, FAR, FAR], freedom)
    assert search.run() == []
    assert search.distance[2] == 1
    assert chosen(settled, search.chain_to(2)) == [(0, 2, 0)]
