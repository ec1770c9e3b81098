"""Which partitions a member in trouble gives up coordinating, and when it gets them back.

Owns the decision. Must not read a clock, nor know how a coordinator is moved: what it returns is
the order in which a partition's replicas should stand. No copy moves: a replica that is another one
of the same partition stands first from then on, and the present coordinator hands over to it in
order (PROTOCOL R24). Invariants: at most ``moves`` partitions begin at once, then there is a pause;
nothing is moved to a member that is in trouble, that lags, or that nobody hears.

Theory. A linearizable operation takes as long as its coordinator does, so a member that is slow, or
that is asked for more than it can do, holds up its share of all keys. Its room (``weights.spare``)
tells, in relation to the others': a member of a quarter of the speed has a quarter of the room. A
member whose operations are quick is in no trouble, whatever others do, hence ``least_latency_us``.

What is moved is not remembered. The planner spreads first places evenly over copies, so a member
that is well and stands first for fewer than its share has been relieved, by whomever: after a while
without trouble it gets its share back. Each decision is far from the other (``slow_share`` against
``well_share``, ``after_us`` against ``back_us``), so that nobody goes to and fro.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from becket.core.errors import require
from becket.core.load.weights import Load, spare
from becket.core.ring.config import Disk
from becket.core.ring.ring import Ring

SECOND = 1_000_000


@dataclass(frozen=True)
class ReliefSettings:
    """Times in microseconds of a monotonic clock; shares are of the median member's room.

    Raises InvalidInputError naming the field when a value or a relation is broken.
    """

    is_on: bool = True
    """Whether coordinators are moved for load at all."""
    slow_share: float = 0.4
    """A member with less room than this is in trouble."""
    well_share: float = 0.7
    """One with more is well; between the two nothing changes."""
    least_latency_us: int = 3000
    """A member whose operations take less than this is in no trouble."""
    after_us: int = 5 * SECOND
    """So long a member has to be in trouble without a break."""
    back_us: int = 60 * SECOND
    """So long all have to be well before a member gets its share back."""
    moves: int = 8
    """Partitions that get another coordinator at once."""
    pause_us: int = 2 * SECOND
    """Between two times: how long it takes until a load shows that it has become less."""

    def __post_init__(self) -> None:
        """Check each value and relation."""
        require(0 < self.slow_share < 1, "slow_share", "must be in (0, 1)")
        require(self.slow_share < self.well_share < 1, "well_share", "must be in (slow_share, 1)")
        for field in ("least_latency_us", "after_us", "back_us", "moves", "pause_us"):
            require(getattr(self, field) > 0, field, "must be positive")


class Move(NamedTuple):
    """A partition whose replicas should stand in this order."""

    partition: int
    gen: int
    order: tuple[Disk, ...]


class Relieved(NamedTuple):
    """What to move now; ``slow`` are members in trouble, with their room as a share of usual."""

    moves: tuple[Move, ...]
    slow: Mapping[Disk, float]
    returning: frozenset[Disk] = frozenset()
    """Members that get places back."""


NOTHING = Relieved((), {})


class Relief:
    """The memory between rounds: since when a member is in trouble, and when it was moved last."""

    def __init__(self, settings: ReliefSettings) -> None:
        self._settings = settings
        self._slow_since: dict[Disk, int] = {}
        self._well_since: int | None = None
        self._moved_us: int | None = None

    def step(
        self,
        ring: Ring,
        loads: Mapping[Disk, Load],
        lagging: Mapping[int, AbstractSet[Disk]],
        now_us: int,
    ) -> Relieved:
        """What to move now. ``loads``: of members that are heard; ``lagging``: by partition."""
        settings = self._settings
        if not settings.is_on or len(loads) < 2:
            self._slow_since.clear()
            self._well_since = None
            return NOTHING
        shares = room_shares(loads)
        is_slow = {
            disk
            for disk, share in shares.items()
            if share < settings.slow_share and loads[disk].latency_us >= settings.least_latency_us
        }
        self._slow_since = {d: self._slow_since.get(d, now_us) for d in sorted(is_slow)}
        slow = {
            disk: shares[disk]
            for disk, since_us in self._slow_since.items()
            if now_us - since_us >= settings.after_us
        }
        self._note_well(shares, loads, now_us)
        is_due = self._moved_us is None or now_us - self._moved_us >= settings.pause_us
        if not is_due or ring.joint_partitions:
            return Relieved((), slow)
        board = _Board(ring, loads.keys() - is_slow, lagging)
        # More than half in trouble have nobody to give to: it is the load of all.
        moves = board.relieve(slow, settings.moves) if 2 * len(is_slow) < len(loads) else []
        returning: frozenset[Disk] = frozenset()
        is_calm = self._well_since is not None and now_us - self._well_since >= settings.back_us
        if not moves and is_calm:
            moves = board.restore(settings.moves)
            returning = frozenset(move.order[0] for move in moves)
        if moves:
            self._moved_us = now_us
        return Relieved(tuple(moves), slow, returning)

    def _note_well(
        self, shares: Mapping[Disk, float], loads: Mapping[Disk, Load], now_us: int
    ) -> None:
        settings = self._settings
        all_well = all(
            share > settings.well_share or loads[disk].latency_us < settings.least_latency_us
            for disk, share in shares.items()
        )
        if not all_well:
            self._well_since = None
        elif self._well_since is None:
            self._well_since = now_us


def room_shares(loads: Mapping[Disk, Load]) -> dict[Disk, float]:
    """The room of each member as a share of the median member's."""
    known = [load.latency_us for load in loads.values() if load.latency_us]
    usual_us = median(known) if known else 1.0
    room = {disk: spare(load, usual_us) for disk, load in loads.items()}
    middle = median(room.values())
    return {disk: value / middle for disk, value in room.items()}


