"""What the skeleton measures of every process, beside its calls.

Owns the instruments named ``becket.process.*``. Must not hold state: it reads what others own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from becket.runtime.guards import Admission
from becket.runtime.health import Health

Read = Callable[[], int]


def observe(meter: Meter, admission: Admission, health: Health) -> None:
    """Show calls, streams, refusals and readiness in the metrics."""
    meter.create_observable_gauge(
        "becket.process.calls",
        [_reading(lambda: admission.unary)],
        "{call}",
        "Unary calls at this moment.",
    )
    meter.create_observable_gauge(
        "becket.process.streams",
        [_reading(lambda: admission.streams)],
        "{stream}",
        "Streams at this moment.",
    )
    meter.create_observable_counter(
        "becket.process.refused",
        [_reading(lambda: admission.refused)],
        "{call}",
        "Calls and streams refused because too many were there.",
    )
    meter.create_observable_gauge(
        "becket.process.ready",
        [_reading(lambda: int(health.ready))],
        "1",
        "Whether calls should be sent here.",
    )


def _reading(read: Read) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _options: (Observation(read()),)
