"""Whether a tick looks at every seat where it would find something to do.

The reference for ``core.replication.lookout``: it goes through all seats, which is what the lookout
saves. Wrapped around a member, it fails the run in which a seat is left out that is due. What is
compiled cannot be wrapped and is not compared: the same seeds are, where they run interpreted.
"""

from __future__ import annotations

from becket.core.build import is_compiled
from becket.core.replication.member import Member
from becket.core.replication.roles import Role
from becket.core.replication.seats import Seat


def looked_over(member: Member) -> Member:
    """The same member; each of its ticks is compared with the reference, unless it is compiled."""
    if is_compiled():
        return member
    lookout = member._lookout
    due = lookout.due

    def compared() -> list[Seat]:
        found = due()
        left_out = [s.part.number for s in member.seats.values() if _is_due(member, s)]
        left_out = sorted(set(left_out) - {seat.part.number for seat in found})
        assert not left_out, f"a tick of {member.identity.disk} leaves out {left_out}"
        return found

    lookout.due = compared  # type: ignore[method-assign]
    return member


def _is_due(member: Member, seat: Seat) -> bool:
    now_us = member._ctx.now_us
    if seat.parked or seat.offered is not None:
        return True
    if seat.role is Role.FOLLOWER:
        return member._standing.suspects(seat.part)
    coordinator = seat.coordinator
    if seat.role is not Role.COORDINATING or coordinator is None:
        return True
    return not coordinator.is_resting or now_us >= seat.return_us or not coordinator.hears_quorum()
