"""Case 5: the API server is away for two minutes; a member and a router are killed meanwhile."""

from __future__ import annotations

import signal
import time
from urllib.request import urlopen

import pytest

from becket.cli.releases import Pod
from tests.e2e import client_pods, figures
from tests.e2e.kube import Kube
from tests.e2e.release import Installed, Span
from tests.e2e.test_kills import steadily
from tests.e2e.waiting import until

AWAY_S = 120.0


@pytest.fixture(autouse=True)
def _own_nodes(cluster: Kube) -> None:
    cluster.need_nodes()


def test_service_goes_on_without_the_api(release: Installed) -> None:
    kube = release.kube
    release.wait_whole()
    before = release.ring()
    member, router = release.pods("storage")[0], release.pods("router")[0]
    client = client_pods.start(
        kube, release.namespace, release.image, "client", target=release.target
    )
    steady = steadily(figures.STEADY_S)
    since_s = time.time()
    kube.stop_api()
    try:
        time.sleep(5)
        killed_s = time.time()
        release.signal_here(member.name, "becket.storage", signal.SIGKILL)
        time.sleep(20)
        failover = Span(killed_s, time.time())
        release.signal_here(router.name, "becket.router", signal.SIGKILL)
        # The kubelet starts both again; the router has nobody to ask for the ring but members.
        time.sleep(max(0.0, AWAY_S - (time.time() - since_s)))
        until(f"{member.name} is back", lambda: is_ready(member), 60)
        until(f"{router.name} is back", lambda: is_ready(router), 60)
        away = Span(since_s, time.time())
    finally:
        kube.start_api()
    release.wait_whole()
    time.sleep(2)
    history = client.stop()
    figures.gaps("5 the API is away", history, [Span(since_s, killed_s)], steady)
    figures.gaps("5 a member killed meanwhile", history, [failover])
    figures.gaps("5 a router started meanwhile", history, [Span(failover.until_s, away.until_s)])
    assert history.problems() == []
    assert history.failed(failover.until_s, time.time()) == []
    after = release.ring()
    assert before is not None
    assert after is not None
    assert after.version == before.version, "the ring was changed while nobody could know enough"
    assert after.configs == before.configs


def is_ready(pod: Pod) -> bool:
    """What the pod itself says; its address does not change with its container."""
    host = pod.address.rpartition(":")[0]
    try:
        with urlopen(f"http://{host}:7480/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
