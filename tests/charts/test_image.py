"""What the Dockerfile promises, as far as its text shows it, and the locks that it installs by.

The image itself is built and run by tests/e2e.
"""

from __future__ import annotations

import json
import re

from charts.helm import ROOT

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()


def of(instruction: str) -> list[str]:
    return [
        line.partition(" ")[2].strip()
        for line in INSTRUCTIONS
        if line.startswith(f"{instruction} ")
    ]


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE))


def test_one_base_that_an_argument_names() -> None:
    assert of("ARG")[0] == "PYTHON_IMAGE=python:3.13-slim"
    assert of("FROM") == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]


def test_it_starts_without_a_shell_as_nobody_in_particular() -> None:
    (entrypoint,) = of("ENTRYPOINT")
    assert json.loads(entrypoint) == ["becket"]
    assert of("USER") == ["10001:10001"]
    assert of("STOPSIGNAL") == ["SIGTERM"]
    # Kubernetes has probes of its own.
    assert not of("HEALTHCHECK")
    assert not of("CMD")


def test_only_what_is_locked_is_installed() -> None:
    installs = [step for line in of("RUN") for step in line.split("&&") if "-m pip" in step]
    assert installs
    for step in installs:
        assert "--require-hashes" in step or "--no-index" in step, step
    assert "apt" not in TEXT


def test_the_locks_agree() -> None:
    image, everything = pins("image"), pins("dev")
    assert image.items() <= everything.items()
    assert dict(pins("build").items() - everything.items()).keys() == {"ziglang"}
    assert pins("server").items() <= image.items()
    assert {"typer", "rich", "kubernetes", "rocksdict"} <= image.keys()


def test_what_is_copied_is_not_ignored() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    for copied in of("COPY"):
        if not copied.startswith("--from"):
            for source in copied.split()[:-1]:
                assert source.partition("/")[0] in kept, source
