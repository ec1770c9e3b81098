"""The written schedules: by name, with the mutants that each one shows.

Owns the register, and running one to its verdict. They also serve as scenarios of their own.
"""

from __future__ import annotations

from collections.abc import Callable

from becket.core.errors import BugError
from tests.simulation import schedules_of_keys as keys
from tests.simulation import schedules_of_leases as leases
from tests.simulation import schedules_of_rings as rings
from tests.simulation.runner import Verdict
from tests.simulation.stage import Stage

SCHEDULES: dict[str, Callable[[], Stage]] = {
    schedule.__name__: schedule
    for schedule in (
        rings.newcomers_prepare_alone,
        rings.removed_members_vote,
        rings.accept_after_rejoining,
        rings.first_touch_without_promise,
        rings.write_that_new_lacks,
        rings.half_written_at_the_final_swap,
        leases.everybody_restarts,
        leases.clocks_apart,
        leases.slow_reply,
        leases.untouched_in_a_lease,
        leases.deposed_out_of_earshot,
        leases.adopted_in_a_lease,
        keys.slept_through_removal,
        keys.retry_after_a_change,
        keys.retry_after_a_purge_and_a_change,
        keys.retry_beside_another_key,
        keys.late_copy_after_a_purge,
        keys.wiped_disk,
        keys.acknowledged_before_the_sync,
        keys.deaf_to_a_delete,
        keys.newcomer_deaf_to_a_delete,
        keys.leaver_deaf_to_a_delete,
        keys.expired_on_one_clock,
        keys.read_while_handing_over,
        keys.woken_coordinator,
        keys.two_coordinators_in_a_change,
        keys.leased_by_old_alone,
    )
}


def play(name: str) -> Verdict:
    """Run one schedule and judge what its clients saw."""
    verdict = Verdict(-1)
    try:
        stage = SCHEDULES[name]()
    except BugError as error:
        verdict.kind, verdict.problem = "invariant", f"{type(error).__name__}: {error}"
        return verdict
    verdict.problem = stage.judge()
    verdict.kind = "history" if verdict.problem else "ok"
    if stage.overdue and verdict.kind == "ok":
        verdict.kind, verdict.problem = "liveness", stage.overdue
    verdict.story = stage.world.story or []
    verdict.acknowledged = stage.cluster.history.acknowledged
    verdict.events = stage.world.events
    return verdict
