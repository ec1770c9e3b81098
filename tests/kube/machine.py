"""The machine that a cluster runs on: where its files lie, and how daemons are started and ended.

Owns the paths, the addresses, and the process ids of what runs. Invariant: a daemon outlives the
program that starts it; its process id and its log are under ``RUN``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOME = Path(os.environ.get("BECKET_KUBE_HOME", Path.home() / ".cache" / "becket-kube"))
"""What is built once and kept."""

BIN = HOME / "bin"
RUN = Path(os.environ.get("BECKET_KUBE_RUN", "/var/lib/becket-kube"))
"""What belongs to the cluster that is up."""

STATE = Path("/run/becket-kube")
KUBECONFIG = RUN / "kubeconfig"
VERSION = "v1.34.4"
KUBE = BIN / f"kube-{VERSION}"
CGROUPS = Path("/sys/fs/cgroup")

BRIDGE = "becket-host"
HOST_IP = "10.245.0.1"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
POD_CIDR = "10.244.0.0/16"
API_PORT = 6443
API = f"https://{HOST_IP}:{API_PORT}"
PAUSE = "localhost/pause:1"

CONTROL_PLANE = "becket-control-plane"
"""The control group of what would have a machine of its own, beside those of the nodes."""


def sh(
    *command: object,
    check: bool = True,
    quiet: bool = False,
    stdin: bytes | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> bool:
    """Run a command to its end; whether it did what it should."""
    output = subprocess.DEVNULL if quiet else None
    done = subprocess.run(
        [str(part) for part in command],
        check=check,
        stdout=output,
        stderr=output,
        input=stdin,
        env=environment,
        cwd=folder,
    )
    return done.returncode == 0


def text_of(*command: object) -> str:
    """What a command says on stdout; empty where it fails."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else ""


def kubectl(*command: object, check: bool = True, stdin: bytes | None = None) -> bool:
    """Run kubectl, quietly; whether it did what it should."""
    line = (BIN / "kubectl", "--kubeconfig", KUBECONFIG, *command)
    return sh(*line, check=check, quiet=True, stdin=stdin)


def start(name: str, *command: object, group: str = CONTROL_PLANE) -> None:
    """Start a daemon that outlives this program, in a control group of processors' time.

    Without one each of its threads would weigh as much as all pods of a node together.
    """
    line = [str(part) for part in command]
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the listing's own is closed by now
            if int(entry.name) > 2:
                os.set_inheritable(int(entry.name), False)  # noqa: FBT003 - takes no keyword
    with (RUN / f"{name}.log").open("ab") as log, Path(os.devnull).open("rb") as nothing:
        streams = [(nothing.fileno(), 0), (log.fileno(), 1), (log.fileno(), 2)]
        actions = [(os.POSIX_SPAWN_DUP2, given, wanted) for given, wanted in streams]
        pid = os.posix_spawnp(line[0], line, os.environ, file_actions=actions, setsid=True)
    (RUN / f"{name}.pid").write_text(str(pid))
    move(pid, group)


def move(pid: int, group: str) -> None:
    """Put a process, and what it starts from now on, into a control group; "" is the root."""
    folder = CGROUPS / "cpu" / group
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.procs").write_text(str(pid))


def start_kube(component: str, *flags: str) -> None:
    """Start one of the components that are in the one binary."""
    start(component, KUBE, component, *flags)


def pid_of(name: str) -> int:
    """The process id of a daemon; 0 where it was not started."""
    file = RUN / f"{name}.pid"
    return int(file.read_text()) if file.exists() else 0


def stop(name: str) -> None:
    """End a daemon at once: none needs a slow stop; what they leave is removed or read again."""
    pid = pid_of(name)
    if not pid:
        return
    if _is_daemon(pid):
        os.kill(pid, signal.SIGKILL)
    (RUN / f"{name}.pid").unlink()


def _is_daemon(pid: int) -> bool:
    """Whether this process is one of ours: after a restart of the machine it is another's."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0] in (str(KUBE).encode(), b"containerd")


def until(what: str, holds: Callable[[], bool], seconds: float = 90) -> None:
    """Wait for something, and end the program where it does not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return
        time.sleep(0.3)
    sys.exit(f"{what}: not after {seconds:.0f} s; see the logs in {RUN}")


def api_answers() -> bool:
    """Whether the API server is there and ready."""
    return KUBECONFIG.exists() and kubectl("get", "--raw=/readyz", check=False)


def why_not() -> str:
    """Why this machine cannot run a cluster; empty where it can."""
    if sys.platform != "linux":
        return "a cluster of its own needs Linux"
    if os.geteuid() != 0:
        return "a cluster of its own needs root: it makes network namespaces, mounts and cgroups"
    if not (CGROUPS / "freezer").is_dir():
        return "a cluster of its own needs cgroup v1 (there is no freezer controller here)"
    return ""
