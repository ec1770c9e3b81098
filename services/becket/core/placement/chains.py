"""Chains of moves: the cheapest one to a place with room, and circles that save copies.

Owns the search over places (Bellman and Ford). Must not move anything: it returns chains.

Theory: an arc from x to y is "x gives y a partition", at the cost of ``Holding.options``. The *hub*
stands for the freedom between floor and ceiling of a share: a place below its ceiling may keep one
more (an arc to the hub), a place above its floor may give one up (an arc from it). A placement
makes the fewest copies exactly if no circle of arcs costs less than nothing; then the distances
found are *prices* that prove it (``bound``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from becket.core.errors import BugError
from becket.core.placement.holding import Holding

FAR = 1 << 30
"""The distance of a place that no chain has reached."""

Arc = tuple[int, int, int]
"""(giver, taker, the partitions of the lowest cost as bits; 0 where the hub is an end)."""

Moves = list[tuple[int, int, int]]
"""(giver, taker, partition)."""


@dataclass(frozen=True)
class Freedom:
    """Which places may keep one more, and which may give one up."""

    more: tuple[bool, ...]
    fewer: tuple[bool, ...]


class Search:
    """One search over a state that does not change meanwhile."""

    def __init__(self, game: Holding, start: Sequence[int], freedom: Freedom | None) -> None:
        self._game = game
        self._freedom = freedom
        self._hub = len(game.masks)
        self.distance = [*start, FAR if freedom is None else 0]
        self._came: list[Arc | None] = [None] * len(self.distance)
        self._known: dict[int, list[tuple[int, int, int]]] = {}

    def run(self) -> list[Arc]:
        """Find all distances; or stop at a circle that saves copies, and return it."""
        active = [i for i, far in enumerate(self.distance) if far < FAR]
        while active:
            reached: dict[int, None] = {}
            for giver in active:
                for taker, cost, can in self._arcs(giver):
                    distance = self.distance[giver] + cost
                    if distance < self.distance[taker]:
                        self.distance[taker] = distance
                        self._came[taker] = (giver, taker, can)
                        reached[taker] = None
            circle = self._circle(reached)
            if circle:
                return circle
            active = list(reached)
        return []

    def chain_to(self, end: int) -> list[Arc]:
        """The arcs by which ``end`` was reached."""
        arcs: list[Arc] = []
        arc = self._came[end]
        while arc is not None:
            arcs.append(arc)
            arc = self._came[arc[0]]
        return arcs[::-1]

    def _arcs(self, giver: int) -> list[tuple[int, int, int]]:
        """(taker, cost, partitions) for each arc from a place."""
        found = self._known.get(giver)
        if found is None:
            found = []
            if giver == self._hub:
                if self._freedom is not None:
                    found = [(i, 0, 0) for i, can in enumerate(self._freedom.fewer) if can]
            else:
                for taker in range(self._game.places):
                    cost, can = self._game.options(taker, giver)
                    if can:
                        found.append((taker, cost, can))
                if self._freedom is not None and self._freedom.more[giver]:
                    found.append((self._hub, 0, 0))
            self._known[giver] = found
        return found

    def _circle(self, reached: dict[int, None]) -> list[Arc]:
        """A circle among the arcs by which places were reached; such a circle saves copies."""
        seen: set[int] = set()
        for start in reached:
            path: dict[int, None] = {}
            node = start
            while node not in seen and node not in path:
                path[node] = None
                arc = self._came[node]
                if arc is None:
                    break
                node = arc[0]
            else:
                if node in path:
                    return self._around(node)
            seen.update(path)
        return []

    def _around(self, start: int) -> list[Arc]:
        arcs: list[Arc] = []
        node = start
        while True:
            arc = self._came[node]
            if arc is None:
                raise BugError(f"placement: a circle that ends at {node}: {arcs}")
            arcs.append(arc)
            node = arc[0]
            if node == start:
                return arcs[::-1]


def chosen(game: Holding, arcs: Sequence[Arc]) -> Moves:
    """One partition for each arc that moves one, different ones as far as possible."""
    moves: Moves = []
    used = 0
    for giver, taker, can in arcs:
        if can:
            partition = game.choose(taker, giver, can & ~used or can)
            used |= 1 << partition
            moves.append((giver, taker, partition))
    return moves


def simple_circle(game: Holding, arcs: Sequence[Arc]) -> Moves:
    """The moves of a circle in which no partition moves twice if it can be avoided.

    Where two arcs move the same partition, crossing them over gives two smaller circles; their
    costs add up to that of the whole, so one of them saves copies as well.
    """
    moves = chosen(game, arcs)
    while True:
        pair = _same_partition(moves)
        if pair is None:
            return moves
        i, j = pair
        inner = _crossed(game, moves[i + 1 : j], moves[j], moves[i])
        outer = _crossed(game, moves[:i] + moves[j + 1 :], moves[i], moves[j])
        if inner is None or outer is None:
            return moves  # They pass through different zones and do not touch each other.
        moves = min(inner, outer, key=lambda part: _cost(game, part))


def _same_partition(moves: Moves) -> tuple[int, int] | None:
    at: dict[int, int] = {}
    for j, (_, _, partition) in enumerate(moves):
        if partition in at:
            return at[partition], j
        at[partition] = j
    return None


def _crossed(
    game: Holding, rest: Moves, out: tuple[int, int, int], back: tuple[int, int, int]
) -> Moves | None:
    giver, taker, partition = out[0], back[1], out[2]
    if giver == taker:
        return rest
    if not game.can_take(taker, giver) >> partition & 1:
        return None
    return [*rest, (giver, taker, partition)]


def _cost(game: Holding, moves: Moves) -> int:
    return sum(game.cost(giver, taker, partition) for giver, taker, partition in moves)
