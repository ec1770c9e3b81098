"""``becket availability``: the model of failures for a cluster as it is, and its simulation.

Owns the JSON form and the sentences. Must not model: ``core.availability`` does. Nothing is asked
of the cluster but its ring.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import NamedTuple, TypedDict

from becket.cli.rings import RingRow
from becket.core.availability import (
    HOURS_PER_YEAR,
    Failing,
    lost_majority,
    shape_of,
    simulate,
)
from becket.core.errors import NotAppliedError


class ShapeRow(TypedDict):
    """Partitions whose replicas are spread alike: how many in each zone."""

    replicas_by_zone: list[int]
    partitions: int
    lost_probability: float
    minutes_per_year: float


class AvailabilityRow(TypedDict):
    """``lost_probability``: of a partition, on average; ``any_...``: of the cluster, simulated."""

    member_down: float
    zone_down: float
    shapes: list[ShapeRow]
    lost_probability: float
    minutes_per_year: float
    draws: int
    simulated_probability: float
    simulated_error: float
    any_simulated_probability: float
    any_simulated_error: float


class Assumed(NamedTuple):
    """What is assumed of members and zones, and how it is simulated."""

    member: Failing
    zone: Failing
    draws: int
    seed: int


def availability(ring: RingRow, assumed: Assumed) -> AvailabilityRow:
    """What the model and the simulation say of this ring.

    :raises NotAppliedError: the ring names no partition.
    """
    if not ring["partitions"]:
        raise NotAppliedError("the ring has no partitions yet")
    # Members without a zone share none: each of them is alone in one that never fails.
    by_name = {member["name"]: member["zone"] for member in ring["members"]}
    has_zones = any(by_name.values())
    zone_of = {name: zone if has_zones else f"alone {name}" for name, zone in by_name.items()}
    zone = assumed.zone if has_zones else Failing(0.0, 0.0)
    replicas = [row["replicas"] for row in ring["partitions"]]
    shapes = Counter(shape_of(names, zone_of) for names in replicas)  # type: ignore[arg-type]
    rows = []
    for shape, count in sorted(shapes.items()):
        chance = lost_majority(shape, assumed.member, zone)
        rows.append(
            ShapeRow(
                replicas_by_zone=[*shape],
                partitions=count,
                lost_probability=chance,
                minutes_per_year=chance * HOURS_PER_YEAR * 60,
            )
        )
    mean = sum(row["lost_probability"] * row["partitions"] for row in rows) / len(replicas)
    rng = random.Random(assumed.seed)  # noqa: S311 - a simulation is no secret
    drawn = simulate(replicas, zone_of, (assumed.member, zone), rng, assumed.draws)
    return AvailabilityRow(
        member_down=assumed.member.down,
        zone_down=zone.down,
        shapes=rows,
        lost_probability=mean,
        minutes_per_year=mean * HOURS_PER_YEAR * 60,
        draws=drawn.draws,
        simulated_probability=drawn.lost,
        simulated_error=drawn.error,
        any_simulated_probability=drawn.any_lost,
        any_simulated_error=drawn.any_error,
    )


def lines(found: AvailabilityRow) -> list[str]:
    """The result for a person, but for its table."""
    down = f"{found['member_down']:.3%} of the time, a zone {found['zone_down']:.3%}"
    lost = f"{found['lost_probability']:.3g}, {found['minutes_per_year']:.2f} minutes a year"
    drawn = f"{found['simulated_probability']:.3g} +- {found['simulated_error']:.1g}"
    often = f"{found['any_simulated_probability']:.3g} +- {found['any_simulated_error']:.1g}"
    return [
        f"a member is down {down}",
        f"a partition has no majority with probability {lost}",
        f"simulated ({found['draws']:,} draws): {drawn}; some partition of all: {often}",
    ]
