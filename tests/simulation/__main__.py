"""The simulation's command line: ``python -m tests.simulation COMMAND``."""

from __future__ import annotations

import argparse
import os
import sys
import time

from tests.simulation import compiled, search
from tests.simulation.faults import Trim
from tests.simulation.runner import Run

ONCE_FAILED = (65, 84, 101, 266, 897, 5_044_332, 20_030_163, 200_016_099)
"""Seeds that have shown a bug; the table in the README says which."""
FIXED_SEEDS = range(2400)
FRESH_SEEDS = 600


def show(options: argparse.Namespace) -> int:
    """Run one simulated cluster and tell its story."""
    without = frozenset(int(n) for n in options.without.split(",") if n)
    run = Run(options.seed, Trim(without, options.calls, options.calm), story=True)
    shape = run.cluster.shape
    print(
        f"A simulated cluster of {shape.members} members, {shape.partitions} partitions with "
        f"{shape.replicas} replicas each, {shape.clients} clients; seed {options.seed}.\n"
    )
    verdict = run.execute()
    print("\n".join(verdict.story))
    print("\nWhat its clients saw (true times in ms):")
    for entry in run.cluster.history.entries:
        print(f"  {entry.key.decode()}  {entry}")
    print(
        f"\n{verdict.acknowledged} operations acknowledged, {verdict.unknown} unknown, "
        f"{verdict.changes} ring changes, {verdict.events} events."
    )
    print("Verdict: " + ("no violation." if verdict.kind == "ok" else verdict.problem))
    return 0 if verdict.kind == "ok" else 1


def ci(options: argparse.Namespace) -> int:
    """Run the fixed set of seeds and some that nobody has tried."""
    first = time.time_ns() // 1000
    print("seeds that once failed")
    once = search.search(ONCE_FAILED, processes=options.processes)
    print(f"fixed seeds {FIXED_SEEDS.start}..{FIXED_SEEDS.stop - 1}")
    fixed = search.search(FIXED_SEEDS, processes=options.processes)
    print(f"fresh seeds {first}..{first + FRESH_SEEDS - 1}")
    fresh = search.search(range(first, first + FRESH_SEEDS), processes=options.processes)
    return search.report(once) or search.report(fixed) or search.report(fresh)


def run(options: argparse.Namespace) -> int:
    """Run a range of seeds."""
    if options.compiled:
        if compiled.has_compiler():
            forward = ["--schedules", str(options.schedules), "--first", str(options.first)]
            return compiled.run(["run", *forward, "--processes", str(options.processes)])
        print("no C compiler: running interpreted")
    seeds = range(options.first, options.first + options.schedules)
    return search.report(search.search(seeds, processes=options.processes))


def _mutants(rest: list[str]) -> int:
    from tests.simulation import mutants  # noqa: PLC0415 - it starts processes of its own

    return mutants.main(rest)


def _explore(rest: list[str]) -> int:
    from tests.simulation import explore  # noqa: PLC0415 - only this command needs it

    return explore.main(rest)


def _plans(rest: list[str]) -> int:
    from tests.simulation import plan_runs  # noqa: PLC0415 - only this command needs it

    return plan_runs.main(rest)


def main(arguments: list[str]) -> int:
    """Dispatch a command; the exit code is 0 when nothing was violated."""
    if arguments[:1] == ["mutants"]:
        return _mutants(arguments[1:])
    if arguments[:1] == ["explore"]:
        return _explore(arguments[1:])
    if arguments[:1] == ["plans"]:
        return _plans(arguments[1:])
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("show", help="run one seed and tell its story")
    one.add_argument("--seed", type=int, default=7)
    one.add_argument("--without", default="", help="numbers of faults to leave out: 1,4,5")
    one.add_argument("--calls", type=int, default=1000, help="calls of each client at most")
    one.add_argument("--calm", action="store_true", help="a network that behaves")
    one.set_defaults(call=show)
    short = commands.add_parser("ci", help="a fixed set of seeds and some fresh ones")
    short.set_defaults(call=ci)
    many = commands.add_parser("run", help="a range of seeds")
    many.add_argument("--schedules", type=int, default=10_000)
    many.add_argument("--first", type=int, default=0)
    many.add_argument("--compiled", action="store_true", help="compile with mypyc first")
    many.set_defaults(call=run)
    commands.add_parser("mutants", help="remove each safeguard: the simulation must notice")
    commands.add_parser("plans", help="kill each party around every step of each ring change")
    commands.add_parser("explore", help="every order of events in small clusters")
    for command in (short, many):
        command.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    return int(options.call(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
