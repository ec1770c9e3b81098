"""``python -m tests.simulation mutants``: remove each safeguard; the simulation must notice.

Owns the search over mutants and the table of the seeds that caught them (``mutant_seeds.json``).
Each mutant runs in processes of its own (``mutant_trial``). A mutant is caught by ``invariant``
(the core's own assertions), by ``history`` (what clients saw is not linearizable) or by
``liveness``; a crash of the changed code is none of these. Where a run-time invariant is first,
the search goes on with all invariants off, to show that clients would have seen it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tests.simulation.mutant_list import MUTANTS
from tests.simulation.mutant_trial import Finding, Trial

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("mutant_seeds.json")


@dataclass(frozen=True)
class Row:
    """What is known of one mutant.

    ``seed`` and ``kind``: with the invariants on; ``history_seed`` and ``history_kind``: with
    them off, the same seed where the invariants were not what caught it. -1: not caught in
    ``tried`` (or ``history_tried``) seeds. ``shown``: how its written schedule catches it.
    """

    name: str
    seed: int = -1
    kind: str = ""
    tried: int = 0
    history_seed: int = -1
    history_kind: str = ""
    history_tried: int = 0
    shown: str = ""

    @property
    def is_caught(self) -> bool:
        """Whether anything catches it."""
        return self.seed >= 0 or self.history_seed >= 0 or bool(self.shown)


def _start(trial: Trial) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT / "services"), str(ROOT)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation.mutant_trial", json.dumps(asdict(trial))],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def run(trial: Trial) -> Finding:
    """One trial in a fresh process."""
    done = _start(trial)
    if done.returncode:
        return Finding(-1, "broken", 0, done.stderr[-2000:])
    return Finding(**json.loads(done.stdout.splitlines()[-1]))


def search(name: str, first: int, count: int) -> Row:
    """Run seeds until the mutant is caught, with invariants and by what clients see."""
    with_invariants = run(Trial(name, first, count))
    row = Row(name, with_invariants.seed, with_invariants.kind, with_invariants.tried)
    schedule = MUTANTS[name].schedule
    if schedule:
        row = replace(row, shown=run(Trial(name, schedule=schedule, invariants=False)).kind)
    if with_invariants.kind == "broken":
        print(f"{name}: {with_invariants.problem}", file=sys.stderr, flush=True)
        return row
    if with_invariants.kind == "invariant":
        without = run(Trial(name, first, count, invariants=False))
        return replace(
            row,
            history_seed=without.seed,
            history_kind=without.kind,
            history_tried=without.tried,
        )
    if with_invariants.seed >= 0:
        return replace(row, history_seed=row.seed, history_kind=row.kind, history_tried=row.tried)
    if with_invariants.crashes:
        print(f"{name}: {with_invariants.crashes} crashes, {with_invariants.problem}", flush=True)
    return replace(row, history_tried=row.tried)


def read_table() -> dict[str, Row]:
    """The recorded rows."""
    if not TABLE.exists():
        return {}
    return {name: Row(name, **row) for name, row in json.loads(TABLE.read_text()).items()}


def write_table(rows: Iterable[Row]) -> None:
    """Record the rows, in the order of the list."""
    known = {row.name: row for row in rows}
    table = {}
    for name in MUTANTS:
        if name in known:
            row = asdict(known[name])
            del row["name"]
            table[name] = row
    TABLE.write_text(json.dumps(table, indent=1) + "\n")


def tell(row: Row) -> str:
    """One line on one mutant."""
    mutant = MUTANTS[row.name]
    mark = " (harmless?)" if mutant.harmless else ""
    if row.seed < 0 and row.history_seed < 0:
        text = f"not caught in {row.tried:,} schedules"
    else:
        text = f"{row.kind} at seed {row.seed} after {row.tried:,}"
        if row.kind == "invariant":
            found = row.history_seed >= 0
            text += (
                f"; {row.history_kind} at seed {row.history_seed} after {row.history_tried:,}"
                if found
                else f"; not seen by clients in {row.history_tried:,}"
            )
    if mutant.schedule:
        text += f"; {row.shown or 'NOT CAUGHT'} by {mutant.schedule}"
    return f"{row.name:26}{mutant.rule:10}{text}{mark}"


def refresh(names: Iterable[str], options: argparse.Namespace) -> int:
    """Search for all the given mutants and record what was found."""
    table = read_table()

    def one(name: str) -> Row:
        row = search(name, options.first, options.schedules)
        print(tell(row), flush=True)
        return row

    with ThreadPoolExecutor(options.processes) as pool:
        for row in pool.map(one, list(names)):
            if options.record:
                table[row.name] = row
                write_table(table.values())
    missed = [row.name for row in table.values() if not row.is_caught]
    missed = [name for name in missed if not MUTANTS[name].harmless]
    print(f"{len(table) - len(missed)} of {len(MUTANTS)}; not caught: {', '.join(missed) or '-'}")
    return 1 if missed else 0


def _trials(row: Row) -> list[Trial]:
    """Everything that is recorded of one mutant, to be tried again."""
    trials = []
    if row.seed >= 0:
        trials.append(Trial(row.name, seeds=[row.seed]))
    if row.history_seed >= 0 and row.kind == "invariant":
        trials.append(Trial(row.name, seeds=[row.history_seed], invariants=False))
    if row.shown:
        schedule = MUTANTS[row.name].schedule
        trials.append(Trial(row.name, schedule=schedule, invariants=False))
    return trials


def ci(options: argparse.Namespace) -> int:
    """Every recorded seed must still catch its mutant, and pass with the core as it is."""
    began = time.monotonic()
    table = read_table()
    failures = [f"{name}: not in the table" for name in MUTANTS if name not in table]
    failures += [f"{name}: no such mutant" for name in table if name not in MUTANTS]
    trials = [trial for name, row in table.items() if name in MUTANTS for trial in _trials(row)]
    seeds = sorted({seed for trial in trials for seed in trial.seeds})
    sound = [Trial("", seeds=seeds[start::4]) for start in range(4) if seeds[start::4]]
    names = sorted({trial.schedule for trial in trials if trial.schedule})
    sound += [Trial("", schedule=name) for name in names]
    with ThreadPoolExecutor(options.processes) as pool:
        for trial, finding in zip(trials, pool.map(run, trials), strict=True):
            if finding.seed < 0:
                how = f"by {trial.schedule}" if trial.schedule else f"at seed {trial.seeds[0]}"
                off = "" if trial.invariants else " without invariants"
                failures.append(f"{trial.name}: not caught {how}{off}: {finding.problem}")
        for trial, finding in zip(sound, pool.map(run, sound), strict=True):
            if finding.seed >= 0 or finding.kind == "broken" or finding.crashes:
                what = trial.schedule or f"seed {finding.seed}"
                failures.append(f"the core itself fails {what}: {finding.problem}")
    for failure in failures:
        print(failure, file=sys.stderr)
    missed = [n for n, r in table.items() if not r.is_caught]
    print(
        f"{len(table) - len(missed)} of {len(MUTANTS)} mutants are caught, by {len(trials)} runs; "
        f"the core itself passes the same {len(seeds)} seeds and {len(names)} schedules; "
        f"not caught: {', '.join(missed) or 'none'}; {len(failures)} failures, "
        f"{time.monotonic() - began:.0f} s"
    )
    return 1 if failures else 0


def show(name: str, options: argparse.Namespace) -> int:
    """Run one mutant once and tell its story; the exit code is 0 when it is caught."""
    schedule = MUTANTS[name].schedule if options.seed is None else ""
    seeds = [] if options.seed is None else [options.seed]
    trial = Trial(name, seeds=seeds, schedule=schedule, invariants=options.invariants, story=True)
    done = _start(trial)
    print(done.stdout, done.stderr, sep="")
    lines = done.stdout.splitlines()
    caught = bool(lines) and not done.returncode and json.loads(lines[-1])["seed"] >= 0
    return 0 if caught else 1


def main(arguments: list[str]) -> int:
    """Dispatch ``mutants [NAME...] [--seed N | --story | --ci | --refresh]``."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants; all when none is named")
    parser.add_argument("--seed", type=int, help="run one mutant with this seed, tell its story")
    parser.add_argument(
        "--no-invariants",
        dest="invariants",
        action="store_false",
        help="with --seed: only what clients see may catch it",
    )
    parser.add_argument(
        "--story", action="store_true", help="run one mutant with its written schedule"
    )
    parser.add_argument("--ci", action="store_true", help="check the recorded seeds")
    parser.add_argument("--refresh", action="store_true", help="search again and record")
    parser.add_argument("--first", type=int, default=0, help="the first seed of a search")
    parser.add_argument("--schedules", type=int, default=1500, help="seeds a mutant at most")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    options.record = options.refresh
    unknown = [name for name in options.names if name not in MUTANTS]
    if unknown:
        parser.error(f"no mutant {', '.join(unknown)}; known: {', '.join(MUTANTS)}")
    if options.ci:
        return ci(options)
    if (options.seed is not None or options.story) and len(options.names) == 1:
        return show(options.names[0], options)
    return refresh(options.names or MUTANTS, options)
