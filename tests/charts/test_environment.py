"""What the chart tells the services is what they take: names of settings, values, limits.

A default that stands twice, in the settings and in values.yaml, must be the same in both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, get_args

import pytest
import yaml

from becket.balancer.settings import BalancerSettings
from becket.core.hashing import MAX_PARTITIONS
from becket.core.ring.validation import MAX_REPLICAS
from becket.router.settings import RouterSettings
from becket.runtime.settings import ServiceSettings, load_settings, unknown_variables
from becket.storage.settings import StorageSettings
from becket.supervisor.settings import SupervisorSettings
from charts.helm import CHART, Helm
from tests.charts.rendering import COMPONENTS, render, values_of

SETTINGS: Mapping[str, type[ServiceSettings]] = {
    "storage": StorageSettings,
    "router": RouterSettings,
    "supervisor": SupervisorSettings,
    "balancer": BalancerSettings,
}
FILLED_IN = {
    "<POD_IP>": "10.1.2.3",
    "<BECKET_NAME>": "becket-storage-0",
    "<BECKET_KUBERNETES__NAMESPACE>": "becket",
}
OTHERWISE = {
    "name", "listen", "http_listen", "advertise", "address_template", "pre_stop_s", "data_folder",
    "lock_wait_s", "supervisor_address", "balancer_address", "member_addresses", "kubernetes",
}  # fmt: skip
"""What a pod is told otherwise than a process on one machine."""


def told(
    monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], component: str
) -> ServiceSettings:
    """The settings that a pod's process would load."""
    for name in [name for name in os.environ if name.startswith("BECKET_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        filled = FILLED_IN.get(value, value).replace("$(POD_IP)", FILLED_IN["<POD_IP>"])
        monkeypatch.setenv(name, filled)
    assert list(unknown_variables(SETTINGS[component])) == []
    return load_settings(SETTINGS[component])


def schema() -> Any:  # noqa: ANN401 - any value of JSON
    return json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))["properties"]


@pytest.mark.parametrize("component", COMPONENTS)
def test_defaults_of_the_chart_are_those_of_the_settings(
    helm: Helm, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = render(helm).environment(component)
    settings = told(monkeypatch, environment, component)
    for name in environment:
        monkeypatch.delenv(name)
    default = SETTINGS[component]()
    for field in SETTINGS[component].model_fields.keys() - OTHERWISE:
        assert getattr(settings, field) == getattr(default, field), field


@pytest.mark.parametrize("component", COMPONENTS)
def test_pods_know_who_and_where_they_are(
    helm: Helm, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = told(monkeypatch, render(helm).environment(component), component)
    assert settings.name == "becket-storage-0"
    assert settings.listen == "0.0.0.0:7400"
    assert settings.http_listen == "0.0.0.0:7480"
    assert settings.address_template == "{name}.becket-storage.becket.svc:7400"
    assert getattr(settings, "advertise") == "10.1.2.3:7400"  # noqa: B009 - of every service


def test_settings_pass_through(helm: Helm, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = render(helm, *values_of("large.yaml")).environment("storage")
    settings = told(monkeypatch, {k: v for k, v in environment.items() if k != "TZ"}, "storage")
    assert isinstance(settings, StorageSettings)
    assert settings.max_connections == 1_000_000
    assert settings.otlp_endpoint == "http://collector:4318"
    assert settings.limits.value_bytes == 2_000_000
    assert settings.reflection is False
    assert settings.rocks.cache_mib == 512
    assert settings.full_mib == 1024
    assert settings.durability == "os"
    assert settings.stop_grace_s == 60


def test_budgets_and_relief_of_the_supervisor_pass_through(
    helm: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    wished = {
        "pacing.throttle.p99_limit_ms": 20,
        "pacing.restoring_least": 2,
        "plan.partitions": 8,
        "relief.is_on": "false",
        "relief.moves": 3,
    }
    options = [
        part for k, v in wished.items() for part in ("--set", f"supervisor.settings.{k}={v}")
    ]
    settings = told(monkeypatch, render(helm, *options).environment("supervisor"), "supervisor")
    assert isinstance(settings, SupervisorSettings)
    assert settings.pacing.throttle.p99_limit_ms == 20
    assert settings.pacing.restoring_least == 2
    assert settings.plan.partitions == 8
    assert (settings.relief.is_on, settings.relief.moves) == (False, 3)


def test_a_setting_of_one_service_goes_first(helm: Helm) -> None:
    both = ("--set", "settings.max_streams=5", "--set", "router.settings.max_streams=6")
    rendered = render(helm, *both)
    assert rendered.environment("storage")["BECKET_MAX_STREAMS"] == "5"
    assert rendered.environment("router")["BECKET_MAX_STREAMS"] == "6"


def test_only_services_of_kubernetes_are_told_of_it(helm: Helm) -> None:
    rendered = render(helm)
    told_so = {
        component
        for component in COMPONENTS
        if any("KUBERNETES" in name for name in rendered.environment(component))
    }
    assert told_so == {"router", "supervisor"}


def test_names_of_objects_that_the_supervisor_is_told(helm: Helm) -> None:
    environment = render(helm).environment("supervisor")
    told_names = {
        name.removeprefix("BECKET_KUBERNETES__"): value
        for name, value in environment.items()
        if name.startswith("BECKET_KUBERNETES__") and "<" not in value
    }
    assert told_names == {
        "RING_OBJECT": "becket-ring",
        "WISH_OBJECT": "becket-wish",
        "STORAGE_SET": "becket-storage",
        "LEASE": "becket-supervisor",
        "BUDGET": "becket-storage",
        "CLUSTER_ROLE": "true",
        "ZONE": "",
    }


def test_limits_of_the_schema_are_those_of_the_settings() -> None:
    properties = schema()
    cluster = properties["cluster"]["properties"]
    assert cluster["replicas"]["maximum"] == MAX_REPLICAS
    assert max(cluster["partitions"]["enum"]) == MAX_PARTITIONS
    durability = StorageSettings.model_fields["durability"].annotation
    assert tuple(cluster["durability"]["enum"]) == get_args(durability)
    level = ServiceSettings.model_fields["log_level"].annotation
    assert tuple(properties["logLevel"]["enum"]) == get_args(level)
    deadline_s = ServiceSettings.model_fields["default_deadline_ms"].default / 1000
    for component in COMPONENTS:
        grace = properties[component]["properties"]["stopGraceSeconds"]
        assert grace["minimum"] >= deadline_s


def test_every_value_is_in_the_schema_and_has_its_default() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert schema().keys() - values.keys() == {"global"}
    for component in COMPONENTS:
        assert schema()[component]["properties"].keys() == values[component].keys()
