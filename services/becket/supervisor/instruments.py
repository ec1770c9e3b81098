"""What a supervisor measures: the cluster in numbers, as of its last round.

Owns the instruments named ``becket.supervisor.*``. Must not compute: callbacks run in other
threads, and read numbers that a round has left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from becket.supervisor.cycle import Cycle

Read = Callable[[], Iterable[Observation]]


def observe(meter: Meter, cycle: Cycle) -> None:
    """Show what the cycle sees in the metrics."""

    def partitions() -> Iterable[Observation]:
        view = cycle.view_of_cluster
        yield Observation(view.whole, {"becket.partition.state": "whole"})
        yield Observation(view.degraded, {"becket.partition.state": "degraded"})
        yield Observation(view.stalled, {"becket.partition.state": "stalled"})

    def members() -> Iterable[Observation]:
        view = cycle.view_of_cluster
        yield Observation(view.wished_members, {"becket.member.state": "wished"})
        yield Observation(view.alive_members, {"becket.member.state": "alive"})

    def ring() -> Iterable[Observation]:
        confirmed = cycle.writer.confirmed
        yield Observation(0 if confirmed is None else confirmed.version)

    def frozen() -> Iterable[Observation]:
        yield Observation(int(cycle.decision.judgement.is_frozen))

    def planned() -> Iterable[Observation]:
        plan = cycle.supervision.planning.current
        yield Observation(0 if plan is None else len(plan.steps))

    def leading() -> Iterable[Observation]:
        yield Observation(int(cycle.reign.may_act))

    for name, read, unit, text in (
        ("leading", leading, "1", "Whether this supervisor leads and may act."),
        ("partitions", partitions, "{partition}", "Partitions by how many replicas are well."),
        ("members", members, "{member}", "Members that should be, and that are alive."),
        ("ring.version", ring, "1", "The version of the newest confirmed ring."),
        ("frozen", frozen, "1", "Whether ring changes are frozen."),
        ("plan.steps", planned, "{step}", "Steps of the plan under way, done ones included."),
    ):
        meter.create_observable_gauge(f"becket.supervisor.{name}", [_reading(read)], unit, text)


def observe_ages(meter: Meter, ages: Callable[[], Mapping[str, float]]) -> None:
    """Show how long ago the Kubernetes API last told something, by kind."""

    def read() -> Iterable[Observation]:
        for kind, age_s in ages().items():
            yield Observation(age_s, {"becket.kubernetes.kind": kind})

    name, text = "becket.supervisor.kubernetes.event.age", "Since the API last told of this kind."
    meter.create_observable_gauge(name, [_reading(read)], "s", text)


def _reading(read: Read) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _options: list(read())
