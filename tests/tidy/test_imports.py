"""Proves in a fresh process that importing the core loads nothing that the core may not meet."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.tidy import sources

FOREIGN = ("grpc", "google.protobuf", "kubernetes", "pydantic", "structlog", "opentelemetry")


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    environment = {"PYTHONPATH": str(sources.ROOT / "services")}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return set(done.stdout.split())


def core_modules() -> str:
    paths = [source.path for source in sources.python() if source.path.startswith("services/")]
    names = [path.removeprefix("services/").removesuffix(".py") for path in paths]
    core = [name for name in names if name.startswith("becket/core/")]
    return ", ".join(name.removesuffix("/__init__").replace("/", ".") for name in core)


@pytest.mark.parametrize("statement", ["import becket.core", f"import {core_modules()}"])
def test_core_loads_nothing_foreign(statement: str) -> None:
    loaded = modules_after(statement)
    assert "becket.core" in loaded
    assert not [name for name in loaded if name.startswith(FOREIGN)]


def test_a_foreign_module_would_be_seen() -> None:
    assert "grpc" in modules_after("import becket.core, grpc")
