"""Case 2: pods of every role killed by SIGKILL, by force and plainly, one at a time; then several.

The number of each comes from ``BECKET_E2E_KILLS`` and ``BECKET_E2E_OTHERS``. Nothing may be lost,
and no history be without an order. How long keys stood still is told beside a steady span of the
same run.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from becket.cli.chaos import Fault
from tests.e2e import client_pods, figures
from tests.e2e.client_pods import ClientPod
from tests.e2e.history import History
from tests.e2e.release import Installed, Span

FAILOVER_MS = 1000
"""Of a storage pod after SIGKILL and after a force delete, at the 99th percentile."""

SETTLE_S = 2.0
"""Between two faults, so that a gap belongs to one of them."""

KINDS = (Fault.KILL, Fault.FORCE, Fault.DELETE)


@pytest.fixture
def client(release: Installed) -> Iterator[ClientPod]:
    release.wait_whole()
    pod = client_pods.start(
        release.kube, release.namespace, release.image, "client", target=release.target
    )
    try:
        yield pod
    finally:
        pod.remove()


def steadily(seconds: float) -> Span:
    """A span in which nothing is done to anybody."""
    time.sleep(2)
    since_s = time.time()
    time.sleep(seconds + 1)
    # A gap that begins with what is done next does not belong to it.
    return Span(since_s, time.time() - 1)


def hurt_often(release: Installed, client: ClientPod, role: str, fault: Fault, count: int) -> None:
    """One fault after the other, each when the one before is over; then everything is judged."""
    rng = random.Random(f"{role}/{fault}")
    steady = steadily(figures.STEADY_S)
    spans = []
    for _ in range(count):
        victim = release.choose(role, rng, client.keys)
        spans.append(release.hurt(fault, [victim]))
        time.sleep(SETTLE_S)
    history = client.stop()
    p99 = figures.gaps(f"2 {fault} {role}", history, spans, steady)
    assert history.problems() == []
    if role == "storage" and fault is not Fault.DELETE:
        figures.judge_time(f"failover, p99 of {count}", p99, FAILOVER_MS)
    if fault is Fault.DELETE or role != "storage":
        # What is told to stop hands over first, and the others hold nothing.
        assert_few_failures(history, spans)


def assert_few_failures(history: History, spans: list[Span]) -> None:
    """No operation fails that a client with some patience could have saved."""
    failed = [why for span in spans for why in history.failed(*span)]
    assert failed == []


@pytest.mark.parametrize("fault", KINDS, ids=lambda fault: fault.value)
def test_storage_pods_one_at_a_time(release: Installed, client: ClientPod, fault: Fault) -> None:
    hurt_often(release, client, "storage", fault, figures.KILLS)


@pytest.mark.parametrize("role", ["router", "supervisor", "balancer"])
@pytest.mark.parametrize("fault", KINDS, ids=lambda fault: fault.value)
def test_other_pods_one_at_a_time(
    release: Installed, client: ClientPod, role: str, fault: Fault
) -> None:
    hurt_often(release, client, role, fault, figures.OTHERS)


@pytest.mark.parametrize("fault", [Fault.KILL, Fault.FORCE], ids=lambda fault: fault.value)
@pytest.mark.parametrize("what", ["two", "all"])
def test_several_at_once(release: Installed, client: ClientPod, what: str, fault: Fault) -> None:
    steady = steadily(min(5.0, figures.STEADY_S))
    role = "storage" if what == "two" else ""
    names = [pod.name for pod in release.pods(role)]
    span = release.hurt(fault, names[:2] if what == "two" else names)
    time.sleep(SETTLE_S)
    history = client.stop()
    figures.gaps(f"2 {fault} {what} at once", history, [span], steady)
    assert history.problems() == []
