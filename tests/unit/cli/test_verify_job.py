"""The Job of a verification: what it runs, and what is made of its log."""

from __future__ import annotations

from typing import Any

from becket.cli.releases import Place
from becket.cli.verify_commands import Where, _order
from becket.cli.verify_job import Log, job_content
from becket.cli.verify_workload import Load
from tests.unit.cli.conftest import Run

SET: dict[str, Any] = {
    "metadata": {
        "name": "b-storage",
        "labels": {"app.kubernetes.io/name": "becket", "app.kubernetes.io/instance": "b"},
    },
    "spec": {
        "template": {
            "spec": {
                "securityContext": {"runAsNonRoot": True},
                "imagePullSecrets": [{"name": "registry"}],
                "shareProcessNamespace": True,
                "containers": [
                    {
                        "name": "storage",
                        "image": "here/becket:1",
                        "args": ["storage"],
                        "securityContext": {"readOnlyRootFilesystem": True},
                    }
                ],
            }
        }
    },
}


def content(faults: tuple[int, str] = (3, "kill,force")) -> dict[str, Any]:
    where = Where(5, 16, None, "", Place("b", "here", "there"))
    order = _order((7, 0, 30.0, Load(keys=40)), (faults[0], faults[1].split(",")), where)
    return job_content(SET, "b", order, faults)


def test_the_job_is_what_the_members_are_and_runs_once() -> None:
    job = content()
    assert job["metadata"]["generateName"] == "b-verify-"
    assert job["spec"]["backoffLimit"] == 0
    pod = job["spec"]["template"]["spec"]
    assert (pod["restartPolicy"], pod["serviceAccountName"]) == ("Never", "b-chaos")
    assert pod["automountServiceAccountToken"] is True
    assert pod["securityContext"] == {"runAsNonRoot": True}
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert "shareProcessNamespace" not in pod
    (container,) = pod["containers"]
    assert container["image"] == "here/becket:1"
    assert container["securityContext"] == {"readOnlyRootFilesystem": True}
    labels = job["spec"]["template"]["metadata"]["labels"]
    # No selector of the release's own services may find it.
    assert labels["app.kubernetes.io/component"] == "verify"
    assert labels["app.kubernetes.io/instance"] == "b"


def test_the_job_repeats_the_order_as_options_that_the_command_knows(run: Run) -> None:
    arguments = content()["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[:3] == ["verify", "--kubernetes", "--release=b"]
    for wanted in ("--seed=7", "--duration=30.0", "--kills=3", "--faults=kill,force", "--keys=40"):
        assert wanted in arguments
    assert not any(argument.startswith(("--namespace", "--context")) for argument in arguments)
    # The last option is wrong on purpose: whatever stands before it was understood.
    result = run(*arguments, "--members", "none")
    assert result.exit_code == 2
    assert "'--members'" in result.stderr


def test_a_log_that_grows_is_told_once_and_ends_with_the_report() -> None:
    told: list[str] = []
    log = Log(told.append)
    log.take("seed 1\nfault 1")
    assert told == ["seed 1"]
    log.take('seed 1\nfault 1: kill\n{\n  "lost": 0\n')
    assert told == ["seed 1", "fault 1: kill"]
    assert log.content() is None
    log.take('seed 1\nfault 1: kill\n{\n  "lost": 0\n}\n')
    assert told == ["seed 1", "fault 1: kill"]
    assert log.content() == {"lost": 0}
