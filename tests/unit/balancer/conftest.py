"""Keeps the settings of whoever runs the tests out of them."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.startswith("BECKET_"):
            monkeypatch.delenv(variable)
