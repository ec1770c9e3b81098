"""What a person reads after an install: the commands to paste, and what is not there yet."""

from __future__ import annotations

import re
import shlex

import pytest

from charts.helm import CHART, Helm
from tests.charts.api_server import FakeApi
from tests.charts.rendering import render, values_of


def notes(helm: Helm, api: FakeApi, *arguments: str) -> str:
    server = ("--dry-run=server", "--disable-openapi-validation", "--kube-apiserver", api.url)
    where = ("install", "becket", str(CHART), "--namespace", "shop")
    done = helm.run(*where, *server, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("NOTES:\n")[2]


def test_commands_name_objects_that_there_are(helm: Helm, api: FakeApi) -> None:
    text = notes(helm, api)
    rendered = render(helm, namespace="shop")
    names = {(each["kind"].lower(), each["metadata"]["name"]) for each in rendered.objects}
    named = set(re.findall(r"(statefulset|deployment|service)/([\w-]+)", text))
    assert named <= names
    assert {kind for kind, _ in named} == {"statefulset", "deployment", "service"}
    for line in re.findall(r"^  (kubectl .*)$", text, re.MULTILINE):
        assert "-n shop" in line or "storageclass" in line
        assert shlex.split(line)
    for command in (
        "becket status",
        "becket put ",
        "becket get ",
        "grpcurl -plaintext",
        "helm test",
    ):
        assert command in text


def test_it_is_said_that_nothing_is_protected(helm: Helm, api: FakeApi) -> None:
    assert "THERE IS NO AUTHENTICATION" in notes(helm, api)
    outside = notes(helm, api, "--set", "router.service.type=LoadBalancer")
    assert "FROM OUTSIDE THE CLUSTER" in outside


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("persistence.storageClass=fast", 'the class "fast"'),
        ("admissionPolicy.enabled=false", "nothing refuses it"),
        ("networkPolicy.enabled=true", "networkPolicy.clients"),
        ("chaos.enabled=true", "becket-chaos may delete pods"),
    ],
)
def test_what_was_chosen_is_said(helm: Helm, api: FakeApi, setting: str, said: str) -> None:
    assert said in notes(helm, api, "--set", setting)
    assert said not in notes(helm, api)


def test_no_empty_promises(helm: Helm, api: FakeApi) -> None:
    assert "<no value>" not in notes(helm, api, *values_of("few-rights.yaml"))
