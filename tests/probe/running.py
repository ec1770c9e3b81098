"""A cluster of real processes, started and stopped by the command line, for whole test modules.

Owns its start and its end. Ports are chosen by the system.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from becket.adapters.local.directory import FileDirectory
from becket.adapters.local.layout import Layout

START_S = 120
"""Much more than it takes, for machines that do other things."""

BECKET = (sys.executable, "-m", "becket.cli")


class Running(NamedTuple):
    """A cluster that is up."""

    folder: Path
    target: str
    environment: dict[str, str]


def environment_for(target: str) -> dict[str, str]:
    """This process's environment, with ``becket`` and ``python`` found and the cluster known."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": programs, "BECKET_TARGET": target}


def becket(*arguments: str, target: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    environment = environment_for(target) if target else None
    return subprocess.run(
        [*BECKET, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


def router_of(folder: Path) -> str:
    """Where the router of a folder listens."""
    address = FileDirectory(Layout(folder).addresses_file).address_of("router-0")
    assert address is not None
    return address


@contextmanager
def cluster(folder: Path, *options: str) -> Iterator[Running]:
    """A detached cluster that serves; it is down at the end."""
    done = becket("up", "--data", str(folder), "--port", "0", "--detach", *options)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        target = router_of(folder)
        yield Running(folder, target, environment_for(target))
    finally:
        becket("down", "--data", str(folder))
