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
NOT_FOUND = Finding(-1, "", 0, "")


@dataclass(frozen=True)
class Row:
    """What is known of one mutant.

    ``seed`` and ``kind``: with the invariants on; ``history_seed`` and ``history_kind``: with
    them off, the same seed where the invariants were not what caught it. -1: not caught in
    ``tried`` (or ``history_tried``) schedules. ``schedule``: the written schedule that catches it.
    """

    name: str
    seed: int = -1
    kind: str = ""
    tried: int = 0
    history_seed: int = -1
    history_kind: str = ""
    history_tried: int = 0
    schedule: str = ""

    @property
    def is_caught(self) -> bool:
        """Whether anything catches it."""
        return self.seed >= 0 or self.history_seed >= 0 or bool(self.schedule)


def run(trial: Trial) -> Finding:
    """One trial in a fresh process."""
    paths = [str(ROOT / "services"), str(ROOT)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.mutant_trial", json.dumps(asdict(trial))],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return Finding(-1, "broken", 0, done.stderr[-2000:])
    return Finding(**json.loads(done.stdout.splitlines()[-1]))


def search(name: str, first: int, count: int) -> Row:
    """Run seeds until the mutant is caught, with invariants and by what clients see."""
    with_invariants = run(Trial(name, first, count))
    row = Row(name, with_invariants.seed, with_invariants.kind, with_invariants.tried)
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
    if row.schedule:
        text += f"; schedule {row.schedule}"
    return f"{row.name:26}{mutant.rule:10}{text}{mark}"


def refresh(names: Iterable[str], options: argparse.Namespace) -> int:
    """Search for all the given mutants and record what was found."""
    table = read_table()

    def one(name: str) -> Row:
        row = search(name, options.first, options.schedules)
        row = replace(row, schedule=table[name].schedule if name in table else "")
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


def ci(options: argparse.Namespace) -> int:
    """Every recorded seed must still catch its mutant, and pass with the core as it is."""
    began = time.monotonic()
    table = read_table()
    failures: list[str] = [f"{name}: not in the table" for name in MUTANTS if name not in table]

    def one(row: Row) -> str:
        trials = []
        if row.seed >= 0:
            trials.append(Trial(row.name, row.seed, 1))
        if row.history_seed >= 0 and row.kind == "invariant":
            trials.append(Trial(row.name, row.history_seed, 1, invariants=False))
        for trial in trials:
            found = run(trial)
            if found.seed < 0:
                how = "with" if trial.invariants else "without"
                return f"{row.name}: no longer caught at seed {trial.first} {how} invariants"
        return ""

    seeds = sorted({s for row in table.values() for s in (row.seed, row.history_seed) if s >= 0})
    with ThreadPoolExecutor(options.processes) as pool:
        failures += [text for text in pool.map(one, table.values()) if text]
        sound = [pool.submit(run, Trial("", seed, 1)) for seed in seeds[::1]]
        for seed, future in zip(seeds, sound, strict=True):
            finding = future.result()
            if finding.seed >= 0 or finding.kind == "broken":
                failures.append(f"the core itself fails seed {seed}: {finding.problem}")
    for failure in failures:
        print(failure, file=sys.stderr)
    caught = sum(row.is_caught for row in table.values())
    print(
        f"{caught} of {len(MUTANTS)} mutants caught, {len(failures)} failures, "
        f"{time.monotonic() - began:.0f} s"
    )
    return 1 if failures else 0


def show(name: str, options: argparse.Namespace) -> int:
    """Run one mutant with one seed and tell its story; the exit code is 0 when it is caught."""
    from tests.simulation.mutation import WITHOUT_INVARIANTS, install  # noqa: PLC0415

    changes = MUTANTS[name].changes
    install(changes if options.invariants else changes + WITHOUT_INVARIANTS)
    from tests.simulation.runner import execute  # noqa: PLC0415 - after the changes

    verdict = execute(options.seed, story=True)
    print("\n".join(verdict.story))
    print(f"{name}, seed {options.seed}: {verdict.kind}: {verdict.problem}")
    return 0 if verdict.kind != "ok" else 1


def main(arguments: list[str]) -> int:
    """Dispatch ``mutants [NAME...] [--seed N | --ci | --refresh]``."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants; all when none is named")
    parser.add_argument("--seed", type=int, help="run one mutant with this seed, tell its story")
    parser.add_argument(
        "--no-invariants",
        dest="invariants",
        action="store_false",
        help="with --seed: only what clients see may catch it",
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
    if options.seed is not None and len(options.names) == 1:
        return show(options.names[0], options)
    return refresh(options.names or MUTANTS, options)
