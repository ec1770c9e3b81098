"""What the chart renders, as objects.

Owns running helm, once for each set of values, and finding objects in what it gives. Must not
judge anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from charts.helm import Helm

Object = Mapping[str, Any]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Many times as fast, where the package was built with it."""
VALUES = Path(__file__).parent / "values"
FILES = ("", *sorted(path.name for path in VALUES.glob("*.yaml")))
"""Names of value files; empty for the defaults."""
COMPONENTS = ("storage", "router", "supervisor", "balancer")
WORKLOADS = ("StatefulSet", "Deployment")


class Rendered:
    """The objects of one render."""

    def __init__(self, text: str) -> None:
        self.text = text
        documents = yaml.load_all(text, LOADER)
        self.objects: tuple[Object, ...] = tuple(each for each in documents if each is not None)

    def of(self, kind: str) -> tuple[Object, ...]:
        """All objects of a kind."""
        return tuple(found for found in self.objects if found["kind"] == kind)

    def one(self, kind: str, name: str) -> Object:
        """The object of a kind and name."""
        (found,) = (each for each in self.of(kind) if each["metadata"]["name"] == name)
        return found

    def workload(self, component: str) -> Object:
        """The StatefulSet or Deployment of a component."""
        (found,) = (
            each
            for kind in WORKLOADS
            for each in self.of(kind)
            if each["metadata"]["labels"]["app.kubernetes.io/component"] == component
        )
        return found

    def pods(self) -> Iterator[tuple[str, Object]]:
        """(name, spec) of every pod that these objects make."""
        for found in self.objects:
            name = f"{found['kind']}/{found['metadata']['name']}"
            if found["kind"] in WORKLOADS:
                yield name, found["spec"]["template"]["spec"]
            elif found["kind"] == "Pod":
                yield name, found["spec"]

    def environment(self, component: str) -> dict[str, str]:
        """The variables of a service's container; what Kubernetes fills in is in angle brackets."""
        (container,) = self.workload(component)["spec"]["template"]["spec"]["containers"]
        names = [each["name"] for each in container["env"]]
        assert len(names) == len(set(names)), names
        return {each["name"]: each.get("value", f"<{each['name']}>") for each in container["env"]}


def values_of(file: str) -> tuple[str, ...]:
    """The arguments that say which file of values is used."""
    return ("--values", str(VALUES / file)) if file else ()


@cache
def render(helm: Helm, *arguments: str, namespace: str = "becket") -> Rendered:
    """What the chart gives with these arguments; an error of helm fails the test."""
    done = helm.template(*arguments, namespace=namespace)
    assert done.returncode == 0, done.stderr
    return Rendered(done.stdout)


def refusal(helm: Helm, *arguments: str) -> str:
    """What helm says when it refuses; a render that succeeds fails the test."""
    done = helm.template(*arguments)
    assert done.returncode != 0, "helm rendered what it should refuse"
    return " ".join(done.stderr.split())
