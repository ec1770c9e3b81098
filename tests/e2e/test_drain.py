"""Case 3: ``kubectl drain`` of one node after the other, under load, without a failed operation."""

from __future__ import annotations

import time

from tests.e2e import client_pods, figures
from tests.e2e.release import NAME, Installed, Span
from tests.e2e.test_kills import steadily

STALL_MS = 200
DRAIN_S = 300


def test_nodes_are_drained_under_load(release: Installed) -> None:
    kube = release.kube
    holding = sorted({release.node_of(pod.name) for pod in release.pods("storage")})
    if len(holding) < 2:
        # One node holds everything: there is nowhere to go.
        holding = []
    for node in holding:
        release.wait_whole()
        other = next(each for each in kube.nodes if each != node)
        client = client_pods.start(
            kube, release.namespace, release.image, "client", node=other, target=release.target
        )
        try:
            steady = steadily(figures.STEADY_S)
            since_s = time.time()
            kube.kubectl(
                *("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force"),
                *(f"--pod-selector=app.kubernetes.io/instance={NAME}",),
                *(f"--timeout={DRAIN_S}s",),
                limit_s=DRAIN_S + 10,
            )
            span = Span(since_s, time.time())
            time.sleep(2)
        finally:
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
