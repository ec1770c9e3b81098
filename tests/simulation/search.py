"""Many seeds at once: runs them on every core, counts, and shortens what fails.

Owns progress and totals. A range of seeds gives the same totals on every machine.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.simulation.runner import Verdict, execute
from tests.simulation.shrinking import as_options, shrink

BATCH = 25


@dataclass
class Totals:
    """What many runs showed together."""

    runs: int = 0
    acknowledged: int = 0
    unknown: int = 0
    undecided: int = 0
    changes: int = 0
    faults: int = 0
    events: int = 0
    failures: list[Verdict] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: Verdict) -> None:
        """Count one run."""
        self.runs += 1
        self.acknowledged += verdict.acknowledged
        self.unknown += verdict.unknown
        self.undecided += verdict.undecided
        self.changes += verdict.changes
        self.faults += verdict.faults
        self.events += verdict.events
        if verdict.kind != "ok":
            self.kinds[verdict.kind] += 1
            self.failures.append(verdict)

    def __str__(self) -> str:
        """Print one line of figures."""
        failed = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        return (
            f"{self.runs:,} schedules: {self.acknowledged:,} operations acknowledged, "
            f"{self.unknown:,} unknown, {self.changes:,} ring changes, {self.faults:,} faults, "
            f"{self.events:,} events, {self.undecided:,} keys undecided, "
            f"violations: {failed or 'none'}"
        )


def _run_batch(seeds: list[int]) -> list[Verdict]:
    return [execute(seed) for seed in seeds]


def _batches(seeds: Iterable[int]) -> Iterator[list[int]]:
    batch: list[int] = []
    for seed in seeds:
        batch.append(seed)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def search(seeds: Iterable[int], *, processes: int, stop_after: int = 10) -> Totals:
    """Run the seeds; ends early once ``stop_after`` of them have failed."""
    totals = Totals()
    began = last = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for verdicts in pool.imap(_run_batch, _batches(seeds)):
            for verdict in verdicts:
                totals.add(verdict)
                if verdict.kind != "ok":
                    print(f"seed {verdict.seed}: {verdict.kind}", flush=True)
            now = time.monotonic()
            if now - last >= 10:
                last = now
                print(f"{totals.runs / (now - began):.0f} a second; {totals}", flush=True)
            if len(totals.failures) >= stop_after:
                pool.terminate()
                break
    print(f"{totals.runs / (time.monotonic() - began):.0f} a second; {totals}", flush=True)
    return totals


def report(totals: Totals) -> int:
    """Print each failure, the first of each kind as a short story; the exit code."""
    told: set[str] = set()
    for verdict in totals.failures:
        print(f"\nseed {verdict.seed}: {verdict.kind}: {verdict.problem}", file=sys.stderr)
        if verdict.kind not in told:
            told.add(verdict.kind)
            trim, short = shrink(verdict.seed, verdict.kind)
            print(f"shortened: {as_options(verdict.seed, trim)}", file=sys.stderr)
            print("\n".join(short.story), file=sys.stderr)
    return 1 if totals.failures else 0
