"""Who may do what, exactly: a right more than this is a finding, and so is one less.

The table is the one of docs/KUBERNETES.md: only the supervisor writes the ring object, the scale,
the budget and pod conditions; routers read the ring object; members and balancer have no rights;
only the chaos role deletes pods or runs commands in them.
"""

from __future__ import annotations

from charts.helm import Helm
from tests.charts.rendering import Object, Rendered, render, values_of

READ = ("get", "list", "watch")
Right = tuple[str, str, str, tuple[str, ...]]
"""(API group, resource, name or empty for all, verbs)."""

ROUTER: set[Right] = {("", "configmaps", "becket-ring", READ)}
SUPERVISOR: set[Right] = {
    ("", "configmaps", "", ("create",)),
    ("", "configmaps", "becket-ring", (*READ, "update", "patch")),
    ("", "configmaps", "becket-wish", READ),
    ("apps", "statefulsets", "becket-storage", READ),
    ("apps", "statefulsets/scale", "becket-storage", ("get", "update")),
    ("", "pods", "", READ),
    ("", "pods/status", "", ("patch",)),
    ("", "persistentvolumeclaims", "", READ),
    ("policy", "poddisruptionbudgets", "", ("create",)),
    ("policy", "poddisruptionbudgets", "becket-storage", (*READ, "update")),
    ("coordination.k8s.io", "leases", "", ("create",)),
    ("coordination.k8s.io", "leases", "becket-supervisor", ("get", "update")),
    ("events.k8s.io", "events", "", ("create",)),
}
CLUSTER: set[Right] = {
    ("", "nodes", "", READ),
    ("", "persistentvolumes", "", READ),
    ("storage.k8s.io", "storageclasses", "", READ),
}
CHAOS: set[Right] = {
    ("", "pods", "", (*READ, "delete")),
    ("", "pods/exec", "", ("create", "get")),
    ("", "configmaps", "becket-ring", ("get",)),
}


def rights(role: Object) -> set[Right]:
    return {
        (group, resource, name, tuple(rule["verbs"]))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }


def test_roles(helm: Helm) -> None:
    rendered = render(helm)
    roles = {role["metadata"]["name"]: rights(role) for role in rendered.of("Role")}
    assert roles == {"becket-router": ROUTER, "becket-supervisor": SUPERVISOR}
    (cluster,) = rendered.of("ClusterRole")
    assert cluster["metadata"]["name"] == "becket-becket-supervisor"
    assert rights(cluster) == CLUSTER


def test_nobody_may_do_everything(rendered: Rendered) -> None:
    for role in (*rendered.of("Role"), *rendered.of("ClusterRole")):
        for group, resource, _, verbs in rights(role):
            assert "*" not in {group, resource, *verbs}
            assert resource != "secrets"


def test_roles_are_bound_to_the_accounts_of_the_pods(rendered: Rendered) -> None:
    for binding in (*rendered.of("RoleBinding"), *rendered.of("ClusterRoleBinding")):
        component = binding["metadata"]["labels"]["app.kubernetes.io/component"]
        (subject,) = binding["subjects"]
        role = binding["roleRef"]
        assert role["name"] == binding["metadata"]["name"]
        assert rendered.one(role["kind"], role["name"])
        assert subject["namespace"] == "becket"
        if component != "chaos":
            pod = rendered.workload(component)["spec"]["template"]["spec"]
            assert subject["name"] == pod["serviceAccountName"]


def test_storage_and_balancer_have_no_rights(rendered: Rendered) -> None:
    bound = {
        subject["name"]
        for kind in ("RoleBinding", "ClusterRoleBinding")
        for binding in rendered.of(kind)
        for subject in binding["subjects"]
    }
    for component in ("storage", "balancer"):
        pod = rendered.workload(component)["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] not in bound


def test_chaos_is_off_and_has_a_role_of_its_own(helm: Helm) -> None:
    rendered = render(helm, *values_of("chaos.yaml"))
    assert rights(rendered.one("Role", "becket-chaos")) == CHAOS
    assert rendered.one("ServiceAccount", "becket-chaos")
    others = {role["metadata"]["name"]: rights(role) for role in rendered.of("Role")}
    del others["becket-chaos"]
    assert others == {"becket-router": ROUTER, "becket-supervisor": SUPERVISOR}


def test_without_objects_of_the_cluster(helm: Helm) -> None:
    rendered = render(helm, *values_of("few-rights.yaml"))
    outside = [found for found in rendered.objects if "namespace" not in found["metadata"]]
    assert outside == []
    environment = rendered.environment("supervisor")
    assert environment["BECKET_KUBERNETES__CLUSTER_ROLE"] == "false"
    assert environment["BECKET_KUBERNETES__ZONE"] == "zone-a"


def test_roles_can_be_somebody_elses(helm: Helm) -> None:
    rendered = render(helm, "--set", "rbac.create=false")
    for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"):
        assert rendered.of(kind) == ()


def test_network_policies(helm: Helm) -> None:
    rendered = render(helm, *values_of("large.yaml"))
    policies = {
        policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: policy["spec"]
        for policy in rendered.of("NetworkPolicy")
    }
    assert policies.keys() == {"storage", "router", "supervisor", "balancer"}
    ours = {"app.kubernetes.io/name": "store", "app.kubernetes.io/instance": "becket"}
    for component, spec in policies.items():
        assert spec["policyTypes"] == ["Ingress"]
        calls, scrapes = spec["ingress"]
        assert calls["ports"] == [{"port": "grpc", "protocol": "TCP"}]
        assert scrapes["ports"] == [{"port": "http", "protocol": "TCP"}]
        assert calls["from"][0] == {"podSelector": {"matchLabels": ours}}
        others = calls["from"][1:]
        assert bool(others) is (component in {"storage", "router"}), component
