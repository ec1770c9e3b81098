"""Gets the servers of the peers into ``.build/peers``: ``make peers``.

etcd and NATS are built from the modules that ``bench/peers/go.mod`` pins; Redis is unpacked from
the packages of a Debian, without installing it. What cannot be had is told and left out.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bench.servers import PEERS

TOOLS = Path(__file__).with_name("peers")
GO_PROGRAMS = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "nats-server": "github.com/nats-io/nats-server/v2",
}
REDIS = (
    "redis-server",
    "redis-tools",
    "libatomic1",
    "libjemalloc2",
    "liblua5.1-0",
    "liblzf1",
    "lua-cjson",
    "lua-bitop",
)


def build(name: str, module: str) -> str:
    """Build a Go program; what became of it."""
    if (PEERS / name).exists():
        return "is there"
    go = shutil.which("go")
    if go is None:
        return "left out: Go is not installed"
    argv = [go, "build", "-mod=readonly", "-trimpath", "-ldflags", "-s -w"]
    done = subprocess.run(
        [*argv, "-o", str(PEERS / name), module],
        cwd=TOOLS,
        capture_output=True,
        text=True,
        check=False,
    )
    return "is built" if done.returncode == 0 else f"left out: {done.stderr.strip()[-300:]}"


def unpack_redis() -> str:
    """Unpack Redis and its libraries; what became of it."""
    if shutil.which("redis-server") or (PEERS / "usr" / "bin" / "redis-server").exists():
        return "is there"
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return "left out: this is no Debian"
    folder = PEERS / "packages"
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["apt-get", "download", *REDIS], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return f"left out: {done.stderr.strip()[-300:]}"
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(PEERS)], check=True)
    return "is unpacked"


def main() -> None:
    """Get all of them."""
    PEERS.mkdir(parents=True, exist_ok=True)
    for name, module in GO_PROGRAMS.items():
        print(f"{name} {build(name, module)}", flush=True)
    print(f"redis {unpack_redis()}")


if __name__ == "__main__":
    main()
