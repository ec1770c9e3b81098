"""A whole cluster: brought up, and taken down with everything that it made on the machine.

Owns the order. Invariant: ``down`` leaves no process, mount, cgroup, bridge or rule behind, and
touches none that is not the cluster's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from tests.kube import control_plane, images, nodes
from tests.kube.installing import install
from tests.kube.machine import (
    BIN,
    BRIDGE,
    CGROUPS,
    CONTROL_PLANE,
    KUBECONFIG,
    RUN,
    STATE,
    api_answers,
    sh,
    stop,
    text_of,
    until,
    why_not,
)

_DAEMONS = (
    *("provisioner", "dns", "proxy", "scheduler", "controller-manager", "apiserver", "etcd"),
)


def up(count: int, *, again: bool = False) -> None:
    """Start a cluster, unless one is up."""
    problem = why_not()
    if problem:
        sys.exit(f"{problem}; on this machine use kind or minikube")
    if again or not api_answers():
        # Also taking down asks for the programs that a fresh machine has not yet.
        install()
        down()
        # Daemons and pods must not inherit that somebody was patient (nice) when this began.
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        RUN.mkdir(parents=True)
        control_plane.make_network()
        control_plane.make_certificates()
        control_plane.write_kubeconfig()
        control_plane.start_control_plane()
        for number in range(1, count + 1):
            nodes.start_node(number)
        control_plane.start_services()
        nodes.settle([nodes.name_of(number) for number in range(1, count + 1)])
        images.load([BIN / "pause.tar"])
    print(f"export KUBECONFIG={KUBECONFIG} PATH={BIN}:$PATH")


def down() -> None:
    """Stop everything and remove its state."""
    for folder in sorted(RUN.glob("node-*/")):
        nodes.mend(folder.name)
        frozen = CGROUPS / "freezer" / folder.name / "freezer.state"
        if frozen.exists():
            frozen.write_text("THAWED")
        stop(f"{folder.name}-kubelet")
        _remove_containers(folder)
        stop(f"{folder.name}-containerd")
        until(f"{folder.name} is empty", partial(_remove_cgroups, folder.name), 10)
    for name in _DAEMONS:
        stop(name)
    until("the control plane is gone", partial(_remove_cgroups, CONTROL_PLANE), 10)
    for folder in (RUN, STATE):
        _unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)
    for link in [BRIDGE, *(f"becket{number}" for number in range(1, 10))]:
        sh("ip", "link", "delete", link, check=False, quiet=True)
    for table in ("filter", "nat", "mangle"):
        _remove_rules(table)


def _remove_containers(folder: Path) -> None:
    ctr = ("ctr", "-a", folder / "containerd.sock", "-n", "k8s.io")
    tasks = text_of(*ctr, "tasks", "ls", "-q").split()
    for task in tasks:
        sh(*ctr, "tasks", "kill", "-s", "SIGKILL", task, check=False, quiet=True)
    for task in tasks:
        sh(*ctr, "tasks", "delete", "-f", task, check=False, quiet=True)


def _remove_cgroups(name: str) -> bool:
    """Remove what is empty; whether all is. A process that was killed takes a moment to go."""
    for controller in CGROUPS.iterdir():
        for folder, _, _ in os.walk(controller / name, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
    return not any((controller / name).is_dir() for controller in CGROUPS.iterdir())


def _unmount(below: Path) -> None:
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in sorted((p for p in points if p.startswith(f"{below}/")), reverse=True):
        sh("umount", "-l", point, check=False, quiet=True)


def _remove_rules(table: str) -> None:
    """Remove the chains that kube-proxy and the network plugins made, and nothing else."""
    saved = text_of("iptables-save", "-t", table).splitlines()
    kept = [line for line in saved if "KUBE-" not in line and "CNI-" not in line]
    if kept != saved:
        text = "\n".join(kept) + "\n"
        subprocess.run(["iptables-restore"], input=text, text=True, check=False)
