"""One round of a supervisor: from a snapshot to wishes and sentences.

Owns the order in which things are looked at: first that there is a ring at all, then who belongs to
it, then where copies belong; and the little memory that the guards need (since when a member is
dead, which names had vanished). Must not read clocks or write anything. Level-triggered: the same
snapshot gives the same wishes again until the ring shows that they were granted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from becket.core.membership.judgement import Judge, Judgement, Known, Report
from becket.core.membership.settings import MembershipSettings
from becket.core.plans.progress import PlanLimits
from becket.core.plans.wishes import Certificate, Wish
from becket.core.ring.members import MemberState
from becket.core.ring.ring import Ring
from becket.core.supervision.beginning import NewCluster, begin
from becket.core.supervision.membership import lost_volumes, member_changes
from becket.core.supervision.planning import Planning
from becket.core.supervision.saying import Said, by_weight
from becket.core.supervision.snapshot import Snapshot


@dataclass(frozen=True)
class SupervisionSettings:
    """How a supervisor decides; its groups check themselves."""

    membership: MembershipSettings = field(default_factory=MembershipSettings)
    limits: PlanLimits = field(default_factory=PlanLimits)


NO_JUDGEMENT = Judgement((), (), (), ())
"""Before there is a ring nobody is dead."""


@dataclass(frozen=True)
class Decision:
    """What to wish for, what to say, and the judgement behind it."""

    wishes: tuple[Wish, ...]
    said: tuple[Said, ...]
    judgement: Judgement = NO_JUDGEMENT


class Supervision:
    """The memory between rounds; see the head of this file."""

    def __init__(self, settings: SupervisionSettings, new: NewCluster) -> None:
        rules = new.constraints
        self.planning = Planning(settings.limits, zones=rules.zones, nodes=rules.nodes)
        self._membership = settings.membership
        self._new = new
        self._judge = Judge(settings.membership)
        self._cluster = ""
        self._vanished: set[str] = set()

    def decide(self, snapshot: Snapshot) -> Decision:
        """What this snapshot calls for."""
        beginning = begin(snapshot, self._new)
        ring = snapshot.found
        if not beginning.is_settled or ring is None:
            wishes = () if beginning.wish is None else (beginning.wish,)
            return Decision(wishes, beginning.said)
        if ring.cluster != self._cluster:
            self._judge, self._cluster = Judge(self._membership), ring.cluster
        judgement = self._judged(snapshot, ring)
        returned = self._note_vanished(snapshot, ring)
        changes = member_changes(ring, snapshot, judgement, returned)
        # Moves are planned for the members as the object has them: a round later.
        progress = self.planning.step(
            ring, _certificates(snapshot, ring), frozen=judgement.is_frozen
        )
        said = by_weight((*beginning.said, *changes.said, *progress.said))
        return Decision((*changes.wishes, *progress.wishes), said, judgement)

    def _judged(self, snapshot: Snapshot, ring: Ring) -> Judgement:
        for disk, suspects in snapshot.observers(ring).items():
            self._judge.note(Report(disk, snapshot.by_disk[disk].at_us, suspects))
        judged = [member.disk for member in ring.members if member.state is not MemberState.GONE]
        known = Known(volumes_gone=lost_volumes(ring, snapshot))
        return self._judge.judge(snapshot.now_us, judged, known)

    def _note_vanished(self, snapshot: Snapshot, ring: Ring) -> frozenset[str]:
        """Names that were wished no more while this process looked, and are wished again."""
        if not snapshot.names:
            return frozenset()
        self._vanished &= {member.name for member in ring.members}
        returned = {name for name in self._vanished if name in snapshot.names}
        self._vanished |= {m.name for m in ring.members if m.name not in snapshot.names}
        active = {m.name for m in ring.members if m.state is MemberState.ACTIVE}
        # Until the ring shows that it is back, it counts as one that comes back.
        self._vanished -= returned & active
        return frozenset(returned)


def _certificates(snapshot: Snapshot, ring: Ring) -> tuple[Certificate, ...]:
    """Certificates that fit the ring as it is known; the writer tests them once more (R1)."""
    found: dict[int, Certificate] = {}
    for seen in snapshot.connected:
        for certificate in seen.certificates:
            partition = certificate.partition
            if not 0 <= partition < ring.partitions or certificate.disk != seen.disk:
                continue
            config = ring.configs[partition]
            if config.is_joint and config.gen == certificate.gen:
                found.setdefault(partition, certificate)
    return tuple(found[partition] for partition in sorted(found))
