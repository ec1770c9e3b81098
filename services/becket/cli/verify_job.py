"""``becket verify --job``: the same verification, as a Job in the cluster.

Owns the Job: what it runs, its log, its verdict, its end. It is made by ``generateName``, because
a Job's template cannot be changed and a release would stumble over one that it made before; it has
the release's own image, so that client and cluster are of one version, and the account of the
chart's chaos role. Invariant: the Job is removed, whatever happens here meanwhile; should nobody be
left to do that, Kubernetes does it after an hour.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from becket.cli.exits import Exit, NotRunningError, UsageError
from becket.cli.output import Form, print_json, say, write_line
from becket.cli.releases import COMPONENT, INSTANCE, NAME, Release, open_release
from becket.core.errors import BecketError, NotFoundError

if TYPE_CHECKING:
    from kubernetes.aio.client import V1Pod

    from becket.cli.verify import Order

START_S = 180.0
"""An image may have to be pulled."""

KEPT_S = 3600
_LOOK_S = 2.0
_AWAY_S = 300.0
"""The API may be away for so long: the Job goes on."""

_FROM_SET = ("imagePullSecrets", "securityContext", "tolerations", "nodeSelector")
_WAITING = ("Pending", "")

Content = dict[str, Any]


def run_job(order: Order, faults: tuple[int, str], output: Form, report: Path | None) -> Exit:
    """Run it, show its log, and give its verdict."""
    code, log = asyncio.run(_run(order, faults, say if output is Form.JSON else write_line))
    content = log.content()
    if content is None:
        say("becket: the Job ended without a report")
        code = code or Exit.NOT_DONE
    elif report is not None:
        report.mkdir(parents=True, exist_ok=True)
        (report / "report.json").write_text(json.dumps(content, indent=1) + "\n")
    if output is Form.JSON and content is not None:
        print_json(content)
    return Exit(code) if code in (*Exit,) else Exit.NOT_DONE


class Log:
    """The Job's log as it grows: sentences, and at its end one JSON document."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._seen = 0
        self._report: list[str] = []

    def take(self, text: str) -> None:
        """The whole log so far; a line counts when its end is there."""
        lines = text.split("\n")[:-1]
        for line in lines[self._seen :]:
            if self._report or line == "{":
                self._report.append(line)
            else:
                self._tell(line)
        self._seen = max(self._seen, len(lines))

    def content(self) -> Content | None:
        """The report; None where it is not whole."""
        try:
            found = json.loads("\n".join(self._report))
        except ValueError:
            return None
        return found if isinstance(found, dict) else None


async def _run(
    order: Order, faults: tuple[int, str], tell: Callable[[str], None]
) -> tuple[int, Log]:
    assert order.release is not None
    log = Log(tell)
    async with open_release(order.release) as release:
        name = await _create(release, order, faults)
        tell(f"Job {name} in namespace {release.namespace}")
        try:
            return await _follow(release, name, log), log
        finally:
            await _remove(release, name)


async def _create(release: Release, order: Order, faults: tuple[int, str]) -> str:
    from kubernetes.aio.client import V1Job

    full_name = await release.full_name()
    account = f"{full_name}-chaos"
    try:
        await release.ask(
            release.core.read_namespaced_service_account(account, release.namespace),
            f"read ServiceAccount {account}",
        )
    except NotFoundError as error:
        problem = f"there is no ServiceAccount {account}"
        raise UsageError(f"{problem}: install the chart with chaos.enabled=true") from error
    found = await release.storage_set()
    content = release.api.sanitize_for_serialization(found)
    job = V1Job.from_dict(job_content(content, full_name, order, faults))
    assert job is not None
    made = await release.ask(
        release.batch.create_namespaced_job(release.namespace, job), "create a Job"
    )
    assert made.metadata is not None
    assert made.metadata.name is not None
    return str(made.metadata.name)


