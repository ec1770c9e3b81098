"""The Kubernetes that is tested on: one that KUBECONFIG names, or one of this machine's own.

Owns kubectl, helm and the faults of nodes and of the API server. A cluster that was brought up here
is taken down at the end; one that was there stays. What needs the nodes themselves says why it
cannot be had elsewhere.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.kube import control_plane, images, lifecycle, machine, nodes
from tests.tidy.sources import ROOT

IMAGE_VARIABLE = "BECKET_E2E_IMAGE"
OTHER_VARIABLE = "BECKET_E2E_OTHER_IMAGE"
OWN_IMAGE = "localhost/becket:e2e"
OTHER_IMAGE = "localhost/becket:e2e-next"
COMMAND_S = 120.0

Content = dict[str, Any]


class CommandError(Exception):
    """A command failed; the message is what it said."""


class Kube:
    """One cluster. Make it by ``find``."""

    def __init__(self, config: Path, *, is_own: bool) -> None:
        self.is_own = is_own
        self.config = config
        path = f"{machine.BIN}{os.pathsep}{os.environ['PATH']}" if is_own else os.environ["PATH"]
        self.environment = {**os.environ, "PATH": path, "KUBECONFIG": str(config)}
        self.environment.pop("BECKET_TARGET", None)

    def run(self, *command: object, stdin: str | None = None, limit_s: float = COMMAND_S) -> str:
        """What a command says on stdout.

        :raises CommandError: it failed.
        """
        line = [str(part) for part in command]
        done = subprocess.run(
            line,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=limit_s,
            env=self.environment,
            check=False,
        )
        if done.returncode:
            said = (done.stderr + done.stdout).strip()
            raise CommandError(f"{' '.join(line[:6])} ended with {done.returncode}: {said}")
        return done.stdout

    def kubectl(
        self, *command: object, stdin: str | None = None, limit_s: float = COMMAND_S
    ) -> str:
        """Run kubectl."""
        return self.run("kubectl", *command, stdin=stdin, limit_s=limit_s)

    def read(self, *what: object) -> Content:
        """An object, or a list of objects."""
        found: Content = json.loads(self.kubectl("get", *what, "-o", "json"))
        return found

    def apply(self, content: Content) -> None:
        """Make or change an object."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps(content))

    def helm(self, *command: object, limit_s: float = 600, binary: str = "helm") -> str:
        """Run helm."""
        return self.run(binary, *command, limit_s=limit_s)

    @property
    def nodes(self) -> list[str]:
        """The names of the nodes."""
        return [str(node["metadata"]["name"]) for node in self.read("nodes")["items"]]

    def copy(self, namespace: str, pod: str, path: str) -> bytes:
        """A file of a pod."""
        line = ("kubectl", "-n", namespace, "exec", pod, "--", "cat", path)
        done = subprocess.run(
            line, capture_output=True, timeout=COMMAND_S, env=self.environment, check=True
        )
        return done.stdout

    def same_image(self, image: str) -> str:
        """Another name of the image; elsewhere ``BECKET_E2E_OTHER_IMAGE`` names one."""
        given = os.environ.get(OTHER_VARIABLE, "")
        if given:
            return given
        if not self.is_own:
            pytest.skip(f"{OTHER_VARIABLE} must name a second image that the cluster has")
        images.name_again(image, OTHER_IMAGE)
        return OTHER_IMAGE

    # What only a cluster of our own has

    def need_nodes(self) -> None:
        """Skip the test where the nodes are out of reach."""
        if not self.is_own:
            pytest.skip("this needs the nodes themselves: a cluster of tests/kube")

    def freeze(self, node: str, *, cut: bool) -> None:
        """Let a node stand still; ``cut``: its packets are dropped, too."""
        if cut:
            nodes.cut(node)
        nodes.freeze(node)

    def thaw(self, node: str) -> None:
        """Let it go on."""
        nodes.thaw(node)

    def stop_api(self) -> None:
        """Take the API server away."""
        machine.stop("apiserver")

    def start_api(self) -> None:
        """Bring it back; nothing happens where it is there."""
        if not machine.api_answers():
            control_plane.start_api()

    def cut_from_api(self, address: str) -> None:
        """Keep one pod from the API server."""
        nodes.cut_from_api(address)

    def mend_to_api(self, address: str) -> None:
        """Let it reach the API server again."""
        nodes.mend_to_api(address)

    def process_of(self, pod: str, module: str) -> int:
        """The process id, on this machine, of Becket in a pod."""
        for folder in Path("/proc").iterdir():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if module.encode() not in words:
                    continue
                settings = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"BECKET_NAME={pod}".encode() in settings:
                return int(folder.name)
        raise CommandError(f"no process of {module} runs in {pod}")


def find() -> tuple[Kube, bool]:
    """The cluster, and whether it was brought up here; skips where there is none."""
    given = os.environ.get("KUBECONFIG", "")
    if given and Path(given) != machine.KUBECONFIG:
        return Kube(Path(given), is_own=False), False
    problem = machine.why_not()
    if not problem and shutil.which("go") is None and not machine.KUBE.exists():
        problem = "a cluster of its own needs Go, to be built"
    if problem:
        pytest.skip(f"{problem}; KUBECONFIG names another cluster")
    is_up = machine.api_answers()
    if not is_up:
        lifecycle.up(3)
    return Kube(machine.KUBECONFIG, is_own=True), not is_up


def image_for(kube: Kube) -> str:
    """The image that is tested: a given one, or one that is built now."""
    given = os.environ.get(IMAGE_VARIABLE, "")
    if given:
        return given
    if not kube.is_own:
        pytest.skip(f"{IMAGE_VARIABLE} must name an image that the cluster has")
    images.build(OWN_IMAGE, ROOT)
    return OWN_IMAGE


def take_down() -> None:
    """End a cluster that was brought up here."""
    lifecycle.down()


def split_image(image: str) -> tuple[str, str]:
    """(repository, tag)."""
    repository, _, tag = image.rpartition(":")
    return repository, tag


def set_flags(values: Sequence[tuple[str, object]]) -> list[str]:
    """Values as options of helm."""
    return [part for name, value in values for part in ("--set", f"{name}={value}")]
