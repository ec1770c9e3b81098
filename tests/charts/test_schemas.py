"""Every object is what the API server of each supported Kubernetes takes; no network is asked."""

from __future__ import annotations

from functools import cache
from typing import Any

import kubernetes_validate
import pytest
from kubernetes_validate import utils as schemas

from tests.charts.rendering import Rendered

VERSIONS: tuple[str, ...] = ("1.30", "1.34")
OLDEST = "1.27"
"""Without the admission policy, which it does not know."""
THIRD_PARTIES = "monitoring.coreos.com/"


@pytest.fixture(autouse=True)
def _read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The definitions of one version are megabytes of JSON, read for each object otherwise."""
    monkeypatch.setattr(schemas, "schema_contents", _contents)


_contents = cache(schemas.schema_contents)


def validate(content: Any, version: str) -> None:  # noqa: ANN401 - any object
    kubernetes_validate.validate(content, version, strict=True)


def test_objects_are_valid(rendered: Rendered) -> None:
    for content in rendered.objects:
        if content["apiVersion"].startswith(THIRD_PARTIES):
            continue
        versions = VERSIONS
        if not content["kind"].startswith("ValidatingAdmissionPolicy"):
            versions = (OLDEST, *versions)
        for version in versions:
            validate(content, version)


def test_a_wrong_object_is_seen() -> None:
    wrong = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "dat": {}}
    with pytest.raises(schemas.ValidationError):
        validate(wrong, OLDEST)
