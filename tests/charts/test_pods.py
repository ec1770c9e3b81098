"""Every pod that the chart makes passes Pod Security "restricted" and can be stopped in order."""

from __future__ import annotations

import pytest

from charts.helm import Helm
from tests.charts.rendering import COMPONENTS, Object, Rendered, render, values_of

ALLOWED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
"""Pod Security "restricted" knows no others."""


def containers(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def test_pod_security_restricted(rendered: Rendered) -> None:
    pods = dict(rendered.pods())
    assert len(pods) == 5
    for name, pod in pods.items():
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for volume in pod["volumes"]:
            assert volume.keys() - {"name"} <= ALLOWED_VOLUMES, volume
        for container in containers(pod):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert own["readOnlyRootFilesystem"] is True, name
            assert not own.keys() & {"privileged", "procMount", "runAsUser"}, name
            assert all("hostPort" not in port for port in container.get("ports", ())), name


def test_only_tmp_and_data_can_be_written(helm: Helm) -> None:
    for name, pod in render(helm).pods():
        (container,) = pod["containers"]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        data = {"data": "/data"} if "StatefulSet" in name else {}
        assert mounts == {"tmp": "/tmp", **data}  # noqa: S108 - the path in the container
        assert pod["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]


def test_probes(rendered: Rendered) -> None:
    for component in COMPONENTS:
        (container,) = rendered.workload(component)["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"grpc": 7400, "http": 7480}
        for kind, path in (("startup", "/live"), ("liveness", "/live"), ("readiness", "/ready")):
            probe = container[f"{kind}Probe"]
            assert probe["httpGet"] == {"path": path, "port": "http"}
            assert probe["timeoutSeconds"] >= 1
        startup, liveness = container["startupProbe"], container["livenessProbe"]
        # A start takes as long as it takes; a pause of some seconds is no reason to be killed.
        least_s = 600 if component == "storage" else 60
        assert startup["periodSeconds"] * startup["failureThreshold"] >= least_s
        assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 30


def test_nothing_but_the_process_itself_stops_a_pod(rendered: Rendered) -> None:
    for name, pod in rendered.pods():
        assert all("lifecycle" not in container for container in pod["containers"]), name


def test_the_grace_period_is_longer_than_its_parts(rendered: Rendered) -> None:
    for component in COMPONENTS:
        pod = rendered.workload(component)["spec"]["template"]["spec"]
        environment = rendered.environment(component)
        parts_s = float(environment["BECKET_PRE_STOP_S"]) + float(
            environment["BECKET_STOP_GRACE_S"]
        )
        assert parts_s + 5 == pod["terminationGracePeriodSeconds"], component


def test_resources(rendered: Rendered) -> None:
    for name, pod in rendered.pods():
        for container in containers(pod):
            resources = container["resources"]
            assert resources["requests"].keys() == {"cpu", "memory"}, name
            assert resources["limits"].keys() == {"memory"}, name


def test_memory_of_storage_is_granted_as_asked_for(helm: Helm) -> None:
    (storage,) = render(helm).of("StatefulSet")
    (container,) = storage["spec"]["template"]["spec"]["containers"]
    resources = container["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]


def test_who_has_a_token(rendered: Rendered) -> None:
    for component in COMPONENTS:
        pod = rendered.workload(component)["spec"]["template"]["spec"]
        talks = component in {"router", "supervisor"}
        assert pod["automountServiceAccountToken"] is talks, component
    for account in rendered.of("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    for name, pod in rendered.pods():
        if name.startswith("Pod/"):
            assert pod["automountServiceAccountToken"] is False


def test_processes_are_shared_only_for_chaos(rendered: Rendered, values: str) -> None:
    for component in COMPONENTS:
        pod = rendered.workload(component)["spec"]["template"]["spec"]
        assert pod.get("shareProcessNamespace", False) is (values == "chaos.yaml")


def test_no_variables_of_other_services(rendered: Rendered) -> None:
    assert all(pod["enableServiceLinks"] is False for _, pod in rendered.pods())


def test_pods_are_spread(helm: Helm) -> None:
    for component in COMPONENTS:
        workload = render(helm).workload(component)
        spread = workload["spec"]["template"]["spec"]["topologySpreadConstraints"]
        keys = {each["topologyKey"]: each["whenUnsatisfiable"] for each in spread}
        assert keys == {
            "topology.kubernetes.io/zone": "ScheduleAnyway",
            "kubernetes.io/hostname": "ScheduleAnyway",
        }
        labels = workload["spec"]["selector"]["matchLabels"]
        assert all(each["labelSelector"]["matchLabels"] == labels for each in spread)


def test_what_is_set_for_pods_gets_there(helm: Helm) -> None:
    storage = render(helm, *values_of("large.yaml")).workload("storage")["spec"]["template"]
    spec = storage["spec"]
    (container,) = spec["containers"]
    assert storage["metadata"]["annotations"] == {"example.org/note": "yes"}
    assert {"tier": "data", "team": "data"}.items() <= storage["metadata"]["labels"].items()
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["tolerations"] == [{"key": "dedicated", "operator": "Exists"}]
    assert spec["affinity"].keys() == {"nodeAffinity"}
    assert [each["whenUnsatisfiable"] for each in spec["topologySpreadConstraints"]] == [
        "DoNotSchedule"
    ]
    assert spec["priorityClassName"] == "high"
    assert spec["serviceAccountName"] == "members"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert {"name": "more", "configMap": {"name": "more"}} in spec["volumes"]
    assert container["volumeMounts"][-1]["mountPath"] == "/more"
    assert container["env"][-1]["valueFrom"]["secretKeyRef"]["name"] == "outside"
    assert container["imagePullPolicy"] == "Always"


@pytest.mark.parametrize(
    ("settings", "image"),
    [
        ((), "becket:0.1.0"),
        (("image.tag=7",), "becket:7"),
        (("image.registry=r.example:5000", "image.tag=a"), "r.example:5000/becket:a"),
        (("image.digest=sha256:" + 64 * "a", "image.tag=a"), "becket@sha256:" + 64 * "a"),
    ],
)
def test_image(helm: Helm, settings: tuple[str, ...], image: str) -> None:
    arguments = [part for setting in settings for part in ("--set", setting)]
    for _, pod in render(helm, *arguments).pods():
        assert pod["containers"][0]["image"] == image
