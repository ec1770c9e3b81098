"""Coordinators that move off members in trouble: when a round may do so, and what it says.

Owns the conditions and the sentences; which partitions move is ``core.load.relief``. Must not move
anything while a plan is under way (a paused one, too), changes are frozen, or a member is missing:
then coordinators sit where they sit for a better reason. Invariant: what it wishes for moves no
copy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from becket.core.load.relief import Relief, ReliefSettings, Relieved
from becket.core.load.weights import Load
from becket.core.membership.judgement import Judgement
from becket.core.plans.wishes import Begin, Wish
from becket.core.ring.config import Disk
from becket.core.ring.members import MemberState
from becket.core.ring.ring import Ring
from becket.core.supervision.planning import Planning, Progress
from becket.core.supervision.saying import Said, Topic
from becket.core.supervision.snapshot import Snapshot

OLD_US = 5_000_000
"""A report that is older says nothing about the load of now."""


class Relieving:
    """Moves of coordinators for the sake of load, of one supervisor."""

    def __init__(self, settings: ReliefSettings) -> None:
        self._relief = Relief(settings)

    def step(
        self, ring: Ring, snapshot: Snapshot, judgement: Judgement, planning: Planning
    ) -> Progress:
        """What to wish for in this round, and what to say as long as a member is in trouble."""
        is_calm = (
            planning.current is None
            and not judgement.is_frozen
            and not judgement.dead
            and all(member.state is MemberState.ACTIVE for member in ring.members)
        )
        # Without loads the relief forgets: a plan, however long, is a break of every trouble.
        loads = loads_of(ring, snapshot) if is_calm else {}
        lagging = {
            partition: frozenset(report.lagging)
            for partition, report in snapshot.coordinators.items()
            if report.lagging
        }
        found = self._relief.step(ring, loads, lagging, snapshot.now_us)
        wishes: tuple[Wish, ...] = tuple(
            Begin(move.partition, move.gen, move.order) for move in found.moves
        )
        return Progress(wishes, _sentences(ring, found, loads))


def loads_of(ring: Ring, snapshot: Snapshot) -> dict[Disk, Load]:
    """The load of each member of the ring that reports now; nothing where one of them does not."""
    found = {}
    for disk in ring.by_disk:
        seen = snapshot.by_disk.get(disk)
        if seen is None or not seen.is_connected or seen.load is None:
            return {}
        if snapshot.now_us - seen.at_us > OLD_US:
            return {}
        found[disk] = seen.load
    return found


def _sentences(ring: Ring, found: Relieved, loads: Mapping[Disk, Load]) -> tuple[Said, ...]:
    said = []
    first = Counter(config.target[0] for config in ring.configs)
    for disk, share in found.slow.items():
        name, ms = ring.name_of(disk), loads[disk].latency_us / 1000
        left = first[disk]
        what = (
            f"coordinators move off it, {left} of {ring.partitions} partitions are left"
            if left
            else "no partition is coordinated by it for as long"
        )
        sentence = (
            f"{name} is overloaded or slow: an operation takes {ms:.1f} ms there, and it has"
            f" {100 * share:.0f} % of the others' room; {what}"
        )
        said.append(Said(Topic.MEMBER, sentence, name, key=f"slow {disk}", is_warning=True))
    for disk in sorted(found.returning):
        name = ring.name_of(disk)
        sentence = f"{name} is well again: it gets its share of coordinators back"
        said.append(Said(Topic.MEMBER, sentence, name, key=f"well {disk}"))
    return tuple(said)
