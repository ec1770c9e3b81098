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
from dataclasses import asdict, replace
from pathlib import Path

from tests.simulation.mutant_list import MUTANTS
from tests.simulation.mutant_table import Row, read_table, tell, write_readme, write_table
from tests.simulation.mutant_trial import Finding, Trial

ROOT = Path(__file__).parents[2]


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


def search(name: str, options: argparse.Namespace, known: Row) -> Row:
    """Run seeds until the mutant is caught, with invariants and by what clients see.

    What is recorded is tried first. Where a written schedule shows the mutant, chance gets less.
    """
    row = Row(name)
    count = options.schedules
    schedule = MUTANTS[name].schedule
    if schedule:
        row = replace(row, shown=run(Trial(name, schedule=schedule, invariants=False)).kind)
        count = max(1, count // 5) if row.shown == "history" else count
    recorded = [known.seed] if known.seed >= 0 else []
    if recorded and run(Trial(name, seeds=recorded)).kind == known.kind != "":
        row = replace(row, seed=known.seed, kind=known.kind, tried=known.tried)
    else:
        found = run(Trial(name, options.first, count))
        if found.kind == "broken" or found.crashes:
            print(f"{name}: {found.crashes} crashes: {found.problem}", file=sys.stderr, flush=True)
        row = replace(row, seed=found.seed, kind=found.kind, tried=found.tried)
        if found.seed < 0 and known.seed < 0:
            row = replace(row, tried=max(found.tried, known.tried))
    if row.kind != "invariant":
        return replace(row, history_seed=row.seed, history_kind=row.kind, history_tried=row.tried)
    return _without_invariants(row, known, Trial(name, options.first, count, invariants=False))


def _without_invariants(row: Row, known: Row, trial: Trial) -> Row:
    """The same, by what clients see alone."""
    recorded = [known.history_seed] if known.history_seed >= 0 else []
    if recorded and run(replace(trial, seeds=recorded)).kind == known.history_kind != "":
        return replace(
            row,
            history_seed=known.history_seed,
            history_kind=known.history_kind,
            history_tried=known.history_tried,
        )
    found = run(trial)
    return replace(row, history_seed=found.seed, history_kind=found.kind, history_tried=found.tried)


def refresh(names: Iterable[str], options: argparse.Namespace) -> int:
    """Search for all the given mutants and record what was found."""
    table = read_table()

    def one(name: str) -> Row:
        row = search(name, options, table.get(name, Row(name)))
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
    parser.add_argument("--table", action="store_true", help="write the table into the README")
    parser.add_argument("--refresh", action="store_true", help="search again and record")
    parser.add_argument("--first", type=int, default=0, help="the first seed of a search")
    parser.add_argument("--schedules", type=int, default=1500, help="seeds a mutant at most")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    options.record = options.refresh
    if options.table:
        return write_readme(read_table())
    unknown = [name for name in options.names if name not in MUTANTS]
    if unknown:
        parser.error(f"no mutant {', '.join(unknown)}; known: {', '.join(MUTANTS)}")
    if options.ci:
        return ci(options)
    if (options.seed is not None or options.story) and len(options.names) == 1:
        return show(options.names[0], options)
    return refresh(options.names or MUTANTS, options)
