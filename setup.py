"""What pyproject.toml cannot say: the modules that are compiled where ``BECKET_COMPILE`` says so.

The same sources run either way; compiled are those that every operation passes through. An image is
built so and a checkout is not: there a change has to show at once. ``BECKET_COMPILE=1`` compiles or
fails; ``auto`` compiles where a C compiler (``CC``, else ``cc``) and Python's headers are.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

PACKAGE = Path("services/becket")
FOLDERS = ("adapters/dispatch", "core/membership", "core/replication", "core/ring")
MODULES = (
    "adapters/cell_bytes",
    "adapters/clocks",
    "adapters/engines/cells",
    "adapters/engines/damage",
    "adapters/rpc/envelopes",
    "adapters/rpc/operations",
    "adapters/rpc/peers",
    "adapters/rpc/ring_view",
    "adapters/rpc/rings",
    "core/errors",
    "core/hashing",
    "core/load/hot_keys",
    "core/load/sketch",
    "core/routes",
    "core/sessions",
    "core/suspicion",
    "ports/engine",
    "storage/calls",
    "storage/commits",
    "storage/latencies",
    "storage/outboxes",
    "storage/refusals",
    "storage/shell",
)
INTERPRETED = (
    "adapters/dispatch/settings",
    "core/membership/settings",
    "core/replication/settings",
)
"""Groups of settings: pydantic fills a dataclass by its ``__dict__``, which an instance of a
compiled class has not. So is ``core/limits``.

For the like reason nothing is compiled that callers hold, as ``client/values``: pickle sets the
fields of a frozen dataclass past its class, which a compiled one refuses.
"""


def hot() -> list[str]:
    """The sources that are compiled; raises FileNotFoundError where one has gone."""
    found = [path for folder in FOLDERS for path in sorted((PACKAGE / folder).glob("[a-z]*.py"))]
    found += [PACKAGE / f"{module}.py" for module in MODULES]
    left = {PACKAGE / f"{module}.py" for module in INTERPRETED}
    for path in [*found, *left]:
        path.stat()
    return [str(path) for path in found if path not in left]


def obstacle() -> str:
    """Why nothing can be compiled here; empty where it can."""
    compiler = shlex.split(os.environ.get("CC", "cc"))[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler {compiler}"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return f"the headers of {sys.executable} are missing"
    return ""


def extensions() -> list[Extension]:
    """What ``BECKET_COMPILE`` asks for."""
    wish = os.environ.get("BECKET_COMPILE", "0")
    if wish not in ("0", "1", "auto"):
        raise SystemExit(f"BECKET_COMPILE: {wish!r} is none of 0, 1, auto")
    if wish == "0" or "dist_info" in sys.argv:  # Metadata are asked for before the wheel.
        return []
    problem = obstacle()
    if problem and wish == "auto":
        sys.stderr.write(f"becket is not compiled: {problem}\n")
        return []
    if problem:
        raise SystemExit(f"BECKET_COMPILE=1: {problem}")
    # Whoever does not compile needs no mypy.
    from mypyc.build import mypycify  # noqa: PLC0415

    options = ["--ignore-missing-imports", "--python-version", "3.11"]
    # A file for each module: the compiler takes a third of the time and the memory, and what comes
    # out is as fast. More than -O1 takes longer and gives nothing that could be measured.
    return list(
        mypycify(
            [*options, *hot()],
            opt_level="1",
            debug_level="0",
            multi_file=True,
            group_name="becket",
        )
    )


setup(ext_modules=extensions())
