"""The same simulation, compiled with mypyc: more than twice the schedules in the same time.

Owns the build under ``.build/compiled``: a copy of the sources, compiled in place. Needs a C
compiler. What runs is the same code; a seed's verdict is the same either way.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build" / "compiled"
CORE = (
    "becket/core/histories",
    "becket/core/placement",
    "becket/core/plans",
    "becket/core/replication",
    "becket/core/ring",
)
SIMULATION = (
    "clients",
    "cluster",
    "disks",
    "faults",
    "processes",
    "provoker",
    "supervisors",
    "world",
)


def has_compiler() -> bool:
    """Whether a C compiler is at hand."""
    return shutil.which("cc") is not None or shutil.which("gcc") is not None


def _sources() -> list[Path]:
    services, simulation = ROOT / "services", ROOT / "tests" / "simulation"
    found = sorted((services / "becket" / "core").rglob("*.py")) + sorted(simulation.glob("*.py"))
    return [*found, services / "becket" / "__init__.py", ROOT / "tests" / "__init__.py"]


def build() -> Path:
    """Compile what is at hand, unless that has been done; returns the folder to run in."""
    sources = _sources()
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    stamp = BUILD / "sources.sha256"
    if stamp.exists() and stamp.read_text() == digest:
        return BUILD
    shutil.rmtree(BUILD, ignore_errors=True)
    for path in sources:
        base = ROOT / "services" if path.is_relative_to(ROOT / "services") else ROOT
        to = BUILD / path.relative_to(base)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
    modules = ["becket/core/errors.py", "becket/core/hashing.py", "becket/core/sessions.py"]
    for folder in CORE:
        modules += sorted(str(p.relative_to(BUILD)) for p in (BUILD / folder).glob("[a-z]*.py"))
    modules += [f"tests/simulation/{name}.py" for name in SIMULATION]
    print(f"compiling {len(modules)} modules; this takes about a minute", flush=True)
    mypyc = Path(sys.executable).with_name("mypyc")
    log = BUILD / "mypyc.log"
    with log.open("w") as output:
        done = subprocess.run(
            [str(mypyc), *modules],
            cwd=BUILD,
            env={**os.environ, "MYPYPATH": "."},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise SystemExit(f"mypyc failed:\n{log.read_text()[-3000:]}")
    stamp.write_text(digest)
    return BUILD


def run(arguments: list[str]) -> int:
    """Run ``python -m tests.simulation`` with these arguments on the compiled copy."""
    folder = build()
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        check=False,
    )
    return done.returncode
