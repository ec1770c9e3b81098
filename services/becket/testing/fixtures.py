"""Pytest fixtures: ``pytest_plugins = ["becket.testing.fixtures"]`` in the top ``conftest.py``.

Owns two of them. ``becket_cluster`` is one cluster for the whole run, which tests share by using
keys of their own; ``becket_cluster_alone`` is a fresh one for a test that kills something. Neither
needs a plugin for coroutines: both are ordinary fixtures that hold a ``Cluster``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from becket.testing.cluster import Cluster


@pytest.fixture(scope="session")
def becket_cluster() -> Iterator[Cluster]:
    """A cluster that lives as long as the test run."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def becket_cluster_alone() -> Iterator[Cluster]:
    """A cluster for one test."""
    with Cluster() as cluster:
        yield cluster
