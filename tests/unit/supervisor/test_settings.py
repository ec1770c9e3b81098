"""What a supervisor is told, and what cannot go together."""

from __future__ import annotations

from typing import Any

import pytest

from becket.adapters.kubernetes.settings import KubernetesSettings
from becket.core.errors import InvalidInputError
from becket.supervisor.settings import SupervisorSettings
from tests.unit.adapters.kubernetes.fake_api import settings_for


def settings(**given: Any) -> SupervisorSettings:  # noqa: ANN401
    return SupervisorSettings(**given)


@pytest.mark.parametrize("field", ["wish_object", "storage_set", "lease", "budget"])
def test_on_kubernetes_every_object_has_a_name(field: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"kubernetes\.{field}: must name the object"):
        settings(kubernetes=settings_for(**{field: ""}))


def test_a_ring_is_kept_in_one_place() -> None:
    with pytest.raises(InvalidInputError, match="topology_file"):
        settings(kubernetes=settings_for(), topology_file="/tmp/ring")  # noqa: S108


def test_on_one_machine_no_object_is_named() -> None:
    assert settings().kubernetes == KubernetesSettings()
    assert settings(kubernetes=settings_for()).kubernetes.is_set
