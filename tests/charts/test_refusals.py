"""What the chart refuses before anything is sent, with a message that says what to do."""

from __future__ import annotations

import re
from typing import Any

import pytest

from charts.helm import CHART, KUBERNETES, POLICIES, Helm
from tests.charts.api_server import FakeApi
from tests.charts.rendering import refusal, render

SIZE = "persistence.size"


@pytest.mark.parametrize(
    "setting",
    [
        "storage.replica=5",
        "storrage.replicas=5",
        "image.tags=7",
        "storage.probes.liveness.period=7",
        "storage.resources.limit.memory=1Gi",
        "tls.enabled=true",
        "auth.enabled=true",
        "router.tls.enabled=true",
        "persistence.enabled=false",
        "service.type=LoadBalancer",
    ],
)
def test_unknown_keys(helm: Helm, setting: str) -> None:
    said = refusal(helm, "--set", setting)
    assert "dditional propert" in said, said
    assert any(f"'{part}'" in said or part in said for part in re.split("[.=]", setting)[:-1])


@pytest.mark.parametrize(
    "setting",
    [
        "storage.replicas=0",
        "storage.replicas=many",
        "cluster.partitions=100",
        "cluster.replicas=16",
        "cluster.durability=none",
        "logLevel=loud",
        "image.digest=abc",
        "image.pullPolicy=Sometimes",
        "persistence.size=8 Gi",
        "persistence.accessModes={}",
        "balancer.replicas=2",
        "router.service.type=ExternalName",
        "storage.stopGraceSeconds=1",
        "settings.Log-Level=x",
        "settings.limits.Value=x",
        "settings.pacing.throttle.first.more=x",
        "topologySpread.zone=Always",
        "storage.extraEnv[0].nam=x",
        "fullnameOverride=Upper_Case",
    ],
)
def test_wrong_values(helm: Helm, setting: str) -> None:
    top = setting.partition("=")[0].partition(".")[0].partition("[")[0]
    assert top in refusal(helm, "--set", setting)


def test_fewer_members_than_replicas(helm: Helm) -> None:
    said = refusal(helm, "--set", "storage.replicas=2")
    assert "storage.replicas is 2 and cluster.replicas is 3" in said
    assert render(helm, "--set", "storage.replicas=2,cluster.replicas=2").objects


def test_memory_that_was_not_asked_for(helm: Helm) -> None:
    said = refusal(helm, "--set", "storage.resources.limits.memory=2Gi")
    assert "requests.memory (512Mi) and limits.memory (2Gi) must be the same" in said
    both = "storage.resources.requests.memory=1Gi,storage.resources.limits.memory=1024Mi"
    assert render(helm, "--set", both).objects


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("settings.name=x", "BECKET_NAME is set by the chart"),
        ("storage.settings.durability=os", "BECKET_DURABILITY is set by the chart"),
        ("supervisor.settings.kubernetes.lease=x", "BECKET_KUBERNETES__LEASE is set by the chart"),
        ("router.extraEnv[0].name=BECKET_LISTEN", "router.extraEnv: BECKET_LISTEN is set already"),
    ],
)
def test_settings_that_are_the_charts_own(helm: Helm, setting: str, told: str) -> None:
    assert told in refusal(helm, "--set", setting)


def test_a_server_without_admission_policies(helm: Helm) -> None:
    plain = ("template", "becket", str(CHART), "--kube-version", KUBERNETES)
    done = helm.run(*plain)
    assert done.returncode != 0
    assert "admissionPolicy.enabled=false" in done.stderr
    assert POLICIES in done.stderr
    done = helm.run(*plain, "--set", "admissionPolicy.enabled=false")
    assert done.returncode == 0, done.stderr


def storage_set(**spec: Any) -> dict[str, Any]:  # noqa: ANN401 - any value of JSON
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "8Gi"}},
        "volumeMode": "Filesystem",
        **spec,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": "becket-storage",
            "namespace": "becket",
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {
                "meta.helm.sh/release-name": "becket",
                "meta.helm.sh/release-namespace": "becket",
            },
        },
        "spec": {"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}]},
    }


def with_server(helm: Helm, api: FakeApi, *settings: str) -> tuple[int, str]:
    arguments = [part for setting in settings for part in ("--set", setting)]
    server = ("--dry-run=server", "--disable-openapi-validation", "--kube-apiserver", api.url)
    done = helm.template(*server, *arguments)
    return done.returncode, " ".join(done.stderr.split())


def test_an_unchanged_size_is_fine_in_any_writing(helm: Helm, api: FakeApi) -> None:
    api.put("apps/v1", "statefulsets", storage_set())
    for size in ("8Gi", "8192Mi", "8388608Ki", "8.0Gi"):
        code, said = with_server(helm, api, f"{SIZE}={size}")
        assert code == 0, said
    assert any("statefulsets/becket-storage" in path for path in api.asked)


def test_a_changed_size_is_refused_with_the_way_to_grow(helm: Helm, api: FakeApi) -> None:
    api.put("apps/v1", "statefulsets", storage_set())
    code, said = with_server(helm, api, f"{SIZE}=16Gi")
    assert code != 0
    assert "kubectl -n becket patch pvc data-becket-storage-0" in said
    assert "Leave persistence.size at 8Gi" in said


def test_other_changes_of_the_claims_are_refused(helm: Helm, api: FakeApi) -> None:
    api.put("apps/v1", "statefulsets", storage_set(storageClassName="slow"))
    code, said = with_server(helm, api, "persistence.storageClass=fast")
    assert code != 0
    assert "persistence.storageClass" in said
    assert with_server(helm, api, "persistence.storageClass=slow")[0] == 0
    code, said = with_server(
        helm, api, "persistence.storageClass=slow", "persistence.accessModes={ReadWriteOncePod}"
    )
    assert code != 0
    assert "persistence.accessModes" in said


def test_without_a_set_nothing_is_compared(helm: Helm, api: FakeApi) -> None:
    code, said = with_server(helm, api, f"{SIZE}=16Gi")
    assert code == 0, said
