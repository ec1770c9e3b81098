"""Case 4: a node that freezes, and one that vanishes, each with a member and its coordinators."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.e2e import client_pods, figures
from tests.e2e.kube import Kube
from tests.e2e.release import Installed, Span
from tests.e2e.test_kills import steadily

AGAIN_MS = 1500
AWAY_S = 75.0
"""Long enough for Kubernetes to call the node unready, which takes 40 to 55 s."""


@pytest.fixture(autouse=True)
def _own_nodes(cluster: Kube) -> None:
    cluster.need_nodes()


@pytest.fixture
def prefix() -> str:
    return client_pods.fresh_prefix()


@pytest.fixture
def node(release: Installed, prefix: str) -> Iterator[str]:
    """The node that is hurt: where a member is that coordinates something."""
    release.wait_whole()
    held = release.coordinating(client_pods.keys_of(prefix))
    name = max(held, key=lambda each: len(held[each]))
    found = release.node_of(name)
    try:
        yield found
    finally:
        release.kube.thaw(found)


@pytest.mark.parametrize("cut", [False, True], ids=["frozen", "cut"])
def test_a_node_goes_and_comes_back(release: Installed, node: str, prefix: str, cut: bool) -> None:
    kube = release.kube
    other = next(each for each in kube.nodes if each != node)
    place = (kube, release.namespace, release.image)
    client = client_pods.start(*place, "client", node=other, target=release.target, prefix=prefix)
    # A client of any other language goes through a router, which may be on the node that goes.
    stock = client_pods.start(
        *place, "stock", node=other, target=release.target, stock=True, timeout_s=1.0
    )
    steady = steadily(figures.STEADY_S)
    since_s = time.time()
    kube.freeze(node, cut=cut)
    time.sleep(AWAY_S)
    gone = Span(since_s, time.time())
    kube.thaw(node)
    release.wait_whole()
    back = Span(gone.until_s, time.time())
    time.sleep(2)
    what = "cut off" if cut else "frozen"
    seen, seen_by_stock = client.stop(), stock.stop()
    figures.gaps(f"4 node {what}", seen, [gone], steady)
    figures.gaps(f"4 node {what}, back", seen, [back])
    figures.gaps(f"4 node {what}, stock client", seen_by_stock, [gone], steady)
    assert seen.problems() == []
    assert seen_by_stock.problems() == []
    figures.judge_time("every key is written again", seen.gap_ms(*gone), AGAIN_MS)
