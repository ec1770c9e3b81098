"""The chart renders with every file of values, the same every time, and only what it should."""

from __future__ import annotations

import re

from charts.helm import CHART, KUBERNETES, Helm
from tests.charts.rendering import Rendered, render, values_of

CHANCE = re.compile(r"\b(rand\w*|uuidv4|gen[A-Z]\w*|now|date\w*|htpasswd|bcrypt|derivePassword)\b")
ACTION = re.compile(r"\{\{(?!-? */\*).*?\}\}", re.DOTALL)


def test_lint(helm: Helm, values: str) -> None:
    done = helm.run(
        "lint", "--strict", "--kube-version", KUBERNETES, str(CHART), *values_of(values)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 chart(s) failed" in done.stdout


def test_the_same_bytes_twice(helm: Helm, values: str) -> None:
    first, second = (helm.template(*values_of(values)) for _ in range(2))
    assert first.stdout
    assert first.stdout == second.stdout


def test_nothing_is_left_to_chance() -> None:
    for path in CHART.rglob("templates/**/*"):
        if path.is_file():
            for action in ACTION.findall(path.read_text(encoding="utf-8")):
                words = re.sub(r'"(\\.|[^"\\])*"', '""', action)
                assert not CHANCE.search(words), f"{path.name}: {action}"


def test_every_object_is_named_and_labelled(rendered: Rendered) -> None:
    for found in rendered.objects:
        metadata = found["metadata"]
        assert found["apiVersion"]
        if metadata["name"].endswith(("-more", "-text")):
            continue  # of extraObjects, whose labels are their own
        labels = metadata["labels"]
        assert labels["app.kubernetes.io/instance"] == "becket"
        assert {"app.kubernetes.io/name", "app.kubernetes.io/component"} <= labels.keys()
        assert all(len(label) <= 63 for label in labels.values()), labels


def test_no_secret_and_no_foreign_kind(rendered: Rendered) -> None:
    assert not rendered.of("Secret")
    groups = {found["apiVersion"].rpartition("/")[0] for found in rendered.objects}
    core = {"", "apps", "policy", "rbac.authorization.k8s.io", "networking.k8s.io"}
    assert groups <= core | {"admissionregistration.k8s.io", "monitoring.coreos.com"}


def test_defaults_need_nothing_that_a_plain_cluster_lacks(helm: Helm) -> None:
    kinds = {found["kind"] for found in render(helm).objects}
    assert not kinds & {"ServiceMonitor", "PrometheusRule", "NetworkPolicy", "Ingress"}


def test_the_number_of_storage_pods_is_not_rendered(rendered: Rendered) -> None:
    (storage,) = rendered.of("StatefulSet")
    spec = storage["spec"]
    assert "replicas" not in spec
    assert spec["podManagementPolicy"] == "Parallel"
    assert spec["updateStrategy"] == {"type": "RollingUpdate"}
    assert spec["minReadySeconds"] > 0
    gates = spec["template"]["spec"]["readinessGates"]
    assert gates == [{"conditionType": "becket.dev/whole"}]


def test_nothing_in_the_claims_changes_with_the_chart(rendered: Rendered) -> None:
    (storage,) = rendered.of("StatefulSet")
    (claim,) = storage["spec"]["volumeClaimTemplates"]
    assert claim["metadata"] == {"name": "data"}


def test_only_routers_have_a_budget_of_the_chart(rendered: Rendered) -> None:
    for budget in rendered.of("PodDisruptionBudget"):
        labels = budget["spec"]["selector"]["matchLabels"]
        assert labels["app.kubernetes.io/component"] == "router"
        assert "minAvailable" not in budget["spec"]


def test_the_wish_is_an_object_of_its_own(helm: Helm) -> None:
    wish = render(helm, "--set", "storage.replicas=5").one("ConfigMap", "becket-wish")
    assert wish["data"] == {"storage.replicas": "5"}


def test_scale_of_routers_can_be_left_to_others(helm: Helm) -> None:
    router = render(helm, "--set", "router.replicas=null").workload("router")
    assert "replicas" not in router["spec"]


def test_extra_objects_are_templates(helm: Helm) -> None:
    rendered = render(helm, *values_of("large.yaml"))
    assert rendered.one("ConfigMap", "keys-more")["data"] == {"a": "b"}
    assert rendered.one("ConfigMap", "becket-text")


def test_metrics_are_read_from_each_pod_once(helm: Helm) -> None:
    rendered = render(helm, *values_of("large.yaml"))
    (monitor,) = rendered.of("ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    scraped = [
        service["spec"]["selector"]["app.kubernetes.io/component"]
        for service in rendered.of("Service")
        if wanted <= service["metadata"]["labels"].items()
    ]
    assert sorted(scraped) == ["balancer", "router", "storage", "supervisor"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
