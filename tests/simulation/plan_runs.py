"""All kills of all changes, on every core: ``python -m tests.simulation plans [--ci]``.

Owns the command line and the totals. ``--ci`` kills around the first and the last step of each kind
in each partition; without it around every single step.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from typing import NamedTuple

from tests.simulation.plan_kills import CHANGES, Kill, Party, Run, kills
from tests.simulation.planned import When

BATCH = 8


class Case(NamedTuple):
    """One run that is to be made."""

    change: str
    kill: Kill


class Judged(NamedTuple):
    """What became of it; ``problem`` is empty when all is well."""

    case: Case
    step: str
    problem: str
    took_us: int
    acknowledged: int


def cases(change: str, *, every: bool) -> list[Case]:
    """The kills of one change.

    :raises AssertionError: the change does not even end when nobody is killed.
    """
    calm = Run(change).execute()
    assert not calm.problem, calm.problem
    return [Case(change, kill) for kill in kills(calm.steps, every=every)]


def judged(case: Case) -> Judged:
    """Run one case."""
    shown = Run(case.change, case.kill).execute()
    number = case.kill.number
    step = str(shown.steps[number]) if number < len(shown.steps) else ""
    return Judged(case, step, shown.problem, shown.took_us, shown.acknowledged)


def as_options(case: Case) -> str:
    """The command that shows one case."""
    kill = case.kill
    after = " --after" if kill.when is When.AFTER else ""
    return f"plans {case.change} --step {kill.number}{after} --party {kill.party.name.lower()}"


def sweep(*, every: bool, processes: int) -> int:
    """Run everything; the exit code."""
    failed = 0
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for change in CHANGES:
            some = cases(change, every=every)
            found = pool.map(judged, some, BATCH)
            bad = [each for each in found if each.problem]
            failed += len(bad)
            longest = max(each.took_us for each in found) / 1e6
            print(
                f"{change}: {len(found)} kills around {len({c.kill.number for c in some})} steps,"
                f" {sum(each.acknowledged for each in found):,} operations acknowledged, the"
                f" longest change took {longest:.1f} s; violations: {len(bad) or 'none'}",
                flush=True,
            )
            for each in bad[:5]:
                print(f"{as_options(each.case)}: {each.step}: {each.problem}", file=sys.stderr)
    return 1 if failed else 0


def show(case: Case) -> int:
    """Tell the story of one case; the exit code."""
    shown = Run(case.change, case.kill, story=True).execute()
    print("\n".join(shown.story))
    print("Verdict: " + (shown.problem or "no violation."))
    return 1 if shown.problem else 0


def main(arguments: list[str]) -> int:
    """Run all, or one; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation plans", description=__doc__)
    parser.add_argument("change", nargs="?", choices=sorted(CHANGES), help="one change, its story")
    parser.add_argument("--step", type=int, default=0, help="its step, from 0")
    parser.add_argument("--after", action="store_true", help="just after the step, not before")
    names = [party.name.lower() for party in Party]
    parser.add_argument("--party", choices=names, default="supervisor", help="who is killed")
    parser.add_argument("--ci", action="store_true", help="as far as CI has time for")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    if options.change:
        when = When.AFTER if options.after else When.BEFORE
        kill = Kill(options.step, when, Party[options.party.upper()])
        return show(Case(options.change, kill))
    return sweep(every=not options.ci, processes=options.processes)
