"""The cluster, the image and the release of the tests on Kubernetes."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Generator, Iterator

import pytest

from tests.e2e import figures, kube
from tests.e2e.client_pods import LOGS
from tests.e2e.kube import Kube
from tests.e2e.release import Installed
from tests.kube import machine

VARIABLE = "BECKET_E2E"


@pytest.fixture(scope="session", autouse=True)
def _wanted() -> None:
    if not os.environ.get(VARIABLE):
        pytest.skip(f"it takes a cluster and its time: make e2e ({VARIABLE}=1)")


@pytest.fixture(scope="session")
def cluster(_wanted: None) -> Iterator[Kube]:
    """A Kubernetes; one that was made for this run ends with it."""
    found, is_ours = kube.find()
    try:
        os.environ["KUBECONFIG"] = str(found.config)
        if found.is_own:
            # What the tests ask weighs no more than the control plane does.
            machine.move(os.getpid(), machine.CONTROL_PLANE)
        yield found
    finally:
        if found.is_own:
            machine.move(os.getpid(), "")
        if is_ours:
            kube.take_down()


@pytest.fixture(scope="session")
def image(cluster: Kube) -> str:
    """The image under test, on every node."""
    return kube.image_for(cluster)


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """The event loop of the harness."""
    with asyncio.Runner() as found:
        yield found


@pytest.fixture(scope="module")
def empty(cluster: Kube, image: str, runner: asyncio.Runner) -> Iterator[Installed]:
    """A place for a release, which is gone at the end of the module."""
    installed = Installed(cluster, image, runner)
    try:
        yield installed
    finally:
        installed.remove()


@pytest.fixture(scope="module")
def release(empty: Installed) -> Installed:
    """A release with three members, whole."""
    try:
        empty.install()
    except BaseException:
        empty.keep_logs(LOGS / empty.namespace)
        raise
    return empty


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what the pods said as soon as a case has failed: the next one kills them."""
    report = yield
    installed = getattr(item, "funcargs", {}).get("empty")
    if report.when == "call" and report.failed and isinstance(installed, Installed):
        name = re.sub(r"[^a-z0-9_-]+", "-", item.name.lower()).strip("-")
        installed.keep_logs(LOGS / installed.namespace / name)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell the figures of all cases together."""
    if figures.LINES:
        terminalreporter.section("figures")
        for line in figures.LINES:
            terminalreporter.write_line(line)
