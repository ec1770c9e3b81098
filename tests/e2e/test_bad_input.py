"""What is wrong is told before anything is harmed: values, volumes, rights, no place for disks."""

from __future__ import annotations

import json

import pytest

from tests.e2e import figures
from tests.e2e.kube import CommandError
from tests.e2e.release import NAME, Installed
from tests.e2e.waiting import until

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--set", "storage.replica=5"), "replica"),
        (("--set", "storage.replicas=2"), "replicas"),
        (("--set", "persistence.size=2Gi"), "grow each claim instead: kubectl"),
        (("--set", "tls.enabled=true"), "tls"),
    ],
    ids=["misspelt", "too few members", "another volume size", "what does not work yet"],
)
def test_an_upgrade_is_refused_and_changes_nothing(
    release: Installed, options: tuple[str, ...], said: str
) -> None:
    before = release.fetch("statefulset", f"{NAME}-storage")["metadata"]["generation"]
    with pytest.raises(CommandError) as refused:
        release.helm("upgrade", *options, wait=False)
    figures.tell(f"refused {options[1]}: {str(refused.value).splitlines()[-1][:300]}")
    assert said in str(refused.value)
    after = release.fetch("statefulset", f"{NAME}-storage")["metadata"]["generation"]
    assert after == before
    release.wait_whole()


def test_rights_that_are_missing_are_named(release: Installed) -> None:
    role = release.fetch("role", f"{NAME}-supervisor")
    binding = release.fetch("rolebinding", f"{NAME}-supervisor")
    release.kube.kubectl("-n", release.namespace, "delete", "rolebinding", f"{NAME}-supervisor")
    try:
        until(
            "somebody says so",
            lambda: "forbidden" in json.dumps(release.status()["sentences"]).lower(),
            180,
        )
        figures.tell(f"rights are missing: {release.status()['sentences'][0]}")
        assert release.becket("put", "still", "there")
    finally:
        del binding["metadata"]["resourceVersion"]
        release.kube.apply(binding)
    assert role
    release.wait_whole()


def test_without_a_default_class_the_volumes_wait_and_somebody_says_so(
    release: Installed,
) -> None:
    kube = release.kube
    kube.need_nodes()
    release.uninstall()
    kube.kubectl("-n", release.namespace, "delete", "pvc", "--all")
    kube.kubectl("-n", release.namespace, "delete", "configmap", f"{NAME}-ring")
    kube.kubectl("annotate", "storageclass", "standard", f"{DEFAULT_CLASS}-")
    try:
        said = release.helm("install", wait=False)
        assert "StorageClass" in said
        until("an Event says so", lambda: _is_told(release), 180)
        # Without a ring no router is ready, so its Service leads nowhere; its pod answers.
        line = ("-n", release.namespace, "exec", f"deploy/{NAME}-router", "--", "becket", "status")
        told = until("a router answers", lambda: kube.kubectl(*line), 180, ignoring=(CommandError,))
        figures.tell(f"no default class: {' '.join(told.split())[:300]}")
    finally:
        kube.kubectl("annotate", "storageclass", "standard", f"{DEFAULT_CLASS}=true")
    # The scheduler looks again at a pod that it could not place after five minutes at the latest;
    # that a class became the default does not wake it.
    release.wait_whole(600)


def _is_told(release: Installed) -> bool:
    events = release.fetch("events")["items"]
    told = json.dumps([event.get("message", "") for event in events])
    return "StorageClass" in told or "storage class" in told
