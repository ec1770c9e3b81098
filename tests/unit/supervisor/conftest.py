"""A scene for each test, closed after it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from tests.unit.supervisor.stand_ins import Scene


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.startswith("BECKET_"):
            monkeypatch.delenv(variable)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    yield made
    await made.close()