class _Board:
    """Who stands first where, as the moves of this step change it."""

    def __init__(
        self, ring: Ring, able: AbstractSet[Disk], lagging: Mapping[int, AbstractSet[Disk]]
    ) -> None:
        self._ring = ring
        self._lagging = lagging
        self._able = {disk for disk in able if disk in ring.by_disk and ring.member(disk).may_hold}
        self._first = Counter(config.old[0] for config in ring.configs if not config.is_joint)
        copies = Counter(disk for config in ring.configs for disk in config.old)
        self._share = {disk: copies[disk] / ring.replicas for disk in copies}

    def _fill(self, disk: Disk) -> float:
        """How full of first places a member is, in relation to its copies."""
        return self._first[disk] / max(self._share.get(disk, 0.0), 1e-9)

    def relieve(self, slow: Mapping[Disk, float], most: int) -> list[Move]:
        """Take first places from members in trouble, the one with the least room before others."""
        moves: list[Move] = []
        for disk in sorted(slow, key=lambda disk: (slow[disk], disk)):
            for partition, config in enumerate(self._ring.configs):
                if len(moves) >= most:
                    return moves
                if config.is_joint or config.old[0] != disk:
                    continue
                behind = self._lagging.get(partition, frozenset())
                heirs = [d for d in config.old[1:] if d in self._able and d not in behind]
                if heirs:
                    moves.append(self._put_first(partition, min(heirs, key=self._fill)))
        return moves

    def restore(self, most: int) -> list[Move]:
        """Give first places to members that stand first for fewer than their share, all well."""
        moves: list[Move] = []
        for disk in sorted(self._able, key=lambda disk: (self._fill(disk), disk)):
            for partition, config in enumerate(self._ring.configs):
                if len(moves) >= most or self._first[disk] >= int(self._share.get(disk, 0.0)):
                    break
                first = config.old[0]
                if config.is_joint or disk not in config.old or first == disk:
                    continue
                is_behind = disk in self._lagging.get(partition, frozenset())
                # Only from one that has more than its share: others would want it back.
                if not is_behind and self._first[first] > self._share[first]:
                    moves.append(self._put_first(partition, disk))
        return moves

    def _put_first(self, partition: int, disk: Disk) -> Move:
        config = self._ring.configs[partition]
        self._first[config.old[0]] -= 1
        self._first[disk] += 1
        return Move(partition, config.gen, (disk, *(d for d in config.old if d != disk)))
