"""Finds helm and runs it.

Owns where helm is looked for. Must not build or fetch it: `make helm` does, where Go is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "charts" / "becket"
BUILT = ROOT / ".build"
CLUSTER = Path(os.environ.get("BECKET_KUBE_HOME", Path.home() / ".cache" / "becket-kube"))
MISSING = "helm is not installed: `make helm` builds it where Go is"
POLICIES = "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy"
"""What helm does not know of without a server, and the chart asks for."""
KUBERNETES = "1.34.0"
"""The version that is rendered for: one that was built by itself takes none, or a very old one."""
TIMEOUT_S = 120


@dataclass(frozen=True)
class Helm:
    """One helm program."""

    path: Path
    version: str

    @property
    def major(self) -> int:
        """3 or 4."""
        return int(self.version.partition(".")[0])

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it; the caller looks at the exit code."""
        # Plugins and repositories of whoever runs this must not matter.
        environment = {**os.environ, "HELM_NO_PLUGINS": "1", "KUBECONFIG": os.devnull}
        return subprocess.run(
            [str(self.path), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=TIMEOUT_S,
        )

    def template(
        self, *arguments: str, name: str = "becket", namespace: str = "becket"
    ) -> subprocess.CompletedProcess[str]:
        """Render the chart as for a server that has admission policies."""
        where = ("template", name, str(CHART), "--namespace", namespace)
        server = ("--kube-version", KUBERNETES, "--api-versions", POLICIES)
        return self.run(*where, *server, *arguments)


@cache
def helms() -> tuple[Helm, ...]:
    """The helm programs of this machine, at most one of each major version, the oldest first."""
    found: dict[int, Helm] = {}
    for path in _candidates():
        helm = Helm(path, _version_of(path))
        found.setdefault(helm.major, helm)
    return tuple(found[major] for major in sorted(found))


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("helm")
    places = [
        BUILT / "helm3" / "helm",
        BUILT / "helm4" / "helm",
        *([Path(on_path)] if on_path else []),
        CLUSTER / "bin" / "helm",
    ]
    yield from (path for path in places if os.access(path, os.X_OK))


def _version_of(path: Path) -> str:
    command: Sequence[str] = (str(path), "version", "--template", "{{.Version}}")
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S
    ).stdout
    version = re.search(r"v?(\d+\.\d+[\w.+-]*)", done)
    if version is None:
        raise ValueError(f"{path} says no version: {done!r}")
    return version[1]
