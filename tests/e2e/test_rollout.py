"""Case 8: another image, rolled out over all pods under load, without a failed operation."""

from __future__ import annotations

import time

from tests.e2e import client_pods, figures
from tests.e2e.release import Installed, Span
from tests.e2e.test_kills import steadily

STALL_MS = 200


def test_an_image_is_rolled_out(release: Installed) -> None:
    client = client_pods.start(
        release.kube, release.namespace, release.image, "client", target=release.target
    )
    steady = steadily(figures.STEADY_S)
    before = {pod.name: pod.uid for pod in release.pods("storage")}
    since_s = time.time()
    release.helm("upgrade", *release.other_image())
    rolled = Span(since_s, time.time())
    # helm --wait has waited for whole partitions, not for containers.
    release.wait_whole(60)
    after = {pod.name: pod.uid for pod in release.pods("storage")}
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    time.sleep(2)
    history = client.stop()
    figures.gaps("8 rollout", history, [rolled], steady)
    assert history.problems() == []
    assert history.failed(*rolled) == []
    figures.judge_time("longest stall", history.gap_ms(*rolled), STALL_MS)
