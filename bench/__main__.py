"""Becket beside its peers, in one run on one machine: ``make bench``.

Owns the order of systems and where the results go. Each system has a process of its own and a limit
on its time; one that cannot be had here is skipped, with the reason.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from becket.core.build import is_compiled
from bench import balance, cluster_size, restarts, ring_change
from bench.bars import changes, read_stored, store, verdicts
from bench.rounds import merged
from bench.systems import SYSTEMS
from bench.telling import picture, tell
from bench.workloads import BOUNDS, SIZES

LIMIT_S = {"smoke": 60.0, "quick": 240.0, "full": 1800.0}
"""For one system."""

OUT = Path(".build") / "bench"


def measure(name: str, size: str, seed: int, folder: Path, only: str) -> dict[str, Any]:
    """The report of one system; whatever goes wrong with it is in the report."""
    file = folder / f"{name}.json"
    file.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "bench.measuring", name, size, str(seed), str(file), only]
    problem = ""
    try:
        done = subprocess.run(argv, check=False, timeout=LIMIT_S[size])
        if done.returncode:
            problem = f"the measurement ended with {done.returncode}"
    except subprocess.TimeoutExpired:
        problem = f"it took longer than {LIMIT_S[size]:.0f} s"
    report: dict[str, Any] = {"system": name, "skipped": problem, "rows": {}}
    if file.exists():
        report = json.loads(file.read_text())
    if problem:
        report["problem"] = problem
    return report


def problems(reports: dict[str, dict[str, Any]]) -> list[str]:
    """What went wrong: operations that failed without anybody being killed, runs that ended."""
    said = []
    for name, report in reports.items():
        if report.get("problem"):
            said.append(f"{name}: {report['problem']}")
        if report["skipped"] and (name.startswith("becket") or name in BOUNDS):
            said.append(f"{name}: {report['skipped']}")
        for workload, row in report["rows"].items():
            if row.get("failed") and "gap_longest_ms" not in row:
                said.append(f"{name}: {workload}: {row['failed']}: {row['reasons']}")
            if "skipped" not in row and not row.get("operations"):
                said.append(f"{name}: {workload}: nothing was done")
    return said


def main(
    *,
    size: Annotated[str, typer.Option(help=f"One of {', '.join(SIZES)}.")] = "quick",
    systems: Annotated[str, typer.Option(help="Names with commas between them.")] = "",
    only: Annotated[str, typer.Option(help="Workloads with this in their name.")] = "",
    seed: Annotated[int, typer.Option(help="The same seed asks for the same keys.")] = 1,
    out: Annotated[Path, typer.Option(help="The folder for results.")] = OUT,
    rounds: Annotated[
        int, typer.Option(min=1, max=10, help="Measure all in turn so often; the fastest counts.")
    ] = 1,
    keep: Annotated[bool, typer.Option(help="Store the ratios, for later runs.")] = False,
) -> None:
    """Measure, print one table, write results.json and picture.png."""
    names = systems.split(",") if systems else list(SYSTEMS)
    unknown = [name for name in names if name not in SYSTEMS]
    if size not in SIZES or unknown:
        raise typer.BadParameter(f"sizes are {', '.join(SIZES)}; systems {', '.join(SYSTEMS)}")
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    each = [{name: measure(name, size, seed, out, only) for name in names} for _ in range(rounds)]
    reports = {name: merged([one[name] for one in each]) for name in names}
    results = {
        "size": size,
        "seed": seed,
        "rounds": rounds,
        "compiled": is_compiled(),
        "python": platform.python_version(),
        "systems": reports,
    }
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    tell(reports, verdicts(reports), changes(reports, read_stored()))
    picture(reports, out / "picture.png")
    print(f"{time.monotonic() - began:.0f} s; results.json and picture.png are in {out}")
    if keep:
        store(reports)
    wrong = [sentence for one in each for sentence in problems(one)]
    for sentence in wrong:
        print(f"wrong: {sentence}", file=sys.stderr)
    if wrong:
        raise typer.Exit(1)


OTHERS: dict[str, Callable[[list[str]], None]] = {
    "ring-change": ring_change.main,
    "balance": balance.main,
    "cluster-size": cluster_size.main,
    "restarts": restarts.main,
}
"""Benches of Becket alone, with command lines of their own."""

if __name__ == "__main__":
    # An interpreted Becket is another measurement.
    build = "compiled, as in an image" if is_compiled() else "interpreted"
    print(f"becket is {build}; Python {platform.python_version()}", flush=True)
    if sys.argv[1:2] and sys.argv[1] in OTHERS:
        OTHERS[sys.argv[1]](sys.argv[2:])
    else:
        typer.run(main)
