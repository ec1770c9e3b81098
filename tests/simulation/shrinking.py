"""From a failing seed to a short story: leave out what is not needed for the failure.

Owns the search over ``Trim``. A run in which a fault is left out is another run, so each step is
tried and kept only when it still fails in the same way. Bounded by ``TRIES`` runs.
"""

from __future__ import annotations

from dataclasses import replace

from tests.simulation.faults import NOTHING, Trim
from tests.simulation.runner import Run, Verdict, execute

TRIES = 200


def shrink(seed: int, kind: str) -> tuple[Trim, Verdict]:
    """The smallest trim found under which ``seed`` still fails as ``kind``, with its story."""
    trim, tries = NOTHING, 0
    placed = _faults_placed(seed)
    candidates = [Trim(calm=True)] + [Trim(calls=calls) for calls in (1, 2, 3, 5)]
    for candidate in candidates:
        merged = replace(
            trim, calm=trim.calm or candidate.calm, calls=min(trim.calls, candidate.calls)
        )
        tries += 1
        if merged != trim and execute(seed, merged).kind == kind:
            trim = merged
    size = placed
    while size >= 1 and tries < TRIES:
        left = [n for n in range(placed) if n not in trim.without_faults]
        kept = False
        for start in range(0, len(left), size):
            less = replace(
                trim, without_faults=trim.without_faults | set(left[start : start + size])
            )
            tries += 1
            if execute(seed, less).kind == kind:
                trim, kept = less, True
                break
        if not kept:
            size //= 2
    return trim, execute(seed, trim, story=True)


def _faults_placed(seed: int) -> int:
    run = Run(seed)
    run.execute()
    return run.faults.placed


def as_options(seed: int, trim: Trim) -> str:
    """The command line that shows this story."""
    options = [f"--seed {seed}"]
    if trim.without_faults:
        options.append("--without " + ",".join(str(n) for n in sorted(trim.without_faults)))
    if trim.calls != NOTHING.calls:
        options.append(f"--calls {trim.calls}")
    if trim.calm:
        options.append("--calm")
    return "python -m tests.simulation show " + " ".join(options)
