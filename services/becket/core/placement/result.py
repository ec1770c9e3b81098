"""The words of a placement: constraints, causes, moves, and the result itself.

Owns the values that the planner returns. Must not compute them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from becket.core.ring.config import Disk


class Cause(IntEnum):
    """Why a partition changes; the smaller goes first (DESIGN section 5, priorities)."""

    QUORUM = 1
    """Members are gone, and one more loss would cost the majority."""
    COPIES = 2
    """Copies are missing."""
    DRAIN = 3
    """A member is to be emptied."""
    ZONES = 4
    """A zone or node holds more copies of the partition than it must."""
    BALANCE = 5
    """Members should carry by weight."""
    COORDINATORS = 6
    """The same members in another order: nothing is copied."""


@dataclass(frozen=True)
class Constraints:
    """What a placement must hold to. ``replicas`` is the copies of each partition."""

    replicas: int
    zones: bool = True
    """Spread the copies of a partition over zones."""
    nodes: bool = True
    """Spread the copies of a partition over nodes."""


@dataclass(frozen=True)
class Move:
    """One copy that has to be made. ``source`` is the member that gives its place up, if any."""

    partition: int
    source: Disk | None
    to: Disk
    cause: Cause


@dataclass(frozen=True)
class Placement:
    """Where every copy should be, and what that takes.

    ``replicas`` has the disks of each partition in the order in which they stand for coordinator.
    ``share`` is what each member should carry by weight, in copies; ``bound`` is the fewest copies
    that any placement as good would have to make (``lower_bound``).
    """

    replicas: tuple[tuple[Disk, ...], ...]
    moves: tuple[Move, ...]
    coordinator_moves: tuple[int, ...]
    """Partitions whose first replica changes."""
    dropped: int
    """Copies that go without another being made (a lower replica count)."""
    share: dict[Disk, float]
    zone_limit: int
    node_limit: int
    bound: int
    sentences: tuple[str, ...]

    @property
    def counts(self) -> dict[Disk, int]:
        """How many copies each member will carry."""
        found = dict.fromkeys(self.share, 0)
        for disks in self.replicas:
            for disk in disks:
                found[disk] += 1
        return found

    @property
    def imbalance(self) -> float:
        """The largest copies / share of all members: 1.0 is even, whole numbers cost a little."""
        return max(count / self.share[disk] for disk, count in self.counts.items())
