"""One mutant in a process of its own: ``python -m tests.simulation.mutant_trial JSON``.

Owns the run of seeds with the sources changed; prints one line of JSON. Imports nothing that a
mutant may change before the changes are installed.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass

from tests.simulation.mutant_list import MUTANTS
from tests.simulation.mutation import WITHOUT_INVARIANTS, install

CAUGHT = ("history", "liveness", "invariant")


@dataclass(frozen=True)
class Trial:
    """Which seeds to run; ``name`` empty is the core as it is."""

    name: str
    first: int
    count: int
    invariants: bool = True
    budget_s: float = 600.0


@dataclass(frozen=True)
class Finding:
    """What a trial showed: the seed that caught the mutant, or -1 after ``tried`` seeds."""

    seed: int
    kind: str
    tried: int
    problem: str
    crashes: int = 0


def attempt(trial: Trial) -> Finding:
    """Install the mutant and run the seeds until one catches it."""
    mutant = MUTANTS.get(trial.name)
    changes = () if mutant is None else mutant.changes
    if not trial.invariants:
        changes += WITHOUT_INVARIANTS
    install(changes)
    from tests.simulation.runner import execute  # noqa: PLC0415 - after the changes

    began, crashes, crash = time.monotonic(), 0, ""
    for seed in range(trial.first, trial.first + trial.count):
        try:
            verdict = execute(seed)
        except Exception as error:  # noqa: BLE001 - a mutant may break in any way
            crashes, crash = crashes + 1, f"seed {seed}: {type(error).__name__}: {error}"
        else:
            unrelated = verdict.kind == "invariant" and "InvariantError" not in verdict.problem
            if unrelated:
                crashes, crash = crashes + 1, f"seed {seed}: {verdict.problem}"
            elif verdict.kind in CAUGHT:
                tried = seed + 1 - trial.first
                return Finding(seed, verdict.kind, tried, verdict.problem, crashes)
        if time.monotonic() - began > trial.budget_s:
            return Finding(-1, "", seed + 1 - trial.first, crash, crashes)
    return Finding(-1, "", trial.count, crash, crashes)


if __name__ == "__main__":
    print(json.dumps(asdict(attempt(Trial(**json.loads(sys.argv[1]))))))
