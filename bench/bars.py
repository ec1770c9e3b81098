"""What Becket has to reach beside the others: each bar a ratio of two figures of the same run.

Owns the bars, and the comparison with the ratios that were stored before (``ratios.json``). A bar
or a stored ratio that is missed is told; it never fails a build, since machines differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

Reports = Mapping[str, Mapping[str, Any]]
"""By system, what ``bench.measuring`` has written."""

STORED = Path(__file__).with_name("ratios.json")
TOLERANCE = 0.4
"""Two runs on a machine that others use as well differ by as much, also in ratios."""

GET, PUT = "get 100 B", "put 100 B"
GETS, PUTS = "get in batches of 100", "put in batches of 100"


class Figure(NamedTuple):
    """One figure: of which system, in which workload, which field."""

    system: str
    workload: str
    field: str = "rate"

    def of(self, reports: Reports) -> float | None:
        """Its value; None where it was not measured."""
        row = reports.get(self.system, {}).get("rows", {}).get(self.workload, {})
        value = row.get(self.field)
        return float(value) if value else None


class Bar(NamedTuple):
    """``figure`` over ``beside`` must be at least, or for ``at_most`` at most, ``bar``.

    Without ``beside`` the figure itself is meant, times ``scale``.
    """

    name: str
    figure: Figure
    beside: Figure | None
    bar: float
    at_most: bool = False
    unit: str = "x"
    scale: float = 1.0
    bound: Figure | None = None
    """What the same does with nothing behind it; it is put beside ``beside`` as well."""

    def value(self, reports: Reports) -> float | None:
        """The ratio, or the figure; None where one of both is missing."""
        return self._ratio(self.figure, reports)

    def most(self, reports: Reports) -> float | None:
        """What ``bound`` reaches; None where there is none, or it was not measured."""
        return None if self.bound is None else self._ratio(self.bound, reports)

    def _ratio(self, of: Figure, reports: Reports) -> float | None:
        figure = of.of(reports)
        if figure is None:
            return None
        if self.beside is None:
            return figure * self.scale
        other = self.beside.of(reports)
        return None if other is None else figure / other

    def is_met(self, value: float) -> bool:
        """Whether that is enough."""
        return value <= self.bar if self.at_most else value >= self.bar


def _beside(name: str, workload: str, others: Mapping[str, float]) -> list[Bar]:
    return [
        Bar(f"{name} / {other}", Figure("becket", workload), Figure(other, workload), bar)
        for other, bar in others.items()
    ]


def _beside_echo(name: str, of: str, count: int, bar: float, bound: str) -> Bar:
    """Gets of ``count`` in flight beside the unary echo, and what a bare ``bound`` reaches."""
    workload = _single(count)
    figure, echo = Figure(of, workload), Figure("echo", workload)
    name = f"{name}, {count} in flight / echo"
    return Bar(name, figure, echo, bar, bound=Figure(bound, workload))


def _single(count: int, mix: str = GET) -> str:
    return f"{mix}, {count} in flight"


BARS = [
    _beside_echo("get", "becket", 1, 1.3, "stream"),
    _beside_echo("get by router", "becket-router", 1, 0.45, "relay"),
    _beside_echo("get by router", "becket-router", 64, 0.6, "relay"),
    *_beside("get, 64 in flight", _single(64), {"redis": 3, "etcd": 8}),
    *_beside("put, 64 in flight", _single(64, PUT), {"redis": 1, "nats": 1, "etcd": 3}),
    *_beside("put, 256 in flight", _single(256, PUT), {"redis": 1.8, "nats": 1.8}),
    *_beside("get, batches of 100", GETS, {"redis": 3, "etcd": 1.2}),
    *_beside("put, batches of 100", PUTS, {"redis": 1.2, "etcd": 1}),
    *(
        Bar(
            f"processor time per {name}, 256",
            Figure("becket", _single(256, mix), "processor_us"),
            None,
            most_us,
            at_most=True,
            unit="us",
        )
        for name, mix, most_us in (("put", PUT, 90), ("get", GET, 15))
    ),
    Bar("load, keys a second", Figure("becket", "load"), None, 30_000, unit="/s"),
    *(
        Bar(
            f"p99.9 / p50 of {name} at half load",
            Figure("becket", f"{mix}, half load", "p99.9_us"),
            Figure("becket", f"{mix}, half load", "p50_us"),
            10,
            at_most=True,
        )
        for name, mix in (("get", GET), ("put", PUT))
    ),
    Bar(
        "longest gap, one killed",
        Figure("becket", "mixed, one killed", "gap_longest_ms"),
        None,
        1000,
        at_most=True,
        unit="ms",
    ),
]


class Verdict(NamedTuple):
    """One line of the table of bars."""

    name: str
    wanted: str
    found: str
    is_met: bool | None
    """None: it could not be measured here."""
    bound: str = ""
    """What is reached with nothing behind it, where that is measured."""


def verdicts(reports: Reports) -> list[Verdict]:
    """Each bar, met or missed."""
    found = []
    for bar in BARS:
        value = bar.value(reports)
        wanted = f"{'<=' if bar.at_most else '>='} {bar.bar:,g} {bar.unit}"
        if value is None:
            found.append(Verdict(bar.name, wanted, "-", None))
            continue
        most = bar.most(reports)
        bound = "" if most is None else f"{most:,.3g} {bar.unit}"
        figure = f"{value:,.3g} {bar.unit}"
        found.append(Verdict(bar.name, wanted, figure, bar.is_met(value), bound))
    found.append(_wait_for_put(reports))
    return found


def _wait_for_put(reports: Reports) -> Verdict:
    """p50 of a put at 1 in flight, beside two echoes and one sync."""
    put = Figure("becket", _single(1, PUT), "p50_us").of(reports)
    echo = Figure("echo", _single(1, PUT), "p50_us").of(reports)
    disk = Figure("rocks", _single(1, PUT), "p50_us").of(reports)
    name, wanted = "p50 of put, 1 in flight / (2 echoes + 1 sync)", "<= 1 x"
    if put is None or echo is None or disk is None:
        return Verdict(name, wanted, "-", None)
    ratio = put / (2 * echo + disk)
    return Verdict(name, wanted, f"{ratio:.3g} x", ratio <= 1)


# What was stored


def ratios(reports: Reports) -> dict[str, float]:
    """The ratios of a run, by name."""
    return {
        bar.name: float(f"{value:.3g}") for bar in BARS if (value := bar.value(reports)) is not None
    }


def changes(reports: Reports, stored: Mapping[str, Any]) -> list[str]:
    """Sentences on ratios that have left their tolerance."""
    said = []
    now = ratios(reports)
    for bar in BARS:
        before = stored.get(bar.name)
        if before is None or bar.name not in now:
            continue
        share = now[bar.name] / before["ratio"] - 1
        if abs(share) > before["tolerance"]:
            is_better = (share > 0) != bar.at_most
            word = "better" if is_better else "worse"
            said.append(f"{bar.name}: {before['ratio']:g} before, {now[bar.name]:g} now: {word}")
    return said


def read_stored() -> dict[str, Any]:
    """The stored table; empty where there is none."""
    if not STORED.exists():
        return {}
    content: dict[str, Any] = json.loads(STORED.read_text())
    return content


def store(reports: Reports) -> None:
    """Make this run the one that later ones are compared with."""
    table = {name: {"ratio": r, "tolerance": TOLERANCE} for name, r in ratios(reports).items()}
    STORED.write_text(json.dumps(table, indent=2) + "\n")
