"""Clients as pods: where they run, how they are told to stop, and what they saw.

Owns their objects. They run ``workload`` under Pod Security "restricted" like everything else, on
a node that is not the one under test.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e import workload
from tests.e2e.history import History, read
from tests.e2e.kube import CommandError, Content, Kube
from tests.e2e.waiting import until
from tests.tidy.sources import ROOT

SCRIPT = "e2e-workload"
LOGS = ROOT / ".build" / "e2e"
"""Where records, and logs of what failed, are kept."""

FOLDER = workload.FOLDER
LOOK = "import os, sys; print(os.path.exists(sys.argv[1]))"
TOUCH = "import sys; open(sys.argv[1], 'w').close()"


@dataclass
class ClientPod:
    """One client that runs. ``stop`` once; then its history is there."""

    kube: Kube
    namespace: str
    name: str
    prefix: str
    began_s: float = 0.0

    @property
    def keys(self) -> list[str]:
        """The keys that it works on."""
        return keys_of(self.prefix)

    def stop(self) -> History:
        """Let it end what it has begun and read everything back; what it saw, judged."""
        self._python(TOUCH, "stop")
        until(f"{self.name} has read back", lambda: self._is_there("done"), 180)
        packed = self.kube.copy(self.namespace, self.name, f"{FOLDER}/history.gz")
        self.remove()
        folder = LOGS / self.namespace
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.prefix}.gz").write_bytes(packed)
        return read(packed)

    def remove(self) -> None:
        """Delete the pod."""
        self.kube.kubectl(
            *("-n", self.namespace, "delete", "pod", self.name, "--grace-period=0", "--force"),
            "--ignore-not-found",
        )

    def wait_begun(self) -> None:
        """Wait until it works."""
        until(f"{self.name} works", lambda: self._is_there("begun"), 120, ignoring=(CommandError,))
        self.began_s = time.time()

    def _is_there(self, file: str) -> bool:
        return self._python(LOOK, file).strip() == "True"

    def _python(self, program: str, file: str) -> str:
        command = ("python", "-c", program, f"{FOLDER}/{file}")
        return self.kube.kubectl("-n", self.namespace, "exec", self.name, "--", *command)


def fresh_prefix() -> str:
    """What keys of one client begin with: another does not know the values of its keys."""
    return f"e2e-{secrets.token_hex(3)}"


def start(
    kube: Kube,
    namespace: str,
    image: str,
    name: str,
    *,
    node: str = "",
    **order: Any,  # noqa: ANN401
) -> ClientPod:
    """Start a client; ``order`` is that of ``workload``."""
    order = {"prefix": fresh_prefix(), **order}
    kube.apply(_script(namespace))
    kube.apply(_pod(namespace, image, name, node=node, order=order))
    pod = ClientPod(kube, namespace, name, order["prefix"])
    pod.wait_begun()
    return pod


def _script(namespace: str) -> Content:
    text = Path(workload.__file__).read_text()
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": SCRIPT, "namespace": namespace},
        "data": {"workload.py": text},
    }


def _pod(namespace: str, image: str, name: str, *, node: str, order: Content) -> Content:
    container = {
        "name": "client",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "/script/workload.py"],
        "env": [{"name": "WORKLOAD", "value": json.dumps(order)}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "200m", "memory": "64Mi"}},
        "volumeMounts": [
            {"name": "script", "mountPath": "/script"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's own
        ],
    }
    spec: Content = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "script", "configMap": {"name": SCRIPT}},
            {"name": "tmp", "emptyDir": {}},
        ],
        # A node that is frozen for a while must not take its clients with it.
        "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
    }
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"e2e": "client"}},
        "spec": spec,
    }


def keys_of(prefix: str, count: int = workload.Order("", "").keys) -> list[str]:
    """The keys that a client of this name works on."""
    return [workload.key_of(prefix, number) for number in range(count)]
