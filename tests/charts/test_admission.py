"""The admission policy catches the storage set of its own release, and nothing else.

What a server makes of the expressions is tried on a cluster (tests/e2e).
"""

from __future__ import annotations

import re

from charts.helm import Helm
from tests.charts.rendering import Object, Rendered, render, values_of


def policy(rendered: Rendered) -> Object:
    (found,) = rendered.of("ValidatingAdmissionPolicy")
    return dict(found["spec"])


def test_it_matches_by_name_and_namespace(helm: Helm) -> None:
    spec = policy(render(helm, namespace="shop"))
    constraints = spec["matchConstraints"]
    # A Scale object has no labels: an objectSelector would let `kubectl scale` through.
    assert "objectSelector" not in constraints
    labels = constraints["namespaceSelector"]["matchLabels"]
    assert labels == {"kubernetes.io/metadata.name": "shop"}
    rules = {tuple(rule["operations"]): rule for rule in constraints["resourceRules"]}
    assert rules["UPDATE",]["resources"] == ["statefulsets", "statefulsets/scale"]
    assert rules["DELETE",]["resources"] == ["statefulsets"]
    for rule in rules.values():
        assert rule["resourceNames"] == ["becket-storage"]
        assert rule["apiGroups"] == ["apps"]
    assert spec["failurePolicy"] == "Fail"


def test_only_the_supervisor_of_this_release_is_let_through(helm: Helm) -> None:
    for arguments, account in (((), "becket-supervisor"), (values_of("large.yaml"), "leader")):
        rendered = render(helm, *arguments)
        (scale, _) = policy(rendered)["validations"]
        named = re.findall(r"system:serviceaccount:[\w:-]+", scale["expression"])
        assert named == [f"system:serviceaccount:becket:{account}"]
        pod = rendered.workload("supervisor")["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == account


def test_messages_say_what_to_do_instead(helm: Helm) -> None:
    scale, orphan = policy(render(helm))["validations"]
    assert "becket scale" in scale["message"]
    assert "becket scale" in scale["messageExpression"]
    assert "patch their claims" in orphan["message"]
    for validation in (scale, orphan):
        assert validation["reason"] == "Forbidden"
        # The server refuses line breaks here.
        assert "\n" not in validation["message"].strip()


def test_the_binding_denies(helm: Helm) -> None:
    rendered = render(helm)
    (binding,) = rendered.of("ValidatingAdmissionPolicyBinding")
    (bound,) = rendered.of("ValidatingAdmissionPolicy")
    assert binding["spec"]["policyName"] == bound["metadata"]["name"]
    assert binding["spec"]["validationActions"] == ["Deny"]


def test_it_can_be_switched_off(helm: Helm) -> None:
    rendered = render(helm, "--set", "admissionPolicy.enabled=false")
    assert not rendered.of("ValidatingAdmissionPolicy")
    assert not rendered.of("ValidatingAdmissionPolicyBinding")
