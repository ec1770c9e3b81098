"""Which lane an operation takes: from a partition to the member that coordinates it.

Owns the lanes, the addresses of members as far as they are known, and the choice among replicas for
relaxed reads. Must not attempt anything. Invariant: a way that is kept is one of the newest route
table; every change of the table, or of an address, makes them all anew.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from becket.adapters.dispatch.lanes import Lane
from becket.adapters.rpc.ring_view import RingView
from becket.core.replication.versions import NO_EPOCH, Epoch
from becket.core.ring.config import Disk

ZONE_FACTOR = 4.0
"""A zone is left when an answer there would take so many times as long as elsewhere."""
LEAST_WEIGHT = 0.01
ABOUT = 2.0
"""What differs by less than so many times is about as much."""
FEW = 8
"""So many operations in flight more than elsewhere are chance: one list of reads is as many."""

AddressOf = Callable[[Disk], str | None]
"""From a disk to host:port, None where it is not known."""


class Way(NamedTuple):
    """Where an attempt goes. ``epoch``: the newest one known to coordinate the partition."""

    lane: Lane
    disk: Disk
    epoch: Epoch


class Routes:
    """The ways to all partitions."""

    def __init__(
        self,
        view: RingView,
        make_lane: Callable[[str], Lane],
        rng: random.Random,
        address_of: AddressOf | None = None,
    ) -> None:
        self.view = view
        self.lanes: dict[str, Lane] = {}
        self.fallbacks: list[Lane] = []
        """Lanes to routers, for when members cannot be reached from here."""
        self.by_fallbacks_only = False
        """Whether members are not to be dialled from here: everything goes by the fallbacks."""
        self.weights: Mapping[Disk, float] = {}
        """What the balancer says of members; 1.0 is the mean."""
        self.zone = ""
        """Relaxed reads stay in this zone while it is not overloaded; empty: no zone is better."""
        self._make_lane = make_lane
        self._rng = rng
        self._address_of = address_of
        self._ways: list[Way | None] = []
        self._hints: dict[int, Disk] = {}
        self._serial = -1

    def address_of(self, disk: Disk) -> str | None:
        """Where a member answers: by the directory first, else by what members have told."""
        if self.by_fallbacks_only:
            return None
        if self._address_of is not None:
            found = self._address_of(disk)
            if found:
                return found
        return self.view.addresses.get(disk)

    def forget(self) -> None:
        """Addresses may have changed: find every way anew."""
        self._serial = -1

    def epoch(self, partition: int) -> Epoch:
        """The newest epoch that is known to coordinate the partition."""
        return self.view.table.epochs.get(partition, NO_EPOCH)

    def hint(self, partition: int, disk: Disk) -> None:
        """A member named this one as coordinator without its epoch: believed until better news."""
        self._hints[partition] = disk
        if partition < len(self._ways):
            self._ways[partition] = None

    def way(self, partition: int) -> Way | None:
        """The way to the coordinator, or to who is believed to be; None where none is known."""
        table = self.view.table
        if self._serial != table.serial:
            self._renew()
        ways = self._ways
        if partition >= len(ways):
            return None
        found = ways[partition]
        if found is None:
            disk = self._hints.get(partition) or table.target(partition)
            lane = self.lane_of(disk) if disk is not None else None
            if lane is None or disk is None:
                return self._fallback_way(partition)
            found = ways[partition] = Way(lane, disk, self.epoch(partition))
        if self.fallbacks and found.lane.is_lost:
            return self._fallback_way(partition) or found
        return found

    def _fallback_way(self, partition: int) -> Way | None:
        members = self.view.addresses.values()
        for lane in self.fallbacks:
            # A seed may be a member too; then it serves its own keys only.
            if lane.is_reachable and lane.address not in members:
                return Way(lane, "", self.epoch(partition))
        return None

    def _renew(self) -> None:
        table = self.view.table
        self._serial = table.serial
        self._hints.clear()
        ring = table.ring
        self._ways = [None] * (ring.partitions if ring is not None else 0)

    def hope(self, disk: Disk) -> None:
        """This member was heard of just now: a lane to it that is down is dialled at once."""
        lane = self.lanes.get(self.address_of(disk) or "")
        if lane is not None:
            lane.hope()

    def lane_of(self, disk: Disk) -> Lane | None:
        """The lane to a member; None where its address is not known."""
        address = self.address_of(disk)
        return self.lane(address) if address else None

    def lane(self, address: str) -> Lane:
        """The lane to an address."""
        found = self.lanes.get(address)
        if found is None:
            found = self.lanes[address] = self._make_lane(address)
        return found

    def relaxed(self, partition: int, tried: Collection[Disk]) -> Way | None:
        """The better of two replicas for a relaxed read; the coordinator where none is left.

        Two are drawn by weight, and the one with less in flight x latency wins (DESIGN section 9).
        Replicas in this process's zone go before others, unless an answer would take
        ``ZONE_FACTOR`` times as long there.
        """
        epoch = self.epoch(partition)
        ways = []
        for disk in self.view.table.candidates(partition):
            if disk not in tried:
                lane = self.lane_of(disk)
                if lane is not None and lane.is_reachable:
                    ways.append(Way(lane, disk, epoch))
        if not ways:
            return self.way(partition)
        ring = self.view.ring
        if not self.zone or ring is None:
            return self._better(ways)
        near = [way for way in ways if ring.member(way.disk).zone == self.zone]
        if not near or len(near) == len(ways):
            return self._better(ways)
        here, there = self._better(near), self._better([way for way in ways if way not in near])
        is_overloaded = self._burden(here) > ZONE_FACTOR * self._burden(there)
        return there if is_overloaded else here

    def _better(self, ways: list[Way]) -> Way:
        """Of two that are drawn by weight the one that will probably answer first.

        Where both would answer about as soon, the one that was asked less lately: what is in flight
        at a moment says little of a member that has hardly anything to do, and under skew some
        members hold replicas of much that is asked for.
        """
        if len(ways) > 2:
            ways = self._two_of(ways)
        if self._are_alike(ways):
            return min(ways, key=lambda way: way.lane.asked_lately())
        # The weight has had its say in the draw: what it rests on is in the cost once more.
        return min(ways, key=_cost)

    def _are_alike(self, ways: list[Way]) -> bool:
        """Whether these would answer about as soon, for all that can be seen at one moment."""
        took = [way.lane.usual_us() for way in ways]
        waiting = [way.lane.in_flight_operations for way in ways]
        weights = [self._weight(way) for way in ways]
        return (
            max(took) <= ABOUT * min(took)
            and max(waiting) <= ABOUT * min(waiting) + FEW
            and max(weights) <= ABOUT * min(weights)
        )

    def _two_of(self, ways: list[Way]) -> list[Way]:
        left, drawn = list(ways), []
        for _ in range(2):
            at = self._rng.random() * sum(self._weight(way) for way in left)
            for way in left:
                at -= self._weight(way)
                if at < 0:
                    break
            drawn.append(way)
            left.remove(way)
        return drawn

    def _weight(self, way: Way) -> float:
        return max(self.weights.get(way.disk, 1.0), LEAST_WEIGHT)

    def _burden(self, way: Way) -> float:
        """Like the cost, but a lane that is not used does not seem to become faster by that."""
        return way.lane.burden() / self._weight(way)

    def unused(self) -> list[Lane]:
        """Take out the lanes to addresses that no member of the ring has any more."""
        ring = self.view.ring
        if ring is None:
            return []
        known = {self.address_of(member.disk) for member in ring.members}
        gone = [
            address for address, lane in self.lanes.items() if address not in known and lane.is_idle
        ]
        if gone:
            self.forget()
        return [self.lanes.pop(address) for address in gone]


def _cost(way: Way) -> float:
    return way.lane.cost()
