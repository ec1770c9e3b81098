"""What is made from the chart is fresh (k8s/, the table of values) and says what is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

from charts import manifests, values_table
from charts.helm import CHART, ROOT, Helm, helms
from tests.charts.rendering import render

STALE = "run `make manifests` and commit what it writes"


def test_manifests_are_fresh(helm: Helm) -> None:
    if helm is not helms()[0]:
        return  # what another helm renders is compared below
    assert manifests.differences(manifests.files(helm)) == [], STALE


def test_every_helm_renders_the_same(helm: Helm) -> None:
    assert manifests.files(helm) == manifests.files(helms()[0])


def test_stale_and_missing_manifests_are_seen(tmp_path: Path) -> None:
    (tmp_path / "same.yaml").write_text("a")
    (tmp_path / "stale.yaml").write_text("a")
    (tmp_path / "old.yaml").write_text("a")
    wanted = {"same.yaml": "a", "stale.yaml": "b", "new.yaml": "c"}
    assert manifests.differences(wanted, tmp_path) == ["new.yaml", "old.yaml", "stale.yaml"]


def test_kustomization_lists_every_file() -> None:
    listed = yaml.safe_load((manifests.FOLDER / "kustomization.yaml").read_text())["resources"]
    files = {path.name for path in manifests.FOLDER.glob("*.yaml")}
    assert set(listed) == files - {"kustomization.yaml"}


def test_manifests_have_nothing_of_helm() -> None:
    for path in manifests.FOLDER.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert "helm.sh/" not in text, path.name
        assert "managed-by" not in text, path.name


def test_the_table_of_values_is_fresh() -> None:
    readme = values_table.README.read_text(encoding="utf-8")
    text = values_table.VALUES.read_text(encoding="utf-8")
    assert values_table.with_table(readme, text) == readme, STALE


def test_every_value_is_explained() -> None:
    text = values_table.VALUES.read_text(encoding="utf-8")
    explained = [row.path for row in values_table.rows(text)]
    assert len(explained) == len(set(explained))
    for leaf in values_table.leaves(yaml.safe_load(text)):
        assert any(f"{leaf}.".startswith(f"{path}.") for path in explained), leaf


def test_a_table() -> None:
    text = "# A heading.\ngroup:\n  # -- What it\n  # means.\n  key: 1\n# -- All.\nmap:\n  a: b\n"
    assert values_table.rows(text) == [
        values_table.Row("group.key", "1", "What it means."),
        values_table.Row("map", '{"a": "b"}', "All."),
    ]


def test_the_chart_has_the_version_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == project["version"]


def test_skaffold_uses_values_that_the_chart_takes(helm: Helm) -> None:
    config = yaml.safe_load((ROOT / "skaffold.yaml").read_text(encoding="utf-8"))
    (release,) = config["deploy"]["helm"]["releases"]
    assert ROOT / release["chartPath"] == CHART
    profiles = {profile["name"]: profile["patches"] for profile in config["profiles"]}
    assert profiles.keys() == {"dev", "chaos"}
    (dev,) = profiles["dev"]
    arguments = [
        part for key, value in dev["value"].items() for part in ("--set", f"{key}={value}")
    ]
    assert render(helm, *arguments).environment("router")["BECKET_LOG_LEVEL"] == "debug"
    (chaos,) = profiles["chaos"]
    files = [part for name in chaos["value"] for part in ("--values", str(ROOT / name))]
    assert render(helm, *files).one("Role", "becket-chaos")
    assert re.match(r"skaffold/v\d", config["apiVersion"])
