"""Container images: built without an engine, and put on every node.

Owns the stand-in for the official Python image, which no registry is asked for: Debian's packages.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.kube.machine import HOME, RUN, sh

BASE = "localhost/python:3-slim-headers"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_BUILD = ("buildah", "build", "--isolation", "chroot")


def base_image() -> str:
    """Make the base image, once."""
    if sh("buildah", "inspect", "--type", "image", BASE, check=False, quiet=True):
        return BASE
    root = HOME / "base"
    shutil.rmtree(root, ignore_errors=True)
    print("making the base image", flush=True)
    packages = "--include=python3,python3-venv,python3-pip,libpython3-dev,ca-certificates"
    sh("debootstrap", "--variant=minbase", packages, "bookworm", root, quiet=True)
    (root / "usr/bin/python").symlink_to("python3")
    (HOME / "base.Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    sh(*_BUILD, "-f", HOME / "base.Dockerfile", "-t", BASE, root, quiet=True)
    shutil.rmtree(root)
    return BASE


def build(tag: str, folder: Path) -> None:
    """Build as ``docker build`` would; packages are fetched as this machine fetches them."""
    _sockets()
    sh(
        *(*_BUILD, "--layers", "--build-arg", f"PYTHON_IMAGE={base_image()}"),
        *("-v", f"{_CERTIFICATES}:{_CERTIFICATES}:ro"),
        *("--env", f"SSL_CERT_FILE={_CERTIFICATES}", "--env", f"PIP_CERT={_CERTIFICATES}"),
        *("-t", tag, folder),
    )
    archive = HOME / f"image-{tag.replace('/', '-').replace(':', '-')}.tar"
    archive.unlink(missing_ok=True)
    sh("buildah", "push", tag, f"docker-archive:{archive}:{tag}", quiet=True)
    load([archive])
    archive.unlink()


def name_again(tag: str, other: str) -> None:
    """Give an image that is on the nodes a second name there."""
    for socket in _sockets():
        sh("ctr", "-a", socket, "-n", "k8s.io", "images", "tag", "--force", tag, other, quiet=True)


def load(archives: list[Path]) -> None:
    """Put images (docker or OCI archives) on every node."""
    for socket in _sockets():
        for archive in archives:
            sh("ctr", "-a", socket, "-n", "k8s.io", "images", "import", archive, quiet=True)


def _sockets() -> list[Path]:
    """Where the nodes take images; an image built for no node would be gone unseen."""
    sockets = sorted(RUN.glob("node-*/containerd.sock"))
    if not sockets:
        sys.exit("no node runs that could take an image: first `cluster up`")
    return sockets
