"""Alerting rules speak of metrics that there are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from becket.adapters.telemetry.setup import Telemetry, TelemetryOptions
from becket.supervisor.instruments import observe, observe_ages
from charts.helm import Helm
from tests.charts.rendering import render, values_of


def expressions(helm: Helm) -> Iterable[str]:
    (rule,) = render(helm, *values_of("large.yaml")).of("PrometheusRule")
    (group,) = rule["spec"]["groups"]
    return [each["expr"] for each in group["rules"]]


async def exposed() -> str:
    """The metrics of a supervisor, as text."""
    view = SimpleNamespace(whole=1, degraded=0, stalled=0, wished_members=3, alive_members=3)
    cycle: Any = SimpleNamespace(
        view_of_cluster=view,
        writer=SimpleNamespace(confirmed=None),
        decision=SimpleNamespace(judgement=SimpleNamespace(is_frozen=False)),
        supervision=SimpleNamespace(planning=SimpleNamespace(current=None)),
        reign=SimpleNamespace(may_act=True),
    )
    telemetry = Telemetry(TelemetryOptions("supervisor", "here", "becket"))
    observe(telemetry.meter, cycle)
    observe_ages(telemetry.meter, lambda: {"pods": 1.0})
    body, _ = telemetry.exposition()
    await telemetry.close()
    return body.decode()


async def test_metrics_of_the_rules_exist(helm: Helm) -> None:
    text = await exposed()
    for expression in expressions(helm):
        for name, labels in re.findall(r"(becket_\w+)\{([^}]*)\}", expression):
            assert re.search(rf"^{name}[{{ ]", text, re.MULTILINE), name
            for label in re.findall(r'(becket_\w+="\w+")', labels):
                assert label in text, label


def test_rules_are_of_this_release(helm: Helm) -> None:
    for expression in expressions(helm):
        selectors = re.findall(r"\{([^}]*)\}", expression)
        assert selectors
        for selector in selectors:
            assert 'namespace="becket"' in selector
            assert 'service="keys-supervisor"' in selector or "data-keys-storage" in selector


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PrometheusRule"])
def test_they_are_off(helm: Helm, kind: str) -> None:
    assert cast("tuple[object, ...]", render(helm).of(kind)) == ()
