"""Every group of settings of every service can be set, field by field; also where it is compiled.

pydantic fills a dataclass by its ``__dict__``, which an instance of a compiled class has not. Run
by ``make unit`` interpreted, and by ``make compiled-ci`` as in an image.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from becket.balancer.settings import BalancerSettings
from becket.router.settings import RouterSettings
from becket.runtime.settings import ServiceSettings, load_settings
from becket.storage.settings import StorageSettings
from becket.supervisor.settings import SupervisorSettings

KINDS: tuple[type[ServiceSettings], ...] = (
    StorageSettings,
    RouterSettings,
    BalancerSettings,
    SupervisorSettings,
)


def variables(group: str, value: Any) -> dict[str, str]:  # noqa: ANN401 - a dataclass
    """What sets each plain field of a group to what it is."""
    found = {}
    for field in fields(value):
        held = getattr(value, field.name)
        if is_dataclass(held):
            found.update(variables(f"{group}__{field.name.upper()}", held))
        elif isinstance(held, (int, float, str)):
            found[f"{group}__{field.name.upper()}"] = str(held)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_each_group_can_be_set(
    kind: type[ServiceSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = load_settings(kind)
    groups = [name for name in kind.model_fields if is_dataclass(getattr(defaults, name))]
    assert "limits" in groups
    for name in groups:
        value = getattr(defaults, name)
        with monkeypatch.context() as patch:
            for variable, text in variables(f"BECKET_{name.upper()}", value).items():
                patch.setenv(variable, text)
            assert getattr(load_settings(kind), name) == value, name
