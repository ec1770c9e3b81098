"""What the tests of the chart run with: each helm of this machine, files of values, a server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from charts.helm import MISSING, Helm, helms
from tests.charts.api_server import FakeApi
from tests.charts.rendering import FILES, Rendered, render, values_of


@pytest.fixture(params=helms() or (None,), ids=lambda helm: f"helm{helm.major}" if helm else "")
def helm(request: pytest.FixtureRequest) -> Helm:
    """One helm; without any, the test is skipped."""
    found = request.param
    if found is None:
        pytest.skip(MISSING)
    assert isinstance(found, Helm)
    return found


@pytest.fixture(params=FILES, ids=lambda file: file.removesuffix(".yaml") or "defaults")
def values(request: pytest.FixtureRequest) -> str:
    """One file of values; empty for the defaults."""
    return str(request.param)


@pytest.fixture
def rendered(helm: Helm, values: str) -> Rendered:
    """What the chart gives with each file of values."""
    return render(helm, *values_of(values))


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """A server that helm can look objects up on."""
    with FakeApi() as server:
        yield server
