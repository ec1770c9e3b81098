"""The picture of a benchmark: how long calls took, by percentile.

Owns the drawing, by matplotlib, into PNG, SVG or PDF after the file's ending.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from becket.cli.exits import UsageError

ENDINGS = (".png", ".svg", ".pdf")
_TICKS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99)


def check_ending(path: Path) -> None:
    """Raise UsageError where the ending says no form of picture."""
    if path.suffix not in ENDINGS:
        raise UsageError(f"--plot {path} must end in one of {', '.join(ENDINGS)}")


def draw_percentiles(
    curves: Mapping[str, Sequence[tuple[float, int]]], path: Path, title: str
) -> None:
    """One line for each of ``curves``: (per cent, microseconds), the tail spread out."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    for name, curve in curves.items():
        axes.plot(
            [_place(percent) for percent, _ in curve], [us / 1000 for _, us in curve], label=name
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylabel("milliseconds")
    axes.set_xlabel("per cent of calls that took at most so long")
    axes.set_xticks([_place(percent) for percent in _TICKS], [f"{p:g}" for p in _TICKS])
    axes.grid(visible=True, alpha=0.3)
    axes.set_title(title)
    if len(curves) > 1:
        axes.legend()
    figure.savefig(path, dpi=150)


def _place(percent: float) -> float:
    """On a logarithmic axis each step to the right is a tail of a tenth the size."""
    return 1 / (1 - min(percent, 99.999) / 100)
