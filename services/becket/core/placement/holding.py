"""Which place holds which partitions, and which single moves are allowed.

Owns the state of a placement in the making. Must not decide where a search goes. Partitions held
by a place are the bits of one integer, so that a pair of places is tested for all partitions at
once.

Theory: ``c`` may take ``p`` from ``x`` if it lacks it and the limits of its node and zone have room
once ``x`` is out: always within one node, within one zone if the node has room, else if both have.
An arrival costs one, except of a partition that the place held before the change; taking away a
partition that the giver did not hold before saves one. So the costs of all moves made add up to the
copies that have to be made.
"""

from __future__ import annotations

from collections.abc import Sequence

from becket.core.placement.shares import Layout

TRIED = 12
"""How many partitions are compared before one is moved."""

_STRIDE = 0x9E3779B1


class Holding:
    """Which place holds which partitions, and the moves between them.

    Places ``0 .. n-1`` are members; places ``n ..`` are layers of vacancies: layer ``n + k`` holds
    the partitions that lack more than ``k`` copies. ``held[p]`` are the places that keep partition
    ``p``; ``original[i]`` are the partitions that place ``i`` held before the change, which it may
    take back for nothing; ``allowed[i]`` are those that it may hold at all; ``reluctant[i]`` those
    that it gives away only when no other will do. All three as bits.
    """

    def __init__(
        self,
        where: Layout,
        held: Sequence[Sequence[int]],
        replicas: int,
        *,
        original: Sequence[int],
        allowed: Sequence[int],
        reluctant: Sequence[int],
    ) -> None:
        self._where = where
        self.places = len(where.weights)
        self._partitions = len(held)
        self._allowed = list(allowed)
        self._reluctant = [*reluctant, *([0] * replicas)]
        self.holders: list[list[int]] = [list(places) for places in held]
        self.masks: list[int] = [0] * (self.places + replicas)
        nodes, zones = max(where.node) + 1, max(where.zone) + 1
        self._on_node = [bytearray(self._partitions) for _ in range(nodes)]
        self._in_zone = [bytearray(self._partitions) for _ in range(zones)]
        self._full_node = [0] * nodes
        self._full_zone = [0] * zones
        self._together = [[0] * self.places for _ in range(self.places)]
        for partition, places in enumerate(held):
            for place in places:
                self._gain(place, partition)
                for other in places:
                    self._together[place][other] += place != other
            for layer in range(replicas - len(places)):
                self.masks[self.places + layer] |= 1 << partition
        everything = (1 << self._partitions) - 1
        # Filling a vacancy costs an arrival, as taking an original copy away from a member does.
        self._original = [*original, *([everything] * replicas)]
        self._turn = 0

    def counts(self) -> list[int]:
        """How many partitions each place holds, vacancies last."""
        return [mask.bit_count() for mask in self.masks]

    def can_take(self, taker: int, giver: int) -> int:
        """The partitions that ``taker`` may take from ``giver``, as bits."""
        can = self.masks[giver] & ~self.masks[taker] & self._allowed[taker]
        if not can or giver == taker:
            return 0
        where = self._where
        node, zone = where.node[taker], where.zone[taker]
        if giver >= self.places:
            return can & ~self._full_node[node] & ~self._full_zone[zone]
        if where.node[giver] != node:
            can &= ~self._full_node[node]
            if where.zone[giver] != zone:
                can &= ~self._full_zone[zone]
        return can

    def options(self, taker: int, giver: int) -> tuple[int, int]:
        """What ``taker`` may take from ``giver`` at the lowest cost: (cost, partitions as bits).

        No bits where it may take nothing. The cost is -1, 0 or 1 (see the head of this file).
        """
        can = self.can_take(taker, giver)
        back, kept = self._original[taker], self._original[giver]
        saved = can & back & ~kept
        if saved:
            return -1, saved
        free = can & ~(back ^ kept)
        return (0, free) if free else (1, can)

    def cost(self, giver: int, taker: int, partition: int) -> int:
        """What one move costs, allowed or not."""
        back = self._original[taker] >> partition & 1
        return (self._original[giver] >> partition & 1) - back

    def arrivals(self) -> int:
        """How many copies have to be made."""
        pairs = zip(self.masks[: self.places], self._original, strict=False)
        return sum((mask & ~kept).bit_count() for mask, kept in pairs)

    def choose(self, taker: int, giver: int, can: int) -> int:
        """One of the partitions ``can``: the one whose other holders the taker meets least.

        That spreads what a lost member leaves behind over many others.
        """
        can = can & ~self._reluctant[giver] or can
        start = (self._turn * _STRIDE) % self._partitions
        self._turn += 1
        best, chosen = 1 << 30, -1
        rest = (can >> start << start) or can
        for _ in range(TRIED):
            low = rest & -rest
            partition = low.bit_length() - 1
            met = self._met(taker, giver, partition)
            if met < best:
                best, chosen = met, partition
            rest ^= low
            if not rest:
                break
        return chosen

    def _met(self, taker: int, giver: int, partition: int) -> int:
        taken = self._together[taker]
        if giver >= self.places:
            return sum(taken[other] for other in self.holders[partition])
        given = self._together[giver]
        return sum(taken[o] - given[o] for o in self.holders[partition] if o != giver)

    def move(self, giver: int, taker: int, partition: int) -> None:
        if giver >= self.places:
            self.masks[giver] ^= 1 << partition
        else:
            self._lose(giver, partition)
            self.holders[partition].remove(giver)
        for other in self.holders[partition]:
            self._together[taker][other] += 1
            self._together[other][taker] += 1
        self.holders[partition].append(taker)
        self._gain(taker, partition)

    def _gain(self, place: int, partition: int) -> None:
        bit, where = 1 << partition, self._where
        self.masks[place] |= bit
        node, zone = where.node[place], where.zone[place]
        self._on_node[node][partition] += 1
        self._in_zone[zone][partition] += 1
        if self._on_node[node][partition] >= where.node_limit:
            self._full_node[node] |= bit
        if self._in_zone[zone][partition] >= where.zone_limit:
            self._full_zone[zone] |= bit

    def _lose(self, place: int, partition: int) -> None:
        bit, where = 1 << partition, self._where
        self.masks[place] &= ~bit
        node, zone = where.node[place], where.zone[place]
        self._on_node[node][partition] -= 1
        self._in_zone[zone][partition] -= 1
        if self._on_node[node][partition] < where.node_limit:
            self._full_node[node] &= ~bit
        if self._in_zone[zone][partition] < where.zone_limit:
            self._full_zone[zone] &= ~bit
        for other in self.holders[partition]:
            if other != place:
                self._together[place][other] -= 1
                self._together[other][place] -= 1
