"""How many bytes a plan moves, and how many it has moved.

Owns the sums. Must not measure: sizes are what coordinators report (how long it takes: ``rates``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from becket.core.plans.plan import Plan
from becket.core.plans.progress import Standing
from becket.core.supervision.snapshot import Snapshot


@dataclass(frozen=True)
class Estimate:
    """``step_bytes`` by the number of the step, as known when the estimate was made."""

    step_bytes: tuple[int, ...]
    made_us: int

    @property
    def total(self) -> int:
        """Bytes that all steps copy together."""
        return sum(self.step_bytes)


def estimate(plan: Plan, snapshot: Snapshot) -> Estimate:
    """What each step copies, by what its coordinator says now; 0 where nobody says anything."""
    sizes = snapshot.coordinators
    return Estimate(
        tuple(
            len(step.newcomers) * (sizes[step.partition].bytes if step.partition in sizes else 0)
            for step in plan.steps
        ),
        snapshot.now_us,
    )


def copied(
    plan: Plan, made: Estimate, standings: Mapping[int, Standing], snapshot: Snapshot
) -> int:
    """Bytes copied so far: all of the steps that are done, a part of those under way."""
    total = 0
    for number, step in enumerate(plan.steps):
        where = standings.get(number)
        if where is Standing.DONE:
            total += made.step_bytes[number]
        elif where is Standing.UNDER_WAY:
            report = snapshot.coordinators.get(step.partition)
            total += min(made.step_bytes[number], 0 if report is None else report.copied)
    return total
