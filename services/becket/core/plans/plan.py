"""A plan: one change of the ring as data, made of steps that are safe to interrupt.

Owns the values, their making from a placement, and their JSON form. Must not carry a plan out
(``progress`` does). Invariant: a plan holds no progress. What was done is read off the ring, so any
process may take a plan over at any moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar, cast

from becket.core.errors import EncodingError
from becket.core.placement.result import Cause, Placement
from becket.core.ring.config import Disk
from becket.core.ring.ring import Ring

T = TypeVar("T")

Json = dict[str, object]
"""What ``json.dumps`` takes: texts, whole numbers, lists and dicts of such."""


class PlanState(Enum):
    """What a person wants of the plan."""

    RUNNING = "running"
    PAUSED = "paused"
    """Nothing new begins; what has begun is finished."""
    CANCELLED = "cancelled"
    """Nothing new begins; what has begun is given up."""


@dataclass(frozen=True)
class Step:
    """One partition's change, from ``present`` to ``wished`` replicas (both in standing order)."""

    partition: int
    present: tuple[Disk, ...]
    wished: tuple[Disk, ...]
    cause: Cause

    @property
    def newcomers(self) -> tuple[Disk, ...]:
        """The members that have to be given a copy."""
        return tuple(disk for disk in self.wished if disk not in self.present)


@dataclass(frozen=True)
class Plan:
    """A ring change: why, for which ring, and its steps in order of urgency."""

    id: str
    cluster: str
    ring_version: int
    reason: str
    steps: tuple[Step, ...]
    sentences: tuple[str, ...]
    state: PlanState = PlanState.RUNNING
    earlier_steps: int = 0
    """So many more steps were done before another process took the plan over."""

    @property
    def copies(self) -> int:
        """How many copies the plan makes."""
        return sum(len(step.newcomers) for step in self.steps)

    def paused(self) -> Plan:
        """The same plan, to begin nothing new."""
        return replace(self, state=PlanState.PAUSED)

    def resumed(self) -> Plan:
        """The same plan, to go on."""
        return replace(self, state=PlanState.RUNNING)

    def cancelled(self) -> Plan:
        """The same plan, to be given up."""
        return replace(self, state=PlanState.CANCELLED)


def plan_for(ring: Ring, placement: Placement, *, id: str, reason: str) -> Plan:  # noqa: A002
    """The plan that leads from ``ring`` to a placement that was made from it.

    A step is one partition; steps are in order of cause, then of partition.
    """
    causes: dict[int, Cause] = {}
    for move in placement.moves:
        causes[move.partition] = min(move.cause, causes.get(move.partition, move.cause))
    steps = [
        Step(p, config.target, wished, causes.get(p, _without_copy(config.target, wished)))
        for p, (config, wished) in enumerate(zip(ring.configs, placement.replicas, strict=True))
        if config.target != wished
    ]
    steps.sort(key=lambda step: (step.cause, step.partition))
    return Plan(id, ring.cluster, ring.version, reason, tuple(steps), placement.sentences)


def _without_copy(present: tuple[Disk, ...], wished: tuple[Disk, ...]) -> Cause:
    return Cause.COORDINATORS if set(present) == set(wished) else Cause.BALANCE


def to_json(plan: Plan) -> Json:
    """The plan as plain values."""
    return {
        "id": plan.id,
        "cluster": plan.cluster,
        "ring_version": plan.ring_version,
        "reason": plan.reason,
        "state": plan.state.value,
        "earlier_steps": plan.earlier_steps,
        "sentences": list(plan.sentences),
        "steps": [
            {
                "partition": step.partition,
                "present": list(step.present),
                "wished": list(step.wished),
                "cause": step.cause.name.lower(),
            }
            for step in plan.steps
        ],
    }


def from_json(data: object) -> Plan:
    """The plan that ``to_json`` wrote.

    :raises EncodingError: a field is missing or of the wrong kind; ``field`` names it.
    """
    fields = _Fields("plan", data)
    steps = []
    for i, item in enumerate(fields.items("steps")):
        step = _Fields(f"steps[{i}]", item)
        cause = step.one_of("cause", {cause.name.lower(): cause for cause in Cause})
        steps.append(
            Step(step.number("partition"), step.texts("present"), step.texts("wished"), cause)
        )
    return Plan(
        id=fields.text("id"),
        cluster=fields.text("cluster"),
        ring_version=fields.number("ring_version"),
        reason=fields.text("reason"),
        steps=tuple(steps),
        sentences=fields.texts("sentences"),
        state=fields.one_of("state", {state.value: state for state in PlanState}),
        earlier_steps=fields.number("earlier_steps"),
    )


class _Fields:
    """Typed access to one JSON object; each failure names the field."""

    def __init__(self, name: str, data: object) -> None:
        if not isinstance(data, dict):
            raise EncodingError(name, "it is not an object")
        self._name = name
        self._data = cast("dict[object, object]", data)

    def _get(self, name: str) -> tuple[str, object]:
        field = name if self._name == "plan" else f"{self._name}.{name}"
        if name not in self._data:
            raise EncodingError(field, "it is missing")
        return field, self._data[name]

    def text(self, name: str) -> str:
        field, value = self._get(name)
        if not isinstance(value, str):
            raise EncodingError(field, "it is not a text")
        return value

    def number(self, name: str) -> int:
        field, value = self._get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise EncodingError(field, "it is not a whole number of 0 or more")
        return value

    def items(self, name: str) -> list[object]:
        field, value = self._get(name)
        if not isinstance(value, list):
            raise EncodingError(field, "it is not a list")
        return cast("list[object]", value)

    def texts(self, name: str) -> tuple[str, ...]:
        items = self.items(name)
        if not all(isinstance(item, str) for item in items):
            raise EncodingError(self._get(name)[0], "it holds something that is not a text")
        return tuple(cast("list[str]", items))

    def one_of(self, name: str, known: Mapping[str, T]) -> T:
        field, value = self._get(name)
        if not isinstance(value, str) or value not in known:
            raise EncodingError(field, f"{value!r} is not one of {', '.join(known)}")
        return known[value]
