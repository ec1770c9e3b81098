"""etcd, the API server, the controllers, the scheduler; names, services and volumes for pods.

Owns their flags and files. One of each: this is no place to learn how a control plane survives.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.kube.machine import (
    API,
    API_SERVICE_IP,
    BRIDGE,
    HOST_IP,
    KUBECONFIG,
    POD_CIDR,
    RUN,
    SERVICE_CIDR,
    api_answers,
    kubectl,
    sh,
    start_kube,
    until,
)

TOKEN = "becket-admin"  # noqa: S105 - of a cluster that lives on one machine
_DAYS = ("-days", "3650")


def make_network() -> None:
    """Let packets pass between the bridges of the nodes, and give the host its address."""
    for setting in ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"):
        file = Path("/proc/sys") / setting
        if not file.exists():
            sh("modprobe", "br_netfilter", check=False, quiet=True)
        if file.exists():
            file.write_text("1")
    if not Path(f"/sys/class/net/{BRIDGE}").exists():
        sh("ip", "link", "add", BRIDGE, "type", "bridge")
    sh("ip", "link", "set", BRIDGE, "up")
    sh("ip", "addr", "replace", f"{HOST_IP}/32", "dev", BRIDGE)


def make_certificates() -> None:
    """Make an authority, the API server's certificate, and the key of service accounts."""
    pki = RUN / "pki"
    pki.mkdir()
    addresses = (HOST_IP, "127.0.0.1", API_SERVICE_IP)
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    listed = ",".join([*(f"IP:{ip}" for ip in addresses), *(f"DNS:{name}" for name in names)])
    (pki / "names").write_text(f"subjectAltName={listed}\n")
    key = ("openssl", "req", "-newkey", "rsa:2048", "-nodes")
    ca = ("-subj", "/CN=becket-kube", "-keyout", pki / "ca.key", "-out", pki / "ca.crt")
    sh(*key, "-x509", *_DAYS, *ca, quiet=True)
    request = ("-subj", "/CN=apiserver", "-keyout", pki / "api.key", "-out", pki / "api.csr")
    sh(*key, *request, quiet=True)
    authority = ("-CA", pki / "ca.crt", "-CAkey", pki / "ca.key", "-CAcreateserial", *_DAYS)
    sh(
        *("openssl", "x509", "-req", "-in", pki / "api.csr", *authority),
        *("-extfile", pki / "names", "-out", pki / "api.crt"),
        quiet=True,
    )
    sh("openssl", "genrsa", "-out", pki / "accounts.key", "2048", quiet=True)
    public = ("-pubout", "-out", pki / "accounts.pub")
    sh("openssl", "rsa", "-in", pki / "accounts.key", *public, quiet=True)
    (pki / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")


def write_kubeconfig() -> None:
    """Write down how the cluster is reached, with every right."""
    cluster = {"server": API, "certificate-authority": str(RUN / "pki/ca.crt")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "becket", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": TOKEN}}],
        "contexts": [{"name": "becket", "context": {"cluster": "becket", "user": "admin"}}],
        "current-context": "becket",
    }
    KUBECONFIG.write_text(json.dumps(config, indent=1))


def start_control_plane() -> None:
    """Start what there is once in a cluster."""
    client, peer = "http://127.0.0.1:12379", "http://127.0.0.1:12380"
    start_kube(
        "etcd",
        f"--data-dir={RUN / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=warn",
    )
    start_api()
    start_kube(
        "controller-manager",
        f"--kubeconfig={KUBECONFIG}",
        f"--service-account-private-key-file={RUN / 'pki/accounts.key'}",
        f"--root-ca-file={RUN / 'pki/ca.crt'}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    )
    start_kube(
        "scheduler",
        f"--kubeconfig={KUBECONFIG}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    )


def start_api() -> None:
    """Start the API server, and wait until it answers."""
    pki = RUN / "pki"
    start_kube(
        "apiserver",
        "--etcd-servers=http://127.0.0.1:12379",
        f"--advertise-address={HOST_IP}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--service-account-issuer={API}",
        f"--service-account-key-file={pki / 'accounts.pub'}",
        f"--service-account-signing-key-file={pki / 'accounts.key'}",
        f"--token-auth-file={pki / 'tokens.csv'}",
        f"--tls-cert-file={pki / 'api.crt'}",
        f"--tls-private-key-file={pki / 'api.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--cert-dir={pki}",
        "--authorization-mode=RBAC",
        "--allow-privileged",
        "--kubelet-preferred-address-types=InternalIP",
    )
    until("API server", api_answers)


def start_services() -> None:
    """Start what gives pods services, names and volumes."""
    start_kube("proxy", f"--config={_proxy_config()}")
    corefile = f"""
.:53 {{
    bind {HOST_IP}
    errors
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {KUBECONFIG}
        pods insecure
        ttl 5
    }}
    cache 5
    loadbalance
}}
"""
    (RUN / "Corefile").write_text(corefile)
    start_kube("dns", "-conf", str(RUN / "Corefile"))
    start_kube("provisioner", str(KUBECONFIG), str(RUN / "volumes"))
    kubectl("apply", "-f", "-", stdin=json.dumps(_storage_class()).encode())


def _proxy_config() -> Path:
    no_limits = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s"}
    config = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": POD_CIDR,
        "bindAddress": "127.0.0.1",
        "hostnameOverride": "node-1",
        "clientConnection": {"kubeconfig": str(KUBECONFIG)},
        "oomScoreAdj": 0,
        "conntrack": {**no_limits, "tcpCloseWaitTimeout": "0s"},
        "iptables": {"minSyncPeriod": "100ms"},
    }
    file = RUN / "proxy.json"
    file.write_text(json.dumps(config))
    return file


def _storage_class() -> dict[str, Any]:
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": default},
        "provisioner": "becket.dev/host-path",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
    }