def job_content(
    storage_set: Content, full_name: str, order: Order, faults: tuple[int, str]
) -> Content:
    """The Job: image and security of the members, the work of the order."""
    template = storage_set["spec"]["template"]["spec"]
    member = template["containers"][0]
    # By these labels a NetworkPolicy of the chart lets it call the members.
    of_set = storage_set["metadata"]["labels"]
    labels = {**{label: of_set[label] for label in (NAME, INSTANCE)}, COMPONENT: "verify"}
    container = {
        "name": "verify",
        "image": member["image"],
        "imagePullPolicy": member.get("imagePullPolicy", "IfNotPresent"),
        "args": _arguments(order, faults),
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - a volume of the pod's own
        "securityContext": member.get("securityContext", {}),
        "resources": {
            "requests": {"cpu": "50m", "memory": "128Mi"},
            "limits": {"memory": "1Gi"},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - likewise
    }
    pod = {
        **{field: template[field] for field in _FROM_SET if field in template},
        "restartPolicy": "Never",
        "serviceAccountName": f"{full_name}-chaos",
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": f"{full_name}-verify-", "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": KEPT_S,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _arguments(order: Order, faults: tuple[int, str]) -> list[str]:
    """The command that does the same in the pod."""
    assert order.release is not None
    load = asdict(order.load)
    values = {
        "release": order.release.release,
        "output": Form.JSON.value,
        "seed": order.seed,
        "operations": order.operations,
        "duration": order.duration_s,
        "kills": faults[0],
        "faults": faults[1],
        "timeout": load.pop("timeout_s"),
        "target": order.target,
        **{name.replace("_", "-"): value for name, value in load.items()},
    }
    given = [(name, f"{value}") for name, value in values.items() if value not in ("", None)]
    return ["verify", "--kubernetes", *(f"--{name}={value}" for name, value in given)]


async def _follow(release: Release, name: str, log: Log) -> int:
    """Show the log until the Job's pod has ended; its exit code."""
    loop = asyncio.get_running_loop()
    until = loop.time() + START_S
    while True:
        try:
            pod = await _pod_of(release, name)
            phase = (pod.status.phase if pod is not None and pod.status is not None else "") or ""
            if pod is not None and phase not in _WAITING:
                until = loop.time() + _AWAY_S
                await _show(release, pod, log)
                if phase != "Running":
                    return _exit_code(pod)
            elif loop.time() > until:
                _give_up(pod)
        except NotRunningError:
            raise
        except BecketError as error:
            if loop.time() > until:
                raise
            say(f"becket: {error}; the Job goes on")
        await asyncio.sleep(_LOOK_S)


def _give_up(pod: V1Pod | None) -> NoReturn:
    raise NotRunningError(f"the Job's pod does not start: {_reason(pod)}")


async def _pod_of(release: Release, name: str) -> V1Pod | None:
    listed = await release.ask(
        release.core.list_namespaced_pod(
            release.namespace, label_selector=f"batch.kubernetes.io/job-name={name}"
        ),
        "list the Job's pod",
    )
    return listed.items[0] if listed.items else None


async def _show(release: Release, pod: V1Pod, log: Log) -> None:
    assert pod.metadata is not None
    assert pod.metadata.name is not None
    name = pod.metadata.name
    read = release.core.read_namespaced_pod_log(name, release.namespace)
    log.take(await release.ask(read, f"read the log of {name}"))


def _reason(pod: V1Pod | None) -> str:
    if pod is None or pod.status is None:
        return "no pod was made; kubectl describe tells why"
    told = [
        f"{state.state.waiting.reason}: {state.state.waiting.message or ''}"
        for state in pod.status.container_statuses or []
        if state.state is not None and state.state.waiting is not None
    ]
    told += [f"{c.reason}: {c.message}" for c in pod.status.conditions or [] if c.message]
    return "; ".join(told) or pod.status.phase or "nobody says why"


def _exit_code(pod: V1Pod) -> int:
    statuses = (pod.status.container_statuses if pod.status is not None else None) or []
    ended = [s.state.terminated for s in statuses if s.state is not None and s.state.terminated]
    return ended[0].exit_code if ended else int(Exit.NOT_DONE)


async def _remove(release: Release, name: str) -> None:
    try:
        await release.ask(
            release.batch.delete_namespaced_job(
                name, release.namespace, propagation_policy="Background"
            ),
            f"delete Job {name}",
        )
    except BecketError as error:
        say(f"becket: Job {name} is still there, and goes by itself after an hour: {error}")
