"""``python -m tests.simulation explore``: every order of events in small clusters.

Owns the command line, the table it prints, and the start of a process of its own for a mutant
(a source can only be changed before it is imported). See ``EXPLORATION.md`` for the numbers.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.explore_search import Found
    from tests.simulation.mutation import Change

ROOT = Path(__file__).parents[2]
HEAD = f"{'scope':16}{'states':>10}{'moves':>11}{'ends':>7}{'depth':>7}{'members':>9}{'seconds':>9}"


def main(argv: list[str]) -> int:
    """Explore; the exit code is 0 when nothing is violated."""
    options = _parser().parse_args(argv)
    if options.mutant:
        return _as_mutant(options, argv)
    return _explore(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation explore", description=__doc__)
    parser.add_argument("--ci", action="store_true", help="the smaller ones only")
    parser.add_argument("--scope", action="append", default=[], help="only this one; repeatable")
    parser.add_argument("--limit", type=int, help="give a scope up after so many states")
    parser.add_argument("--mutant", help="with this safeguard removed: something must be found")
    parser.add_argument(
        "--no-invariants",
        dest="invariants",
        action="store_false",
        help="with --mutant: only what clients see may catch it",
    )
    return parser


def _explore(options: argparse.Namespace) -> int:
    from tests.simulation import explore_scopes, explore_search  # noqa: PLC0415 - after mutation

    names = options.scope or [
        name for name in explore_scopes.SCOPES if name in explore_scopes.CI or not options.ci
    ]
    unknown = [name for name in names if name not in explore_scopes.SCOPES]
    if unknown:
        print(f"no scope {', '.join(unknown)}; known: {', '.join(explore_scopes.SCOPES)}")
        return 2
    print(HEAD, flush=True)
    failed = 0
    for name in names:
        scope = explore_scopes.SCOPES[name]
        if options.limit is not None:
            scope = replace(scope, limit=options.limit)
        found = explore_search.explore(scope)
        print(row(found), flush=True)
        if found.problem:
            failed = 1
            print("\n".join(f"  {line}" for line in found.story))
            print(f"  violated: {found.problem}", flush=True)
        elif not found.whole:
            failed = 1
            print(f"  given up after {found.states:,} states", flush=True)
    return failed


def row(found: Found) -> str:
    """One line of the table."""
    return (
        f"{found.scope:16}{found.states:>10,}{found.moves:>11,}{found.ends:>7,}"
        f"{found.depth:>7}{found.members:>9,}{found.seconds:>9.1f}"
    )


def _as_mutant(options: argparse.Namespace, argv: list[str]) -> int:
    """Change the sources, in another process where they are imported already."""
    from tests.simulation.mutation import WITHOUT_INVARIANTS, install  # noqa: PLC0415

    if any(name.startswith("becket.core") for name in sys.modules):
        paths = os.pathsep.join((str(ROOT / "services"), str(ROOT)))
        command = [sys.executable, "-m", "tests.simulation.explore", *argv]
        environment = {**os.environ, "PYTHONPATH": paths}
        return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode
    changes = changes_of(options.mutant)
    if not options.invariants:
        changes += WITHOUT_INVARIANTS[:1]
    install(changes)
    return _explore(options)


def changes_of(name: str) -> tuple[Change, ...]:
    """What the mutant changes; those of the simulated shell are made to the explored one."""
    from tests.simulation.mutant_list import MUTANTS  # noqa: PLC0415 - only mutants need it
    from tests.simulation.mutation import shell  # noqa: PLC0415

    of_shell = {
        "reply-before-sync": "if True:",
        "duplicate-ack-unsynced": "if not effects.writes:",
    }
    if name in of_shell:
        test = "if self.written == self.synced:"
        return (shell("explore_shell", f"            {test}\n", f"            {of_shell[name]}\n"),)
    return tuple(
        change for change in MUTANTS[name].changes if change.module != "tests.simulation.clients"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
