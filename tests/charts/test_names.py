"""Names are those that services are told; selectors find their pods; nothing is too long."""

from __future__ import annotations

import pytest

from charts.helm import Helm
from tests.charts.rendering import COMPONENTS, Rendered, render

SELECTED = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
LABEL = 63
CLUSTER_SCOPED = ("ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy",
                  "ValidatingAdmissionPolicyBinding")  # fmt: skip


def test_selectors_find_their_own_pods_only(rendered: Rendered) -> None:
    pods = {
        component: rendered.workload(component)["spec"]["template"]["metadata"]["labels"]
        for component in COMPONENTS
    }
    selectors = [
        (each["metadata"], each["spec"]["selector"]["matchLabels"])
        for kind in ("StatefulSet", "Deployment", "PodDisruptionBudget")
        for each in rendered.of(kind)
    ] + [(each["metadata"], each["spec"]["selector"]) for each in rendered.of("Service")]
    for metadata, selector in selectors:
        assert selector.keys() == SELECTED, metadata["name"]
        component = metadata["labels"]["app.kubernetes.io/component"]
        found = [name for name, labels in pods.items() if selector.items() <= labels.items()]
        assert found == [component], metadata["name"]


def test_names_of_the_contract(helm: Helm) -> None:
    rendered = render(helm)
    names = {(each["kind"], each["metadata"]["name"]) for each in rendered.objects}
    assert names >= {
        ("StatefulSet", "becket-storage"),
        ("Service", "becket-storage"),
        ("Service", "becket-storage-ready"),
        ("Deployment", "becket-router"),
        ("Service", "becket-router"),
        ("Deployment", "becket-supervisor"),
        ("Service", "becket-supervisor"),
        ("Deployment", "becket-balancer"),
        ("Service", "becket-balancer"),
        ("ConfigMap", "becket-wish"),
    }
    assert ("Service", "becket") not in names
    assert ("ConfigMap", "becket-ring") not in names


def test_objects_of_others_are_not_made(rendered: Rendered) -> None:
    # The ring object, the lease and the budget of storage have one writer, the supervisor.
    assert not rendered.of("Lease")
    names = {each["metadata"]["name"] for each in rendered.of("ConfigMap")}
    assert not any(name.endswith("-ring") for name in names)


def test_services(helm: Helm) -> None:
    rendered = render(helm)
    peers = rendered.one("Service", "becket-storage")["spec"]
    assert peers["clusterIP"] == "None"
    assert peers["publishNotReadyAddresses"] is True
    ready = rendered.one("Service", "becket-storage-ready")["spec"]
    assert "publishNotReadyAddresses" not in ready
    for service in rendered.of("Service"):
        ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
        assert ports["grpc"] == 7400
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP"
    (storage,) = rendered.of("StatefulSet")
    assert storage["spec"]["serviceName"] == "becket-storage"


def test_objects_of_the_cluster_carry_namespace_and_release(helm: Helm) -> None:
    here, there = (render(helm, namespace=namespace) for namespace in ("here", "there"))
    for kind in CLUSTER_SCOPED:
        (one,), (other,) = here.of(kind), there.of(kind)
        assert one["metadata"]["name"].startswith("here-becket-")
        assert other["metadata"]["name"].startswith("there-becket-")
        assert "namespace" not in one["metadata"]
    for found in here.objects:
        if found["kind"] not in CLUSTER_SCOPED:
            assert found["metadata"]["namespace"] == "here", found["metadata"]["name"]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (("nameOverride=store",), "becket-store"),
        (("fullnameOverride=keys",), "keys"),
        (("nameOverride=beck",), "becket"),
        (("fullnameOverride=" + "x" * 60,), "x" * 40),
    ],
)
def test_overrides(helm: Helm, settings: tuple[str, ...], name: str) -> None:
    arguments = [part for setting in settings for part in ("--set", setting)]
    rendered = render(helm, *arguments)
    assert rendered.one("StatefulSet", f"{name}-storage")
    environment = rendered.environment("supervisor")
    assert environment["BECKET_KUBERNETES__RING_OBJECT"] == f"{name}-ring"


def test_no_name_is_too_long(helm: Helm) -> None:
    rendered = render(helm, "--set", "fullnameOverride=" + "x" * 60, namespace="n" * 63)
    (storage,) = rendered.of("StatefulSet")
    # The controller labels each pod with the set's name and a hash of ten characters.
    assert len(storage["metadata"]["name"]) + 11 <= LABEL
    for found in rendered.objects:
        limit = 253 if found["kind"] in CLUSTER_SCOPED else LABEL
        assert len(found["metadata"]["name"]) <= limit


def test_labels_that_select_cannot_be_changed(helm: Helm) -> None:
    for place in ("commonLabels", "storage.podLabels"):
        done = helm.template("--set-string", rf"{place}.app\.kubernetes\.io/component=x")
        assert done.returncode != 0, place


def test_release_of_another_name(helm: Helm) -> None:
    done = helm.template(name="shop")
    assert "name: shop-becket-storage\n" in done.stdout
