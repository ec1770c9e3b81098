"""Case 1: installed, tried, upgraded, uninstalled, and installed again on the volumes it left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.release import NAME, Installed
from tests.e2e.waiting import until
from tests.tidy.sources import ROOT

HELM_4 = ROOT / ".build" / "helm4" / "helm"


@pytest.fixture(params=["helm", str(HELM_4)], ids=["helm 3", "helm 4"])
def helm(request: pytest.FixtureRequest) -> str:
    binary = str(request.param)
    if binary != "helm" and not Path(binary).exists():
        pytest.skip("Helm 4 is not there: make helm")
    return binary


def test_it_is_installed_upgraded_and_installed_again(empty: Installed, helm: str) -> None:
    empty.install(binary=helm)
    print(empty.kube.helm("test", NAME, "-n", empty.namespace, binary=helm))
    cluster, ring = empty.status()["cluster"], empty.ring()
    assert ring is not None
    empty.becket("put", "kept", "over everything")

    # Changed values: every pod is made again, one more router comes, and the members stay.
    changed = ("--set", "logLevel=warning", "--set", "router.replicas=3")
    empty.helm("upgrade", *changed, binary=helm)
    empty.wait_whole(count=3)
    assert len(empty.pods("router")) == 3
    assert empty.becket("get", "kept") == "over everything"
    assert empty.fetch("statefulset", f"{NAME}-storage")["spec"]["replicas"] == 3

    empty.uninstall(binary=helm)
    until("its pods are gone", lambda: not empty.pods(), 120)
    assert empty.fetch("configmap", f"{NAME}-ring")["binaryData"]
    assert len(empty.fetch("pvc")["items"]) == 3

    empty.helm("install", binary=helm)
    empty.wait_whole(count=3)
    assert empty.status()["cluster"] == cluster
    assert empty.becket("get", "kept") == "over everything"
    again = empty.ring()
    assert again is not None
    assert again.version >= ring.version
    assert {m.disk for m in again.members} == {m.disk for m in ring.members}

    # The next Helm begins with an empty place.
    empty.uninstall(binary=helm)
    until("its pods are gone", lambda: not empty.pods(), 120)
    empty.kube.kubectl("-n", empty.namespace, "delete", "pvc", "--all")
    empty.kube.kubectl("-n", empty.namespace, "delete", "configmap", f"{NAME}-ring")
