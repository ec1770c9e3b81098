"""What a plan means for each member: copies and bytes before, meanwhile, after.

Owns the sums. Must not measure: sizes are what members report.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from becket.core.plans.plan import Plan
from becket.core.ring.config import Disk
from becket.core.ring.ring import Ring
from becket.core.supervision.estimates import Estimate
from becket.core.supervision.snapshot import Snapshot


@dataclass(frozen=True)
class PlanLoad:
    """What a plan means for one member; sizes in bytes.

    ``first``: partitions for which it stands first.
    """

    disk: Disk
    copies_before: int
    copies_after: int
    first_before: int
    first_after: int
    bytes_before: int
    bytes_after: int
    received: int
    sent: int


def member_loads(
    ring: Ring, plan: Plan, made: Estimate, snapshot: Snapshot
) -> tuple[PlanLoad, ...]:
    """Every member that holds something, or will, in the order of the ring; new ones last.

    For a plan under way "before" is the ring as it is now, its changes under way not counted.
    """
    before, after, first_before, first_after = (Counter[Disk]() for _ in range(4))
    received, sent, lost = Counter[Disk](), Counter[Disk](), Counter[Disk]()
    wished = {step.partition: step for step in plan.steps}
    sizes = dict(zip(wished, made.step_bytes, strict=True))
    for partition, config in enumerate(ring.configs):
        before.update(config.old)
        first_before[config.old[0]] += 1
        step = wished.get(partition)
        target = config.target if step is None else step.wished
        after.update(target)
        first_after[target[0]] += 1
        come = [disk for disk in target if disk not in config.old]
        if step is None or not come:
            continue
        size = sizes[partition] // max(1, len(step.newcomers))
        for disk in come:
            received[disk] += size
        report = snapshot.coordinators.get(partition)
        sent[config.old[0] if report is None else report.epoch.disk] += size * len(come)
        for disk in config.old:
            if disk not in target:
                lost[disk] += size
    known = [member.disk for member in ring.members]
    others = sorted(disk for disk in after if disk not in ring.by_disk)
    return tuple(
        PlanLoad(
            disk,
            before[disk],
            after[disk],
            first_before[disk],
            first_after[disk],
            _used(snapshot, disk),
            max(0, _used(snapshot, disk) + received[disk] - lost[disk]),
            received[disk],
            sent[disk],
        )
        for disk in [*known, *others]
        if before[disk] or after[disk]
    )


def _used(snapshot: Snapshot, disk: Disk) -> int:
    seen = snapshot.by_disk.get(disk)
    return 0 if seen is None else seen.used_bytes
