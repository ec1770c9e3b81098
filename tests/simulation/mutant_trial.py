"""One mutant in a process of its own: ``python -m tests.simulation.mutant_trial JSON``.

Owns the run of seeds with the sources changed; prints one line of JSON. Imports nothing that a
mutant may change before the changes are installed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from tests.simulation.mutant_list import MUTANTS
from tests.simulation.mutation import WITHOUT_INVARIANTS, install

if TYPE_CHECKING:
    from tests.simulation.runner import Verdict

CAUGHT = ("history", "liveness", "invariant")


@dataclass(frozen=True)
class Trial:
    """What to run; ``name`` empty is the core as it is.

    A ``schedule``, else the ``seeds`` that are named, else ``count`` seeds from ``first`` on.
    ``story``: print what happened in each run.
    """

    name: str
    first: int = 0
    count: int = 0
    invariants: bool = True
    seeds: list[int] = field(default_factory=list)
    schedule: str = ""
    story: bool = False


@dataclass(frozen=True)
class Finding:
    """What a trial showed: the seed that caught the mutant, or -1 after ``tried`` seeds."""

    seed: int
    kind: str
    tried: int
    problem: str
    crashes: int = 0


def _verdicts(trial: Trial) -> Iterator[tuple[int, Verdict | Exception]]:
    from tests.simulation.runner import execute  # noqa: PLC0415 - after the changes
    from tests.simulation.schedules import play  # noqa: PLC0415

    if trial.schedule:
        yield 0, play(trial.schedule)
        return
    for seed in trial.seeds or range(trial.first, trial.first + trial.count):
        try:
            yield seed, execute(seed, story=trial.story)
        except Exception as error:  # noqa: BLE001 - a mutant may break in any way
            yield seed, error


def attempt(trial: Trial) -> Finding:
    """Install the mutant and run until something catches it."""
    mutant = MUTANTS.get(trial.name)
    changes = () if mutant is None else mutant.changes
    install(changes if trial.invariants else changes + WITHOUT_INVARIANTS)
    tried, crashes, crash = 0, 0, ""
    for seed, verdict in _verdicts(trial):
        tried += 1
        if isinstance(verdict, Exception):
            crashes, crash = crashes + 1, f"seed {seed}: {type(verdict).__name__}: {verdict}"
            continue
        if trial.story:
            print("\n".join([*verdict.story, f"{verdict.kind}: {verdict.problem}"]))
        if verdict.kind == "invariant" and "InvariantError" not in verdict.problem:
            crashes, crash = crashes + 1, f"seed {seed}: {verdict.problem}"
        elif verdict.kind in CAUGHT:
            return Finding(seed, verdict.kind, tried, verdict.problem, crashes)
    return Finding(-1, "", tried, crash, crashes)


if __name__ == "__main__":
    print(json.dumps(asdict(attempt(Trial(**json.loads(sys.argv[1]))))))
