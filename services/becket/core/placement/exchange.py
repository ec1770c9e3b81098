"""Moving partitions from places with too many to places with too few, by the fewest moves.

Owns the order of the moves. Must not know names, weights or why. Used for copies, and again for
coordinators.

Theory: this is a minimum-cost flow. Every round sends one unit from a place with too many, or from
the vacancies, to one with too few. Almost always a chain of one move is there and is taken without
a search; otherwise the cheapest chain is. What that missed, ``settle`` finds: as long as some
circle of moves saves copies, it is carried out. When none is left, no placement within the limits
makes fewer copies.
"""

from __future__ import annotations

from collections.abc import Sequence

from becket.core.errors import BugError
from becket.core.placement.chains import FAR, Freedom, Moves, Search, chosen, simple_circle
from becket.core.placement.holding import Holding


def fill(game: Holding, room: list[int]) -> int:
    """Give every vacancy to a place with room; returns how many found none."""
    vacant = [0] * game.places + [mask.bit_count() for mask in game.masks[game.places :]]
    return _send(game, vacant, room)


def shift(game: Holding, surplus: Sequence[int], room: list[int]) -> int:
    """Move from places with a surplus to places with room, until either is used up.

    Both have one number a member. Returns the surplus left.
    """
    return _send(game, [*surplus, *([0] * (len(game.masks) - game.places))], room)


def settle(game: Holding, low: Sequence[int], high: Sequence[int]) -> list[int]:
    """Carry out circles that save copies until none is left; returns the prices of the places.

    ``low`` and ``high`` are the fewest and most partitions of each place. There must be no
    vacancies.
    """
    while True:
        counts = game.counts()
        vacancies = (False,) * (len(game.masks) - game.places)
        pairs = list(zip(counts[: game.places], low, high, strict=True))
        freedom = Freedom(
            more=(*(n < most for n, _, most in pairs), *vacancies),
            fewer=(*(n > least for n, least, _ in pairs), *vacancies),
        )
        search = Search(game, [0] * len(game.masks), freedom)
        circle = search.run()
        if not circle:
            hub = search.distance[-1]
            return [hub - distance for distance in search.distance[: game.places]]
        before = game.arrivals()
        _carry_out(game, simple_circle(game, circle))
        if game.arrivals() >= before:
            raise BugError(f"placement: a circle that saves nothing: {circle}")


def _send(game: Holding, surplus: list[int], room: list[int]) -> int:
    while sum(surplus) and sum(room):
        moves = _direct(game, surplus, room) or _cheapest_chain(game, surplus, room)
        if not moves:
            break
        _carry_out(game, moves)
        surplus[moves[0][0]] -= 1
        room[moves[-1][1]] -= 1
    return sum(surplus)


def _carry_out(game: Holding, moves: Moves) -> None:
    for giver, taker, partition in moves:
        game.move(giver, taker, partition)


def _direct(game: Holding, surplus: Sequence[int], room: Sequence[int]) -> Moves:
    """A chain of one move, between the largest surplus and the largest room that allow it."""
    takers = sorted((i for i, n in enumerate(room) if n), key=lambda i: (-room[i], i))
    # One layer of vacancies after the other: in turn, each member would serve always the same
    # layer, and two members of one layer would never share a partition.
    givers = sorted(
        (i for i, n in enumerate(surplus) if n),
        key=lambda i: (-surplus[i] if i < game.places else -FAR, i),
    )
    for giver in givers:
        for taker in takers:
            _, can = game.options(taker, giver)
            if can:
                return [(giver, taker, game.choose(taker, giver, can))]
    return []


def _cheapest_chain(game: Holding, surplus: Sequence[int], room: Sequence[int]) -> Moves:
    """The cheapest chain from any surplus to any room; circles on the way are carried out."""
    while True:
        search = Search(game, [0 if n else FAR for n in surplus], None)
        circle = search.run()
        if circle:
            _carry_out(game, simple_circle(game, circle))
            continue
        ends = [i for i, n in enumerate(room) if n and search.distance[i] < FAR]
        if not ends:
            return []
        end = min(ends, key=lambda i: (search.distance[i], i))
        return chosen(game, search.chain_to(end))
