"""How fast plans may go on: two budgets, and a rest between plans.

Owns the budget for copies that are missing, the one for moves (drains, zones, load), and the rest
before the next plan that only balances. Must not begin anything: ``plans.progress`` does, within
the pace. Memory that a new process begins without: it then goes on slowly, and learns.

A rest is short after a plan that came to its end, and doubles with each one in a row that did not
(superseded, out of date): members that come and go must not keep the cluster copying. Drains,
copies that are missing, and what a person has started wait for no rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from becket.core.errors import InvalidInputError
from becket.core.plans.plan import PlanState
from becket.core.plans.progress import Pace
from becket.core.plans.throttle import Foreground, Halving, Steady, Throttle, ThrottleSettings
from becket.core.plans.wishes import Begin, Wish
from becket.core.supervision.planning import Planning
from becket.core.supervision.snapshot import Snapshot


@dataclass(frozen=True)
class PacingSettings:
    """``throttle`` is that of both budgets."""

    throttle: ThrottleSettings = field(default_factory=ThrottleSettings)
    restoring_least: int = 4
    """The budget for copies that are missing never falls below: they are the more urgent matter."""
    rest_ms: int = 1000
    """Between the end of a plan and the next one that only balances."""
    longest_rest_ms: int = 60_000
    """What that doubles up to."""
    heard_ms: int = 1500
    """A member that has reported within this runs: if others call it silent, it has too much to do
    (reports come every half second)."""

    def __post_init__(self) -> None:
        """Raise InvalidInputError naming the field."""
        for name, least in (("restoring_least", 1), ("rest_ms", 0), ("heard_ms", 1)):
            if getattr(self, name) < least:
                raise InvalidInputError(name, f"must be at least {least}")
        if self.longest_rest_ms < self.rest_ms:
            raise InvalidInputError("longest_rest_ms", "must not be under rest_ms")


@dataclass(frozen=True)
class PaceView:
    """The throttle in numbers, for people. ``steady_us`` None: not known yet."""

    restoring: float
    moving: float
    p99_us: int | None
    limit_us: int
    steady_us: int | None
    rest_us: int
    halvings: int
    last_halving: Halving | None = None
    """Of the budget for moves."""


class Pacer:
    """The budgets of one supervisor. ``most`` is how many partitions the limits allow at once."""

    def __init__(self, settings: PacingSettings, most: int) -> None:
        self._settings = settings
        self._steady = Steady(settings.throttle)
        self._restoring = Throttle(settings.throttle, most)
        self._moving = Throttle(settings.throttle, most)
        self._began_amid = True
        """Whether this process has seen no foreground yet without a plan: it learns what is steady
        between two steps then, or a limit for the unknown would slow all that is left."""
        self._known_ends: tuple[int, int] | None = None
        self._undone_in_a_row = 0
        self._rests_until_us = 0
        self.view = PaceView(most, most, None, self._steady.limit_us, None, 0, 0)
        """As of the last round."""

    def pace(self, snapshot: Snapshot, planning: Planning) -> Pace:
        """How much may be under way at this moment."""
        now_us, ring, settings = snapshot.now_us, snapshot.found, self._settings
        foreground = snapshot.foreground(settings.throttle.least_operations)
        plan = planning.current
        changing = () if ring is None else ring.joint_partitions
        # A coordinator that moves for load copies nothing, and is no reason to go slower.
        copies = ring is not None and any(ring.configs[p].newcomers for p in changing)
        is_running = plan is not None and plan.state is PlanState.RUNNING
        is_at_rest = not changing and not is_running
        is_calm = is_at_rest or (self._began_amid and not changing)
        self._steady.note(now_us, foreground, is_calm=is_calm)
        if is_at_rest and self._steady.p99_us is not None:
            self._began_amid = False
        limit_us = self._steady.limit_us
        if copies or is_running:
            is_strained = bool(snapshot.strained(settings.heard_ms * 1000))
            for throttle in (self._restoring, self._moving):
                throttle.note(now_us, foreground, limit_us, is_strained=is_strained)
        else:
            self._restoring.meet(foreground)
            self._moving.meet(foreground)
        self._note_ends(now_us, planning)
        rest_us = max(0, self._rests_until_us - now_us)
        self.view = self._view(foreground, limit_us, rest_us)
        return Pace(
            restoring=max(settings.restoring_least, self._restoring.room()),
            moving=self._moving.room(),
            begins=self._moving.begins(now_us),
            is_resting=rest_us > 0,
        )

    def note_wishes(self, now_us: int, wishes: tuple[Wish, ...]) -> None:
        """What begins now."""
        if any(isinstance(wish, Begin) for wish in wishes):
            self._moving.begun(now_us)

    def _note_ends(self, now_us: int, planning: Planning) -> None:
        ends = planning.ends
        known, self._known_ends = self._known_ends, ends
        if known is None or ends == known:
            return
        settings = self._settings
        if ends[1] > known[1]:
            self._undone_in_a_row += ends[1] - known[1]
        else:
            self._undone_in_a_row = 0
        # The exponent is bounded: plans may come and go for years.
        rest_ms = settings.rest_ms * 2 ** min(self._undone_in_a_row, 20)
        self._rests_until_us = now_us + min(rest_ms, settings.longest_rest_ms) * 1000

    def _view(self, foreground: Foreground | None, limit_us: int, rest_us: int) -> PaceView:
        return PaceView(
            restoring=max(float(self._settings.restoring_least), self._restoring.budget),
            moving=self._moving.budget,
            p99_us=None if foreground is None else foreground.p99_us,
            limit_us=limit_us,
            steady_us=self._steady.p99_us,
            rest_us=rest_us,
            halvings=self._moving.halvings,
            last_halving=self._moving.last_halving,
        )
