"""The loader that removes a safeguard, and the list of safeguards that it can remove."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutant_list import MUTANTS
from tests.simulation.mutant_table import read_table
from tests.simulation.mutation import (
    WITHOUT_INVARIANTS,
    Change,
    Mutant,
    StaleMutantError,
    install,
    mutated,
)
from tests.simulation.schedules import SCHEDULES, play

ROOT = Path(__file__).parents[3]


def source_of(module: str) -> str:
    path = f"{module.replace('.', '/')}.py"
    return (ROOT / "services" / path if module.startswith("becket") else ROOT / path).read_text()


def python(code: str, **environment: str) -> str:
    paths = os.pathsep.join([str(ROOT / "services"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=lambda mutant: mutant.name)
def test_mutant_fits_the_source_and_compiles(mutant: Mutant) -> None:
    modules = {change.module for change in mutant.changes}
    for module in modules:
        changes = [change for change in mutant.changes if change.module == module]
        source = source_of(module)
        after = mutated(source, changes)
        assert after != source
        compile(after, module, "exec")


def test_invariants_can_be_switched_off() -> None:
    code = (
        "from tests.simulation.mutation import WITHOUT_INVARIANTS, install\n"
        "install(WITHOUT_INVARIANTS)\n"
        "from becket.core.replication import invariants\n"
        "invariants.lease_is_short(10, 0, 5)\n"
        "print(invariants.InvariantError(1, 'still there').rule)\n"
    )
    assert python(code) == "1\n"
    for change in WITHOUT_INVARIANTS:
        assert mutated(source_of(change.module), [change])


@pytest.mark.parametrize("source", ["", "a = 1\na = 1\n"], ids=["not there", "twice"])
def test_text_that_is_not_there_exactly_once_is_refused(source: str) -> None:
    with pytest.raises(StaleMutantError, match="times"):
        mutated(source, [Change("some.module", "a = 1", "a = 2")])


def test_module_that_is_imported_already_is_refused() -> None:
    with pytest.raises(StaleMutantError, match="imported before"):
        install([Change("becket.core.replication.cells", "", "x = 1")])


def test_changed_module_is_what_gets_imported() -> None:
    code = (
        "from tests.simulation.mutation import core, install\n"
        "install([core('settings', 'MS = 1000', 'MS = 7')])\n"
        "from becket.core.replication.settings import MS\n"
        "print(MS)\n"
    )
    assert python(code) == "7\n"


def test_every_mutant_of_the_protocol_has_its_row() -> None:
    assert set(read_table()) == set(MUTANTS)


def test_every_schedule_is_some_mutants() -> None:
    assert {mutant.schedule for mutant in MUTANTS.values()} - {""} == set(SCHEDULES)


@pytest.mark.parametrize("name", SCHEDULES)
def test_core_passes_the_schedule(name: str) -> None:
    verdict = play(name)
    assert verdict.kind == "ok", verdict.problem
    assert verdict.acknowledged


def test_one_seed_is_one_run_whatever_the_hashes() -> None:
    code = (
        "import json\n"
        "from tests.simulation.runner import execute\n"
        "runs = [execute(seed) for seed in (3, 11, 29, 64)]\n"
        "print(json.dumps([(r.kind, r.events, r.acknowledged, r.unknown) for r in runs]))\n"
    )
    first, second = (json.loads(python(code, PYTHONHASHSEED=seed)) for seed in ("1", "4711"))
    assert first == second
    assert all(re.fullmatch("ok", run[0]) for run in first)
