"""Processes of other systems: found, started, waited for, ended.

Owns where programs are looked for (``BECKET_BENCH_PEERS``, ``.build/peers``, the search path) and
that whatever was started ends with this process. Must not install anything: ``make peers`` does.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from becket.adapters.local.leash import tie_to

ROOT = Path(__file__).resolve().parents[1]
PEERS = Path(os.environ.get("BECKET_BENCH_PEERS") or ROOT / ".build" / "peers")
START_S = 30.0
STOP_S = 5.0
_LOOK_S = 0.02


class MissingError(Exception):
    """A system cannot be measured here; the message says why."""


def program(name: str) -> str:
    """The path of a program.

    :raises MissingError: it is nowhere.
    """
    for folder in (PEERS, PEERS / "usr" / "bin"):
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    if found is None:
        raise MissingError(f"{name} is not installed (make peers gets it)")
    return found


def environment() -> dict[str, str]:
    """What programs of ``PEERS`` need: packages that were only unpacked find their libraries."""
    libraries = sorted({str(path.parent) for path in PEERS.glob("usr/lib/*/*.so*")})
    if not libraries:
        return dict(os.environ)
    known = os.environ.get("LD_LIBRARY_PATH")
    return os.environ | {"LD_LIBRARY_PATH": ":".join([*libraries, *([known] if known else [])])}


class Server:
    """One process, with its output in a file."""

    def __init__(self, argv: Sequence[str], log: Path) -> None:
        self.log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment(),
                preexec_fn=partial(tie_to, os.getpid()),  # noqa: PLW1509 - no thread runs yet
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_up(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it: politely, then not."""
        if not self.is_up:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def wait_for_port(self, port: int) -> None:
        """Wait until it listens.

        :raises MissingError: it ended, or does not in time.
        """
        until = time.monotonic() + START_S
        while self.is_up and time.monotonic() < until:
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(_LOOK_S)
        raise MissingError(f"it did not start: {last_line(self.log)}")


def last_line(log: Path) -> str:
    """The last thing that a process said."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"


def until(what: str, is_so: object, within_s: float = START_S) -> None:
    """Look again and again whether something is so.

    :raises MissingError: it is not in time.
    """
    assert callable(is_so)
    deadline = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > deadline:
            raise MissingError(f"{what}: not within {within_s:g} s")
        time.sleep(_LOOK_S * 5)
