"""Times, counts and shares of membership, frozen, with the relations between them checked."""

from __future__ import annotations

from dataclasses import dataclass

from becket.core.errors import require

MS = 1000
SECOND = 1_000_000


@dataclass(frozen=True)
class MembershipSettings:
    """Times in microseconds of a monotonic clock.

    Raises InvalidInputError naming the field when a relation between two fields is broken.
    """

    beat_us: int = 100 * MS
    lease_us: int = 400 * MS
    """A process that stood still for longer has no right to call others silent (R11a)."""
    suspicion_us: int = 400 * MS
    suspicion_factor: int = 2
    """So many times ``suspicion_us`` at most, for a peer whose beats come late."""
    dead_us: int = 10 * SECOND
    """A suspect that stays silent for so long counts as dead: it is shown so, no more."""
    mesh_members: int = 12
    """Up to so many members each watches all others."""
    watchers: int = 5
    """Beyond that each is watched by so many."""
    rumours: int = 2
    """So many watchers must say so before a member that hears no beats believes it."""
    hinted_beats: int = 2
    """So many beats must be missed even when a closed connection hints at the end."""
    ask_us: int = 1 * SECOND
    """How often a suspect is told that it is one; its answer is a beat."""
    report_us: int = 2 * SECOND
    """A supervisor counts an observer whose report is not older."""
    disagreement_us: int = 5 * SECOND
    """Observers may disagree for so long before that is called a disagreement."""
    freeze_share: float = 0.4
    flap_changes: int = 6
    flap_window_us: int = 60 * SECOND
    replace_us: int = 600 * SECOND
    """Dead is not gone: a member is replaced only when it has been dead for so long."""

    def __post_init__(self) -> None:
        """Check each relation."""
        require(self.beat_us > 0, "beat_us", "must be positive")
        require(2 * self.beat_us < self.suspicion_us, "suspicion_us", "must be over two beats")
        require(self.beat_us < self.lease_us, "lease_us", "must be over beat_us")
        require(self.lease_us <= self.suspicion_us, "suspicion_us", "must not be under lease_us")
        require(self.suspicion_factor >= 1, "suspicion_factor", "must be at least 1")
        require(self.suspicion_us < self.dead_us, "dead_us", "must be over suspicion_us")
        require(1 <= self.watchers < self.mesh_members, "watchers", "must be in 1..mesh_members-1")
        require(1 <= self.rumours <= self.watchers, "rumours", "must be in 1..watchers")
        hinted_us = self.hinted_beats * self.beat_us
        require(0 < hinted_us < self.suspicion_us, "hinted_beats", "must end before suspicion_us")
        require(self.beat_us < self.ask_us, "ask_us", "must be over beat_us")
        require(self.beat_us < self.report_us, "report_us", "must be over beat_us")
        require(0 < self.freeze_share < 1, "freeze_share", "must be in (0, 1)")
        require(self.flap_changes >= 2, "flap_changes", "must be at least 2")
        require(self.flap_window_us > self.dead_us, "flap_window_us", "must be over dead_us")
        require(self.replace_us > self.dead_us, "replace_us", "must be over dead_us")
