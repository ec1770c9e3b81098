"""What a run is told as: one table, the bars, one picture.

Owns the form. Must not measure or judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from bench.bars import Reports, Verdict
from bench.systems import SYSTEMS
from bench.workloads import WORKLOADS

PICTURED = (
    "get 100 B, 1 in flight",
    "get 100 B, 64 in flight",
    "get 100 B, 256 in flight",
    "put 100 B, 1 in flight",
    "put 100 B, 64 in flight",
    "put 100 B, 256 in flight",
    "get in batches of 100",
    "put in batches of 100",
)
TAILS = ("get 100 B, half load", "put 100 B, half load")
WIDTH = 170


def table(reports: Reports) -> Table:
    """A line for each workload, a column for each system: rate, p50 and p99 in ms."""
    drawn = Table(title="operations a second (p50 / p99 in ms)", title_justify="left")
    drawn.add_column("workload", no_wrap=True)
    present = [name for name in SYSTEMS if name in reports]
    for name in present:
        drawn.add_column(SYSTEMS[name].title, justify="right")
    for workload in WORKLOADS:
        cells = [_cell(reports[name]["rows"].get(workload.name)) for name in present]
        if any(cell != "-" for cell in cells):
            drawn.add_row(workload.name, *cells)
    return drawn


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None or "skipped" in row:
        return "-"
    failed = sum(row["failed"].values())
    if "gap_longest_ms" in row:
        text = f"gap {row['gap_longest_ms']:,.0f} ms"
    else:
        text = f"{row['rate']:,.0f} ({row['p50_us'] / 1e3:.2f} / {row['p99_us'] / 1e3:.1f})"
    return f"{text}, {failed:,} failed" if failed else text


def bars_table(found: Sequence[Verdict]) -> Table:
    """The bars, met or missed, and what the bare thing reaches beside the same figure."""
    drawn = Table(title="bars", title_justify="left")
    for column in ("what", "bar", "found", "", "bare"):
        drawn.add_column(column, no_wrap=True)
    words = {True: "met", False: "missed", None: "not measured"}
    for verdict in found:
        word = words[verdict.is_met]
        drawn.add_row(verdict.name, verdict.wanted, verdict.found, word, verdict.bound)
    return drawn


def tell(reports: Reports, found: Sequence[Verdict], said: Sequence[str]) -> None:
    """Print all of it."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(table(reports))
    for name, report in reports.items():
        if report["skipped"]:
            console.print(f"{name}: skipped: {report['skipped']}")
    console.print(bars_table(found))
    for sentence in said:
        console.print(f"beside the stored ratios: {sentence}")


def picture(reports: Reports, path: Path) -> None:
    """Rates of every system, and the percentiles of all at half of their load."""
    figure = Figure(figsize=(15, 11), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(3, 2))
    upper, lower = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    # The disk alone would make all others invisible.
    present = [n for n in SYSTEMS if n != "rocks" and reports.get(n, {}).get("rows")]
    colours = {name: f"C{place}" for place, name in enumerate(SYSTEMS)}
    for axes, workload in zip(upper.subplots(2, 4).flat, PICTURED, strict=True):
        rates = [reports[n]["rows"].get(workload, {}).get("rate") or 0 for n in present]
        axes.barh(range(len(present)), rates, color=[colours[name] for name in present])
        axes.set_yticks(
            range(len(present)),
            present if axes.get_subplotspec().is_first_col() else [""] * len(present),
        )
        axes.invert_yaxis()
        axes.set_title(workload, fontsize=10)
        axes.ticklabel_format(axis="x", style="plain")
        axes.tick_params(axis="x", labelrotation=30, labelsize=8)
    upper.suptitle("operations a second")
    for axes, workload in zip(lower.subplots(1, 2), TAILS, strict=True):
        for name in present:
            curve = reports[name]["rows"].get(workload, {}).get("curve")
            if curve:
                places = [1 / (1 - percent / 100) for percent, _ in curve[1:]]
                axes.plot(
                    places, [us / 1000 for _, us in curve[1:]], color=colours[name], label=name
                )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks([2, 10, 100, 1000, 10000], ["50", "90", "99", "99.9", "99.99"])
        axes.set_title(f"{workload}: milliseconds by per cent of calls", fontsize=10)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
