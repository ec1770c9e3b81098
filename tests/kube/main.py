"""A real Kubernetes cluster on one Linux machine, with no container engine and no registry.

etcd, the API server, the controllers, the scheduler, one kubelet and one containerd per node,
kube-proxy, CoreDNS and a volume provisioner run as ordinary processes. They are built from their
published Go modules (the first time about ten minutes on two cores; afterwards nothing is built).
Needs root, Go and Debian's packages (`cluster install`).

    cluster install             install the Debian packages and build the binaries
    cluster up [--nodes 3]      start it, unless it is up (--again: from the beginning); prints the
                                line that sets KUBECONFIG and PATH (kubectl, helm)
    cluster build TAG FOLDER    build FOLDER's Dockerfile on a base of Debian packages (build
                                argument PYTHON_IMAGE) and put the image on every node
    cluster load IMAGE.tar...   put container images (docker or OCI archives) on every node
    cluster stop-node NODE [--cut]
                                freeze a node: its kubelet, containerd and every pod on it; the
                                kernel still accepts and acknowledges for them, --cut drops their
                                packets too (a vanished machine)
    cluster start-node NODE     let it go on, its packets too
    cluster stop-api            stop the API server (the pods go on); start-api starts it again
    cluster cut-api ADDRESS     drop what the pod with this address sends to the API server;
                                mend-api lets it pass again
    cluster down                stop everything and remove its state
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from tests.kube import control_plane, images, lifecycle, nodes
from tests.kube.installing import install
from tests.kube.machine import stop


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cluster", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up")
    up.add_argument("--nodes", type=int, default=3, choices=range(1, 10))
    up.add_argument("--again", action="store_true")
    verbs.add_parser("load").add_argument("archives", nargs="+", type=Path)
    image = verbs.add_parser("build")
    image.add_argument("tag")
    image.add_argument("folder", type=Path)
    stop_node = verbs.add_parser("stop-node")
    stop_node.add_argument("node")
    stop_node.add_argument("--cut", action="store_true")
    verbs.add_parser("start-node").add_argument("node")
    for verb in ("install", "stop-api", "start-api", "down"):
        verbs.add_parser(verb)
    for verb in ("cut-api", "mend-api"):
        verbs.add_parser(verb).add_argument("address")
    return parser


def main() -> None:
    """Do what the command line says."""
    given = _parser().parse_args()
    work: dict[str, Callable[[], object]] = {
        "install": install,
        "up": lambda: lifecycle.up(given.nodes, again=given.again),
        "load": lambda: images.load(given.archives),
        "build": lambda: images.build(given.tag, given.folder),
        "stop-node": lambda: _stop_node(given.node, cut=given.cut),
        "start-node": lambda: nodes.thaw(given.node),
        "stop-api": lambda: stop("apiserver"),
        "start-api": control_plane.start_api,
        "cut-api": lambda: nodes.cut_from_api(given.address),
        "mend-api": lambda: nodes.mend_to_api(given.address),
        "down": lifecycle.down,
    }
    work[given.verb]()


def _stop_node(name: str, *, cut: bool) -> None:
    nodes.freeze(name)
    if cut:
        nodes.cut(name)
