"""Case 7 and identity: volumes wiped, volumes that come back old, a ring object deleted."""

from __future__ import annotations

import time

import pytest

from becket.core.errors import BecketError
from becket.core.ring.ring import Ring
from tests.e2e import client_pods, figures
from tests.e2e.client_pods import ClientPod
from tests.e2e.kube import CommandError
from tests.e2e.release import NAME, Installed, NotYetError, Span
from tests.e2e.test_kills import steadily
from tests.e2e.test_scale import ring_of
from tests.e2e.waiting import until

RING = f"{NAME}-ring"
REPLACED_S = 900
"""A dead disk is replaced after a delay, at the first sign of its successor."""


def start_client(release: Installed) -> ClientPod:
    release.wait_whole()
    return client_pods.start(
        release.kube, release.namespace, release.image, "client", target=release.target
    )


def disk_of(ring: Ring, name: str) -> str:
    """The disk that is in use under a name; empty for none."""
    found = [m.disk for m in ring.members if m.name == name and m.may_hold]
    return found[-1] if found else ""


def delete(release: Installed, *what: str) -> None:
    release.kube.kubectl("-n", release.namespace, "delete", *what)


def test_a_volume_deleted_with_its_pod_is_made_anew(release: Installed) -> None:
    client = start_client(release)
    steady = steadily(figures.STEADY_S)
    name = f"{NAME}-storage-1"
    before = ring_of(release)
    old = disk_of(before, name)
    since_s = time.time()
    delete(release, "pvc", f"data-{name}", "--wait=false")
    delete(release, "pod", name, "--wait=false")

    def is_replaced() -> bool:
        now = ring_of(release)
        new = disk_of(now, name)
        if new in ("", old):
            raise NotYetError(f"{name} has no new disk in the ring")
        for config in now.configs:
            # While its copy is made it stands beside the voters, never among them alone.
            assert new not in config.old or not config.is_joint
        return sum(new in config.member_set for config in now.configs) == len(now.configs)

    ignoring = (NotYetError, BecketError, CommandError)
    until("the copies are made anew", is_replaced, REPLACED_S, ignoring=ignoring)
    release.wait_whole(REPLACED_S)
    span = Span(since_s, time.time())
    history = client.stop()
    figures.gaps("7 a volume deleted", history, [span], steady)
    assert history.problems() == []
    after = ring_of(release)
    assert all(len(config.member_set) == after.replicas for config in after.configs)
    assert old not in {disk for config in after.configs for disk in config.member_set}


def test_a_volume_that_comes_back_old_is_told_the_ring(release: Installed) -> None:
    client = start_client(release)
    for count in (4, 3, 4, 3):
        release.becket("scale", count, "--wait", "--within", "15m", limit_s=REPLACED_S)
        release.wait_whole(REPLACED_S, count=count)
    history = client.stop()
    assert history.problems() == []
    assert len(release.fetch("pvc")["items"]) == 4, "the volume stays when a member leaves"


def test_all_pods_deleted_at_once_come_back_by_themselves(release: Installed) -> None:
    client = start_client(release)
    since_s = time.time()
    delete(release, "pods", "-l", f"app.kubernetes.io/instance={NAME}", "--wait=false")
    time.sleep(5)
    release.wait_whole()
    span = Span(since_s, time.time())
    time.sleep(2)
    history = client.stop()
    figures.gaps("all pods deleted at once", history, [span])
    assert history.problems() == []


def test_a_deleted_ring_object_is_restored_unchanged(release: Installed) -> None:
    client = start_client(release)
    before = ring_of(release)
    since_s = time.time()
    delete(release, "configmap", RING)
    until("the ring is back", lambda: release.ring() is not None, 120, ignoring=(CommandError,))
    release.wait_whole()
    span = Span(since_s, time.time())
    history = client.stop()
    figures.gaps("the ring object deleted", history, [span])
    assert history.problems() == []
    assert history.failed(*span) == []
    after = ring_of(release)
    assert after.cluster == before.cluster
    assert after.configs == before.configs


def test_a_deleted_ring_object_is_not_restored_without_every_member(release: Installed) -> None:
    client = start_client(release)
    name = f"{NAME}-storage-2"
    before = ring_of(release)
    # A node that takes nobody: the member whose volume is there has to wait.
    node = release.node_of(name)
    release.kube.kubectl("cordon", node)
    try:
        delete(release, "pod", name, "--wait=false")
        until(f"{name} waits", lambda: _is_pending(release, name), 120)
        delete(release, "configmap", RING)
        until("somebody says so", lambda: name in release.becket("ring", "recover"), 120)
        time.sleep(10)
        assert release.ring() is None
        said = release.becket("ring", "recover")
        figures.tell(f"a ring object deleted, {name} away: {said.splitlines()}")
    finally:
        release.kube.kubectl("uncordon", node)
    until("the ring is back", lambda: release.ring() is not None, 240, ignoring=(CommandError,))
    release.wait_whole()
    history = client.stop()
    assert history.problems() == []
    assert ring_of(release).cluster == before.cluster


def _is_pending(release: Installed, name: str) -> bool:
    try:
        return str(release.fetch("pod", name)["status"]["phase"]) == "Pending"
    except CommandError:
        return False


def test_a_set_is_not_deleted_with_its_pods_left_behind(release: Installed) -> None:
    with pytest.raises(CommandError) as refused:
        delete(release, "statefulset", f"{NAME}-storage", "--cascade=orphan")
    figures.tell(f"delete --cascade=orphan: {refused.value}")
    release.wait_whole()
