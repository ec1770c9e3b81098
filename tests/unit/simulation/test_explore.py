"""The explorer itself: that it ends, that it is deterministic, and that it has teeth."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from becket.core.replication.cells import Kind, Operation, Outcome, Result, Verdict
from becket.core.sessions import Call
from tests.simulation import explore_clients as clients
from tests.simulation.explore_scope import Scope
from tests.simulation.explore_scopes import ADD, CI, ONCE, READ, SCOPES, A, B
from tests.simulation.explore_search import explore

ROOT = Path(__file__).parents[3]
TINY = replace(
    ONCE,
    name="tiny",
    members=("A", "B", "C"),
    scripts=((clients.Want(ADD, (A,)),), (clients.Want(READ, (B,)),)),
)


def in_another_process(*arguments: str, seed: str = "0") -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join((str(ROOT / "services"), str(ROOT)))
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation.explore", *arguments],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_tiny_scope_is_explored_to_its_end_without_a_violation() -> None:
    found = explore(TINY)
    assert (found.problem, found.whole) == ("", True)
    assert found.ends > 0
    assert found.moves > found.states > 1000


def test_a_scope_that_meets_its_limit_says_so() -> None:
    found = explore(replace(TINY, limit=50))
    assert not found.whole


def test_the_numbers_are_the_same_in_every_process() -> None:
    first, second = (
        in_another_process("--scope", "hand-over", seed=seed).stdout.split("\n")[1] for seed in "12"
    )
    assert first.split()[:6] == second.split()[:6]


@pytest.mark.parametrize(
    ("mutant", "scope"),
    [
        ("no-first-touch", "take-over-once"),
        ("dirty-read", "take-over-once"),
        ("no-certificate", "grow"),
        ("accept-old-only", "join-take-over"),
        ("reply-before-sync", "crash-replica"),
        ("no-quarantine", "lease-forgotten"),
    ],
)
def test_a_removed_safeguard_is_found_with_its_story(mutant: str, scope: str) -> None:
    done = in_another_process("--mutant", mutant, "--scope", scope)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "violated: " in done.stdout


def test_every_kind_of_scope_is_in_the_short_set() -> None:
    assert set(SCOPES) >= CI
    kinds = {"take-over", "grow", "crash", "hand-over", "lease"}
    assert all(any(name.startswith(kind) for name in CI) for kind in kinds)


def seen(client: int, value: bytes, after: frozenset[tuple[int, int]]) -> clients.Seen:
    return clients.Seen(client, 0, after, (Result(Verdict.DONE, None, value),))


def test_the_order_of_calls_is_kept_by_what_had_ended_when_each_began() -> None:
    scripts = ((clients.Want(ADD, (A,)),), (clients.Want(READ, (A,)),))
    read_old = clients.Seen(1, 0, frozenset(), (Result(Verdict.ABSENT),))
    together = (seen(0, b"1", frozenset()), read_old)
    assert clients.problem_of(together, scripts, []) == ""
    later = (seen(0, b"1", frozenset()), read_old._replace(after=frozenset({(0, 0)})))
    assert "violation" in clients.problem_of(later, scripts, [])


def test_a_call_that_ended_as_no_never_happened() -> None:
    history = clients.begun((), 0, 0)
    call = Call(0, b"k", (Operation(Kind.GET),), 1)
    call.outcome = Outcome.NO
    assert clients.ended(history, 0, 0, call) == ()


def test_every_scope_is_told() -> None:
    told = (ROOT / "tests" / "simulation" / "EXPLORATION.md").read_text()
    missing = [scope.name for scope in SCOPES.values() if f"`{scope.name}`" not in told]
    assert not missing
    assert all(isinstance(scope, Scope) for scope in SCOPES.values())
