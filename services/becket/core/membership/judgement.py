"""What a supervisor concludes from the members' reports, and when it does nothing at all.

Owns the guards of a ring change: freeze when too many look dead, when observers disagree, or when a
member flaps; replace only what has been dead for long, or is known to be gone. Level-triggered: it
judges one snapshot and says in sentences what it saw. Must not change anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from becket.core.membership.settings import MembershipSettings
from becket.core.ring.config import Disk


@dataclass(frozen=True)
class Report:
    """Whom one member does not hear; ``at_us`` is when the supervisor got it."""

    observer: Disk
    at_us: int
    suspects: frozenset[Disk]


@dataclass(frozen=True)
class Known:
    """What is known beside the beats: a second witness, and people's wishes."""

    volumes_gone: frozenset[Disk] = frozenset()
    drains: frozenset[Disk] = frozenset()


@dataclass(frozen=True)
class Replacement:
    """A member that is to be replaced now."""

    disk: Disk
    sentence: str


@dataclass(frozen=True)
class Judgement:
    """``freezes`` not empty: nothing is changed, for these reasons. ``waits``: dead, not gone.

    ``flaps`` are those of the freezes that only a member which comes and goes is the reason for.
    """

    dead: tuple[Disk, ...]
    freezes: tuple[str, ...]
    replacements: tuple[Replacement, ...]
    waits: tuple[str, ...]
    flaps: tuple[str, ...] = ()

    @property
    def is_frozen(self) -> bool:
        """Whether ring changes have to wait."""
        return bool(self.freezes)

    @property
    def may_restore(self) -> bool:
        """Whether copies that are missing may be made anew.

        A member that flaps says nothing against a disk that is known to be gone. Of many that look
        dead, or of observers that disagree, any one may be alive: then nothing is replaced.
        """
        return set(self.freezes) <= set(self.flaps)


class Judge:
    """The memory that the guards need: since when, how often."""

    def __init__(self, settings: MembershipSettings) -> None:
        self._settings = settings
        self._reports: dict[Disk, Report] = {}
        self._dead_since: dict[Disk, int] = {}
        self._disputed_since: dict[Disk, int] = {}
        self._changes: dict[Disk, deque[int]] = {}

    def note(self, report: Report) -> None:
        """Take a member's report; it replaces the earlier one."""
        self._reports[report.observer] = report

    def judge(self, now_us: int, members: Iterable[Disk], known: Known) -> Judgement:
        """What the reports of these members say at ``now_us``."""
        disks = sorted(set(members))
        self._forget_others(disks)
        fresh = [r for r in self._reports.values() if now_us - r.at_us <= self._settings.report_us]
        for disk in disks:
            self._count(now_us, disk, fresh)
        dead = tuple(disk for disk in disks if disk in self._dead_since)
        flaps = self._flaps(now_us)
        freezes = self._freezes(now_us, disks, dead, len(fresh)) + flaps
        replacements, waits = self._replacements(now_us, disks, dead, known)
        found = Judgement(dead, freezes, replacements, waits, flaps)
        return found if found.may_restore else replace(found, replacements=())

    def _forget_others(self, disks: list[Disk]) -> None:
        for table in (self._reports, self._dead_since, self._disputed_since, self._changes):
            for disk in [disk for disk in table if disk not in disks]:
                del table[disk]

    def _count(self, now_us: int, disk: Disk, fresh: list[Report]) -> None:
        """A member looks dead when most of the others that report now say so."""
        observers = [report for report in fresh if report.observer != disk]
        against = sum(disk in report.suspects for report in observers)
        is_dead = 2 * against > len(observers)
        disputed = 3 * against >= len(observers) and 3 * (len(observers) - against) >= len(
            observers
        )
        if disputed and observers:
            self._disputed_since.setdefault(disk, now_us)
        else:
            self._disputed_since.pop(disk, None)
        if is_dead != (disk in self._dead_since):
            changes = self._changes.setdefault(disk, deque(maxlen=self._settings.flap_changes))
            changes.append(now_us)
        if not is_dead:
            self._dead_since.pop(disk, None)
        else:
            self._dead_since.setdefault(disk, now_us)

    def _freezes(
        self, now_us: int, disks: list[Disk], dead: tuple[Disk, ...], observers: int
    ) -> tuple[str, ...]:
        settings, reasons = self._settings, []
        if disks and 2 * observers <= len(disks):
            reasons.append(f"only {observers} of {len(disks)} members report")
        if disks and len(dead) > settings.freeze_share * len(disks):
            share = settings.freeze_share
            reasons.append(f"{len(dead)} of {len(disks)} members look dead, over {share:.0%}")
        for disk, since_us in sorted(self._disputed_since.items()):
            if now_us - since_us >= settings.disagreement_us:
                reasons.append(f"observers disagree about {disk}")
        return tuple(reasons)

    def _flaps(self, now_us: int) -> tuple[str, ...]:
        settings, reasons = self._settings, []
        for disk, changes in sorted(self._changes.items()):
            recent = sum(now_us - at_us <= settings.flap_window_us for at_us in changes)
            if recent >= settings.flap_changes:
                seconds = settings.flap_window_us // 1_000_000
                reasons.append(f"{disk} flaps: {recent} changes in {seconds} s")
        return tuple(reasons)

    def _replacements(
        self, now_us: int, disks: list[Disk], dead: tuple[Disk, ...], known: Known
    ) -> tuple[tuple[Replacement, ...], tuple[str, ...]]:
        found, waits = [], []
        for disk in disks:
            if disk in known.volumes_gone:
                found.append(Replacement(disk, f"the volume of {disk} is gone"))
            elif disk in known.drains:
                found.append(Replacement(disk, f"{disk} is to be drained"))
            elif disk in dead:
                silent_us = now_us - self._dead_since[disk]
                left_us = self._settings.replace_us - silent_us
                if left_us <= 0:
                    seconds = silent_us // 1_000_000
                    found.append(Replacement(disk, f"{disk} has been dead for {seconds} s"))
                else:
                    seconds = -(-left_us // 1_000_000)
                    waits.append(f"{disk} is dead and will be replaced in {seconds} s")
        return tuple(found), tuple(waits)
