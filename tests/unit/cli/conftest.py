"""The command line in this process, with a fake store behind the commands for keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from becket.cli import opening
from becket.cli.main import app
from tests.unit.cli.fake_store import FakeStore

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BECKET_TARGET", "BECKET_DATA", "BECKET_DEBUG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    fake = FakeStore()
    monkeypatch.setattr(opening, "open_store", fake.opener())
    return fake


@pytest.fixture
def run() -> Run:
    """Runs ``becket ARGUMENTS``; an exception that is no exit fails the test."""

    def run_it(*arguments: str, stdin: bytes | None = None) -> Result:
        result = CliRunner().invoke(app, list(arguments), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run_it
