"""Which seats a tick looks at: those where time alone can change something.

Owns that choice. Theory of operation: a tick that goes through all seats of a member finds nothing
to do in nearly all of them, and that is nearly half of what an idle member costs. So a seat is
*stirred* when something is asked of it, answered to it, or its role changes, and is looked at by
every tick until it is at rest again; a coordinator at rest is looked at again when its own times
say so. A follower at rest waits for one thing, its coordinator's silence: followers of one peer
that vouches for them by its claims are looked at together, by that peer's time, and one by one only
once that is up. Must not change a seat. Invariant: every seat whose tick would do anything is
``due``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from becket.core.replication.claims import Claims
from becket.core.replication.context import Context
from becket.core.replication.leases import Pair
from becket.core.replication.replica import Part
from becket.core.replication.roles import Role
from becket.core.replication.seats import Seat


class Lookout:
    """The seats of one member, as its ticks see them."""

    def __init__(
        self,
        ctx: Context,
        seats: Mapping[int, Seat],
        claims: Claims,
        suspects: Callable[[Part], bool],
    ) -> None:
        self._ctx = ctx
        self._seats = seats
        self._claims = claims
        self._suspects = suspects
        self.stirred: dict[int, Seat] = {}
        """Every seat that is not at rest, and perhaps some that are."""
        self._rest_us: dict[int, int] = {}
        """When coordinators at rest are to be looked at."""
        self._key: tuple[object, ...] = ()
        self._vouched: list[tuple[Pair, list[Seat]]] = []
        self._alone: list[Seat] = []
        """Seats for which no peer vouches."""

    def stir(self, seat: Seat) -> None:
        """Something is asked of this seat, or answered to it."""
        self.stirred[seat.part.number] = seat

    def due(self) -> list[Seat]:
        """The seats to look at now, in rising order of their partitions."""
        now, due = self._ctx.now_us, self.stirred
        for number in [number for number, at_us in self._rest_us.items() if at_us <= now]:
            del self._rest_us[number]
            due[number] = self._seats[number]
        found = dict(due)
        for seat in self._perhaps_silent():
            if seat.part.number not in due and self._suspects(seat.part):
                found[seat.part.number] = seat
        return [seat for _, seat in sorted(found.items())]

    def settle(self, seat: Seat) -> None:
        """A seat was looked at: let it rest if there is nothing more to do."""
        if seat.parked or seat.offered is not None:
            return
        if seat.role is Role.COORDINATING:
            assert seat.coordinator is not None
            if not seat.coordinator.is_resting:
                return
            until_us = min(seat.return_us, seat.coordinator.rests_until_us)
            self._rest_us[seat.part.number] = until_us
        elif seat.role is not Role.FOLLOWER:
            return
        self.stirred.pop(seat.part.number, None)

    def _perhaps_silent(self) -> list[Seat]:
        self._group()
        found = list(self._alone)
        now = self._ctx.now_us
        for pair, seats in self._vouched:
            if pair.heard_us + pair.suspicion.us <= now:
                found += seats
        return found

    def _group(self) -> None:
        """Sort the seats by who vouches for their coordinators; again only after a change."""
        replica = self._ctx.replica
        matched = tuple(pair.matched for pair in replica.pairs.values())
        # Equal sets of unchanged pairs are the same objects: comparing them costs next to nothing.
        key = (replica.serial, self._claims.reigns, len(self._seats), matched)
        if key == self._key:
            return
        self._key = key
        groups: dict[str, list[Seat]] = {disk: [] for disk in replica.pairs}
        self._alone = []
        for seat in self._seats.values():
            if seat.coordinator is not None:
                continue
            promised = seat.part.record.promised
            pair = replica.pairs.get(promised.disk)
            if (
                pair is not None
                and seat.part.number in pair.matched
                and promised > seat.part.released
            ):
                groups[promised.disk].append(seat)
            else:
                self._alone.append(seat)
        self._vouched = [(replica.pairs[disk], seats) for disk, seats in groups.items()]
