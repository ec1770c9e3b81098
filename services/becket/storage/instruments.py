"""What a member measures of itself, beside what the skeleton measures of every process.

Owns the names ``becket.storage.*``. Must not hold state: every instrument reads what others own, at
the moment when somebody collects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from becket.adapters.engines.damage import Damage
from becket.storage.calls import Calls
from becket.storage.links import Links
from becket.storage.ring_keeper import RingKeeper
from becket.storage.shell import Shell

Read = Callable[[], float]


def observe(
    meter: Meter, shell: Shell, calls: Calls, parts: tuple[Links, RingKeeper, Damage]
) -> None:
    """Show this member in the metrics."""
    links, keeper, damage = parts
    commits = shell.commits
    counters: tuple[tuple[str, Read, str, str], ...] = (
        ("operations", lambda: calls.served, "{operation}", "Operations answered."),
        ("syncs", lambda: commits.syncs, "{sync}", "Syncs of the log."),
        ("dropped", lambda: links.dropped, "{entry}", "Entries that a full outbox dropped."),
        ("damage.found", lambda: damage.found, "{cell}", "Cells that were found damaged."),
        ("damage.mended", lambda: damage.mended, "{cell}", "Damaged cells written anew."),
    )
    gauges: tuple[tuple[str, Read, str, str], ...] = (
        ("in_flight", lambda: calls.in_flight, "{operation}", "Operations begun, not answered."),
        ("batch.duration", lambda: calls.latency_s, "s", "A batch, smoothed."),
        ("sync.duration", lambda: commits.sync_s, "s", "A sync, smoothed."),
        ("coordinating", lambda: len(shell.member.reigns()), "{partition}", "Coordinated here."),
        ("damage.present", lambda: damage.present, "{cell}", "Cells known to be damaged now."),
        ("disk.unreadable", lambda: bool(damage.unreadable), "1", "1 where files do not read."),
        ("ring.version", lambda: keeper.version, "1", "The ring that this member knows."),
    )
    for name, read, unit, text in counters:
        meter.create_observable_counter(f"becket.storage.{name}", [_reading(read)], unit, text)
    for name, read, unit, text in gauges:
        meter.create_observable_gauge(f"becket.storage.{name}", [_reading(read)], unit, text)


def _reading(read: Read) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _options: (Observation(read()),)
