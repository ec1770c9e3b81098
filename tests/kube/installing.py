"""What has to be on the machine before a cluster can be started: packages and binaries.

Owns the list of Debian's packages and the builds of the published Go modules. Invariant: what is
there and fresh is not built again.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.kube.images import base_image
from tests.kube.machine import BIN, HERE, HOME, KUBE, PAUSE, VERSION, sh

HELM = "helm.sh/helm/v3/cmd/helm@v3.22.0"
PACKAGES = (
    *("containerd", "runc", "containernetworking-plugins", "buildah", "debootstrap", "iptables"),
    *("conntrack", "iproute2", "ethtool", "socat", "openssl", "gcc", "libc6-dev"),
)
_PAUSE_C = """#include <unistd.h>
#include <signal.h>
static void end(int s){_exit(0);}
int main(){signal(SIGTERM,end);signal(SIGINT,end);for(;;)pause();}
"""


def install() -> None:
    """Install the packages and build the binaries."""
    missing = [n for n in PACKAGES if not sh("dpkg", "-s", n, check=False, quiet=True)]
    if missing:
        sh("apt-get", "update", "-qq")
        sh(
            *("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing),
            environment={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    BIN.mkdir(parents=True, exist_ok=True)
    sources = max(path.stat().st_mtime for path in (HERE / "kube").iterdir())
    if not KUBE.exists() or KUBE.stat().st_mtime < sources:
        _build_kube()
    _link(BIN / "kubectl", KUBE.name)
    if not (BIN / "helm").exists():
        print("building helm", flush=True)
        line = ("go", "install", "-trimpath", "-ldflags", "-s -w", HELM)
        sh(*line, environment=_go_environment())
    if not (BIN / "pause.tar").exists():
        _build_pause_image()
    base_image()


def _go_environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(BIN)}


def _build_kube() -> None:
    major, minor, _ = VERSION.lstrip("v").split(".")
    package = "k8s.io/component-base/version"
    versions = {"gitVersion": VERSION, "gitMajor": major, "gitMinor": minor}
    flags = " ".join(["-s", "-w", *(f"-X {package}.{k}={v}" for k, v in versions.items())])
    print("building the Kubernetes components; the first time takes about ten minutes", flush=True)
    sh(
        *("go", "build", "-trimpath", "-ldflags", flags, "-o", KUBE, "."),
        folder=HERE / "kube",
        environment=_go_environment(),
    )


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _build_pause_image() -> None:
    """Make the image of the container that only holds a pod's namespaces."""
    folder = HOME / "pause"
    folder.mkdir(exist_ok=True)
    (folder / "pause.c").write_text(_PAUSE_C)
    sh("gcc", "-static", "-Os", "-o", folder / "pause", folder / "pause.c")
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')
    sh("buildah", "build", "--isolation", "chroot", "-t", PAUSE, folder, quiet=True)
    sh("buildah", "push", PAUSE, f"docker-archive:{BIN / 'pause.tar'}:{PAUSE}", quiet=True)
