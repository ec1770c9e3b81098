"""Nodes: each a kubelet and a containerd with folders, cgroups, a bridge and an address of its own.

Owns their configuration, and what can be done to a node: frozen, cut off, let go on.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.kube.machine import (
    API_PORT,
    BRIDGE,
    CGROUPS,
    HOST_IP,
    KUBE,
    KUBECONFIG,
    PAUSE,
    RUN,
    STATE,
    kubectl,
    pid_of,
    sh,
    start,
    until,
)

RESTART_S = 1
"""A container that ends is started again after so long at most. Kubernetes' own limit is 5 minutes,
which a hundred kills in a row would reach at the fifth."""


def name_of(number: int) -> str:
    """The name of a node."""
    return f"node-{number}"


def start_node(number: int) -> None:
    """Start containerd and the kubelet."""
    name = name_of(number)
    folder = RUN / name
    folder.mkdir()
    address = f"10.245.0.{10 + number}"
    sh("ip", "addr", "replace", f"{address}/32", "dev", BRIDGE)
    for controller in CGROUPS.iterdir():
        if controller.is_dir():
            _make_cgroup(controller, name)
    socket = folder / "containerd.sock"
    (folder / "containerd.toml").write_text(_containerd_config(folder, socket))
    (folder / "cni").mkdir()
    (folder / "cni/10-bridge.conflist").write_text(json.dumps(_cni_config(number)))
    # As on a machine of its own: its pods together weigh 1024 for each core, its daemons 1024.
    daemons = f"{name}/system"
    config = folder / "containerd.toml"
    start(f"{name}-containerd", "containerd", "--config", config, group=daemons)
    answers = ("ctr", "-a", socket, "version")
    until("containerd", lambda: sh(*answers, check=False, quiet=True))
    (folder / "kubelet.json").write_text(json.dumps(_kubelet_config(name, address, socket)))
    start(
        f"{name}-kubelet",
        KUBE,
        "kubelet",
        f"--config={folder / 'kubelet.json'}",
        f"--kubeconfig={KUBECONFIG}",
        f"--root-dir={folder / 'kubelet'}",
        f"--cert-dir={folder / 'pki'}",
        f"--hostname-override={name}",
        f"--node-ip={address}",
        group=daemons,
    )


def settle(names: list[str]) -> None:
    """Wait for the nodes, and deal them over zones."""
    until("nodes", lambda: kubectl("get", "node", *names, check=False))
    for number, name in enumerate(names):
        zone = f"topology.kubernetes.io/zone=zone-{'abc'[number % 3]}"
        kubectl("label", "--overwrite", "node", name, zone)
    kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=90s")


def _make_cgroup(controller: Path, name: str) -> None:
    group = controller / name
    group.mkdir(exist_ok=True)
    if controller.name == "cpuset":
        for setting in ("cpuset.cpus", "cpuset.mems"):
            (group / setting).write_text((controller / setting).read_text())


def _containerd_config(folder: Path, socket: Path) -> str:
    return f"""
version = 2
root = "{folder}/containerd"
state = "{STATE}/{folder.name}"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  stream_server_port = "0"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def _cni_config(number: int) -> dict[str, Any]:
    bridge = {
        "type": "bridge",
        "bridge": f"becket{number}",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": f"{RUN}/{name_of(number)}/ipam",
            "ranges": [[{"subnet": f"10.244.{number}.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": f"becket{number}", "plugins": [bridge, ports]}


def _kubelet_config(name: str, address: str, socket: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address,
        "healthzPort": 0,
        "readOnlyPort": 0,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{name}",
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "featureGates": {"KubeletCrashLoopBackOffMax": True},
        "crashLoopBackOff": {"maxContainerRestartPeriod": f"{RESTART_S}s"},
        # Each kubelet removes the logs of pods that it does not know.
        "podLogsDir": f"{RUN}/{name}/logs",
        "clusterDNS": [HOST_IP],
        "clusterDomain": "cluster.local",
        "resolvConf": "/etc/resolv.conf",
        "nodeStatusUpdateFrequency": "5s",
        "syncFrequency": "10s",
    }


def freeze(name: str) -> None:
    """Freeze a node: it answers nothing and closes no connection."""
    for daemon in ("kubelet", "containerd"):
        os.kill(pid_of(f"{name}-{daemon}"), signal.SIGSTOP)
    _set_frozen(name, "FROZEN")


def thaw(name: str) -> None:
    """Let a node go on, its packets too."""
    mend(name)
    _set_frozen(name, "THAWED")
    for daemon in ("kubelet", "containerd"):
        os.kill(pid_of(f"{name}-{daemon}"), signal.SIGCONT)


def _set_frozen(name: str, state: str) -> None:
    file = CGROUPS / "freezer" / name / "freezer.state"

    def is_set() -> bool:
        file.write_text(state)
        return file.read_text().strip() == state

    until(f"{name} {state}", is_set, 20)


def cut(name: str) -> None:
    """Drop every packet from and to a node's pods and its kubelet's address."""
    mend(name)
    for rule in _rules_of(name):
        sh("iptables", "-w", "-I", *rule, check=False, quiet=True)


def mend(name: str) -> None:
    """Let the node's packets pass again."""
    _remove(_rules_of(name))


def cut_from_api(address: str) -> None:
    """Drop what the pod with this address sends to the API server, and nothing else."""
    mend_to_api(address)
    for rule in _rules_to_api(address):
        sh("iptables", "-w", "-I", *rule)


def mend_to_api(address: str) -> None:
    """Let it reach the API server again."""
    _remove(_rules_to_api(address))


def _rules_of(name: str) -> list[tuple[str, ...]]:
    number = int(name.removeprefix("node-"))
    return [
        (chain, side, network, "-j", "DROP")
        for network in (f"10.244.{number}.0/24", f"10.245.0.{10 + number}/32")
        for chain in ("INPUT", "OUTPUT", "FORWARD")
        for side in ("-s", "-d")
    ]


def _rules_to_api(address: str) -> list[tuple[str, ...]]:
    # The API server's own port, since the service's address is translated before this chain.
    return [("INPUT", "-p", "tcp", "-s", address, "--dport", str(API_PORT), "-j", "DROP")]


def _remove(rules: list[tuple[str, ...]]) -> None:
    for rule in rules:
        while sh("iptables", "-w", "-D", *rule, check=False, quiet=True):
            pass
