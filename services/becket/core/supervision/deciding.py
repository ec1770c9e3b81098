"""One round of a supervisor: from a snapshot to wishes and sentences.

Owns the order in which things are looked at: first that there is a ring at all, then how many
members there should be, who belongs to it, where copies belong, and what the platform is to do; and
the little memory that the guards need (since when a member is dead, which names had vanished, with
which pods the cluster was made). Must not read clocks or write anything. Level-triggered: the same
snapshot gives the same wishes again until ring and platform show that they were granted.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from becket.core.load.relief import ReliefSettings
from becket.core.membership.judgement import Judge, Judgement, Known, Report
from becket.core.membership.settings import MembershipSettings
from becket.core.plans.progress import PlanLimits
from becket.core.plans.wishes import Certificate, Wish
from becket.core.ring.members import MemberState
from becket.core.ring.ring import Ring
from becket.core.supervision.beginning import Beginning, NewCluster, begin
from becket.core.supervision.counting import count_changes, scale_wish
from becket.core.supervision.damage import damages
from becket.core.supervision.evictions import Budget, budget
from becket.core.supervision.gates import Gate, gates, known_uids
from becket.core.supervision.membership import (
    NO_NEWCOMERS,
    Newcomers,
    lost_volumes,
    member_changes,
    newcomers,
)
from becket.core.supervision.pacing import Pacer, PacingSettings
from becket.core.supervision.planning import Freeze, Planning
from becket.core.supervision.relieving import Relieving
from becket.core.supervision.saying import Said, by_weight
from becket.core.supervision.snapshot import Seen, Snapshot
from becket.core.supervision.wholeness import Wholeness, wholeness
from becket.core.supervision.witnesses import platform_sentences

CALM_US = 2_000_000
"""For so long without a break an eviction must have been safe before one is allowed."""


@dataclass(frozen=True)
class SupervisionSettings:
    """How a supervisor decides; its groups check themselves.

    ``gather_us``: so long a newcomer waits for others that are wished for too: each join on its own
    would move copies that the next one moves again. ``release_us``: a pod whose member is neither
    ready nor heard for so long may be evicted, where nothing depends on it.
    """

    membership: MembershipSettings = field(default_factory=MembershipSettings)
    limits: PlanLimits = field(default_factory=PlanLimits)
    pacing: PacingSettings = field(default_factory=PacingSettings)
    release_us: int = 60_000_000
    gather_us: int = 30_000_000
    relief: ReliefSettings = field(default_factory=ReliefSettings)


NO_JUDGEMENT = Judgement((), (), (), ())
"""Before there is a ring nobody is dead."""


@dataclass(frozen=True)
class PlatformWishes:
    """What the platform should do. ``scale``: so many pods, None for as many as there are.

    ``evictions``: so many pods may be missing, None where nothing may be concluded.
    """

    scale: int | None = None
    evictions: int | None = None
    gates: tuple[Gate, ...] = ()


NO_PLATFORM_WISHES = PlatformWishes()


@dataclass(frozen=True)
class Decision:
    """What to wish for, what to say, and the judgement behind it."""

    wishes: tuple[Wish, ...]
    said: tuple[Said, ...]
    judgement: Judgement = NO_JUDGEMENT
    platform: PlatformWishes = NO_PLATFORM_WISHES
    give_up: Seen | None = None
    """The member that is to give its disk up now, as nobody needs what reads of it."""


class Supervision:
    """The memory between rounds; see the head of this file."""

    def __init__(self, settings: SupervisionSettings, new: NewCluster) -> None:
        self._settings = settings
        self._new = new
        self._judge = Judge(settings.membership)
        self._cluster = ""
        self._vanished: set[str] = set()
        self._first_pods: frozenset[str] = frozenset()
        self._calm_since: int | None = None
        self._gathers_since: int | None = None
        self.is_settled = False
        """Whether the last decision had a ring object to work with."""
        self.planning = self._planning()
        self.pacer = Pacer(settings.pacing, settings.limits.partitions)
        self._relieving = Relieving(settings.relief)

    def _planning(self) -> Planning:
        rules = self._new.constraints
        return Planning(self._settings.limits, zones=rules.zones, nodes=rules.nodes)

    def begin_anew(self) -> None:
        """Another supervisor may have led meanwhile: what was planned and allowed is forgotten."""
        self.planning = self._planning()
        self.pacer = Pacer(self._settings.pacing, self._settings.limits.partitions)
        self._vanished.clear()
        self._first_pods, self._calm_since = frozenset(), None

    def observe(self, snapshot: Snapshot) -> Decision:
        """What is judged by one who decides nothing, so that it knows when it is its turn."""
        ring = snapshot.found
        said = platform_sentences(snapshot)
        if ring is None:
            return Decision((), said)
        return Decision((), by_weight(said), self._judged(snapshot, ring))

    def decide(self, snapshot: Snapshot) -> Decision:
        """What this snapshot calls for."""
        view = snapshot.platform
        if view is not None and not view.is_current:
            return self.observe(snapshot)
        beginning = begin(snapshot, self._new)
        ring = snapshot.found
        self.is_settled = beginning.is_settled and ring is not None
        if not beginning.is_settled or ring is None:
            return self._begun(snapshot, beginning)
        judgement = self._judged(snapshot, ring)
        returned = self._note_vanished(snapshot, ring)
        said = [*beginning.said]
        wishes: list[Wish] = []
        if view is not None:
            counted = count_changes(ring, view)
            wishes += counted.wishes
            said += counted.said
        changes = member_changes(ring, snapshot, judgement, returned, self._early(snapshot, ring))
        # Moves are planned for the members as the object has them: a round later.
        progress = self.planning.step(
            ring,
            _certificates(snapshot, ring),
            freeze=_freeze_of(judgement),
            pace=self.pacer.pace(snapshot, self.planning),
        )
        self.pacer.note_wishes(snapshot.now_us, progress.wishes)
        wishes += [*changes.wishes, *progress.wishes]
        whole = wholeness(ring, snapshot)
        found = damages(ring, snapshot, whole, is_frozen=judgement.is_frozen)
        said += [*changes.said, *progress.said, *found.said]
        if not changes.wishes and not progress.wishes:
            relief = self._relieving.step(ring, snapshot, judgement, self.planning)
            wishes += relief.wishes
            said += relief.said
        asked, told = self._platform(snapshot, ring, whole)
        said += told
        return Decision(tuple(wishes), by_weight(said), judgement, asked, found.give_up)

    def _begun(self, snapshot: Snapshot, beginning: Beginning) -> Decision:
        """Before there is a ring to work with: who is needed for it has to run."""
        install, view = beginning.wish, snapshot.platform
        if view is None:
            return Decision(() if install is None else (install,), beginning.said)
        if beginning.is_first:
            self._first_pods = known_uids(view)
        scale = scale_wish(snapshot, view)
        said = (*beginning.said, *scale.said, *platform_sentences(snapshot))
        self._calm_since = None
        asked = PlatformWishes(scale.count, 0)
        return Decision(() if install is None else (install,), by_weight(said), platform=asked)

    def _platform(
        self, snapshot: Snapshot, ring: Ring, whole: Wholeness
    ) -> tuple[PlatformWishes, tuple[Said, ...]]:
        view = snapshot.platform
        if view is None:
            return NO_PLATFORM_WISHES, ()
        allowed = self._allowed(
            snapshot, budget(ring, snapshot, whole, release_us=self._settings.release_us)
        )
        scale = scale_wish(snapshot, view)
        first = self._first_pods if ring.version == 1 else frozenset()
        opened = gates(
            ring, snapshot, whole, lambda disk: self.planning.is_filled(ring, disk), first
        )
        said = [*scale.said, *opened.said, *platform_sentences(snapshot)]
        if allowed.said is not None:
            said.append(allowed.said)
        return PlatformWishes(scale.count, allowed.count, opened.opens), tuple(said)

    def _allowed(self, snapshot: Snapshot, found: Budget) -> Budget:
        """Nobody may go at once; somebody may only after a while of calm."""
        if not found.count:
            self._calm_since = None
            return found
        if self._calm_since is None:
            self._calm_since = snapshot.now_us
        is_calm = snapshot.now_us - self._calm_since >= CALM_US
        return found if is_calm else replace(found, count=0)

    def _judged(self, snapshot: Snapshot, ring: Ring) -> Judgement:
        if ring.cluster != self._cluster:
            self._judge, self._cluster = Judge(self._settings.membership), ring.cluster
        for disk, suspects in snapshot.observers(ring).items():
            self._judge.note(Report(disk, snapshot.by_disk[disk].at_us, suspects))
        judged = [member.disk for member in ring.members if member.state is not MemberState.GONE]
        known = Known(volumes_gone=lost_volumes(ring, snapshot))
        return self._judge.judge(snapshot.now_us, judged, known)

    def _early(self, snapshot: Snapshot, ring: Ring) -> Newcomers:
        """Newcomers that should wait for others, which they do for a while only."""
        found = newcomers(ring, snapshot)
        if not found.heard or not found.missing:
            self._gathers_since = None
            return NO_NEWCOMERS
        if self._gathers_since is None:
            self._gathers_since = snapshot.now_us
        is_over = snapshot.now_us - self._gathers_since >= self._settings.gather_us
        return NO_NEWCOMERS if is_over else found

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


def _freeze_of(judgement: Judgement) -> Freeze:
    if not judgement.is_frozen:
        return Freeze.NONE
    return Freeze.MOVES if judgement.may_restore else Freeze.ALL


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
