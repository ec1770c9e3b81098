"""The script of `helm test`: what it makes of each answer of the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from charts.helm import CHART, Helm
from tests.charts.rendering import render

SCRIPT = CHART / "files" / "put_get_delete.py"
FAKE = """#!{python}
import os, pathlib, sys
store = pathlib.Path({store!r})
if {broken!r} == sys.argv[1]:
    sys.exit(3)
if sys.argv[1] == "put":
    tries = pathlib.Path({store!r} + ".tries")
    tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
    if len(tries.read_text()) <= {not_yet}:
        sys.exit(6)
    store.write_text(sys.argv[3])
elif sys.argv[1] == "get":
    if not store.exists():
        sys.exit(1)
    sys.stdout.write({answer!r} or store.read_text())
elif {forgetful!r} != "yes":
    store.unlink()
"""


def run(tmp_path: Path, **changes: object) -> subprocess.CompletedProcess[str]:
    settings: dict[str, object] = {"broken": "", "not_yet": 0, "answer": "", "forgetful": ""}
    store = str(tmp_path / "store")
    fake = tmp_path / "becket"
    fake.write_text(FAKE.format(python=sys.executable, store=store, **settings | changes))
    fake.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "BECKET_TARGET": "nowhere:7400",
        "BECKET_TEST_KEY": "k",
        "BECKET_TEST_WAIT_S": "5",
    }
    command = [sys.executable, "-c", SCRIPT.read_text(encoding="utf-8")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_all_is_well(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "get after delete: exit code 1" in done.stdout


def test_a_cluster_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    assert run(tmp_path, not_yet=1).returncode == 0


@pytest.mark.parametrize(
    "changes", [{"broken": "get"}, {"broken": "delete"}, {"answer": "other"}, {"forgetful": "yes"}]
)
def test_what_is_wrong_fails(tmp_path: Path, changes: dict[str, object]) -> None:
    assert run(tmp_path, **changes).returncode == 1


def test_the_pod_runs_it_against_the_routers(helm: Helm) -> None:
    (pod,) = render(helm).of("Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = pod["spec"]["containers"]
    assert container["args"] == [SCRIPT.read_text(encoding="utf-8")]
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment["BECKET_TARGET"] == "becket-router.becket.svc:7400"
