"""Case 3: ``kubectl drain`` of one node after the other, under load, without a failed operation.

How long keys stand still is told beside a drain of pods that the cluster under test has nothing to
do with: what that adds is the machine's, whose cores evict and start pods in both cases.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.e2e import client_pods, figures
from tests.e2e.client_pods import ClientPod
from tests.e2e.release import NAME, Installed, Span
from tests.e2e.test_kills import steadily

STALL_MS = 200
DRAIN_S = 300
NEIGHBOUR = "e2e-neighbour"


@pytest.fixture
def neighbour(release: Installed) -> Iterator[Installed]:
    """Another release, which nobody uses."""
    installed = Installed(release.kube, release.image, release.runner)
    try:
        installed.install("--set-string", f"commonLabels.{NEIGHBOUR}=true")
        yield installed
    finally:
        installed.remove()


@pytest.mark.skipif(not figures.JUDGES_TIMES, reason="it only tells a time: make e2e")
def test_what_a_drain_of_others_adds(release: Installed, neighbour: Installed) -> None:
    node = neighbour.node_of(neighbour.pods("storage")[0].name)
    client = _client_beside(release, node)
    steady = steadily(figures.STEADY_S)
    span = _drain(release, node, f"{NEIGHBOUR}=true")
    release.kube.kubectl("uncordon", node)
    history = client.stop()
    figures.gaps("3 drain of a neighbour's pods", history, [span], steady)
    assert history.problems() == []
    assert history.failed(*span) == []


def test_nodes_are_drained_under_load(release: Installed) -> None:
    kube = release.kube
    holding = sorted({release.node_of(pod.name) for pod in release.pods("storage")})
    if len(holding) < 2:
        # One node holds everything: there is nowhere to go.
        holding = []
    for node in holding:
        release.wait_whole()
        client = _client_beside(release, node)
        steady = steadily(figures.STEADY_S)
        span = _drain(release, node, f"app.kubernetes.io/instance={NAME}")
        kube.kubectl("uncordon", node)
        # The member comes back to its volume.
        release.wait_whole()
        back = Span(span.until_s, time.time())
        history = client.stop()
        figures.gaps(f"3 drain of {node}", history, [span], steady)
        figures.gaps(f"3 {node} comes back", history, [back])
        assert history.problems() == []
        assert history.failed(span.since_s, back.until_s) == []
        stall_ms = history.gap_ms(span.since_s, back.until_s)
        figures.judge_time("longest stall", stall_ms, STALL_MS)


def _client_beside(release: Installed, node: str) -> ClientPod:
    other = next(each for each in release.kube.nodes if each != node)
    target = release.target
    return client_pods.start(
        release.kube, release.namespace, release.image, "client", node=other, target=target
    )


def _drain(release: Installed, node: str, pods: str) -> Span:
    """Drain a node of these pods, and watch two seconds more; whatever happens, not longer."""
    kube, since_s = release.kube, time.time()
    try:
        kube.kubectl(
            *("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force"),
            *(f"--pod-selector={pods}", f"--timeout={DRAIN_S}s"),
            limit_s=DRAIN_S + 10,
        )
    except BaseException:
        kube.kubectl("uncordon", node)
        raise
    span = Span(since_s, time.time())
    time.sleep(2)
    return span
