"""Which cluster on this machine a command means, and what it should be like.

Owns the choice of the folder and the rules for changing a cluster that exists. Must not start
anything and write nothing. Invariant: what never changes in a cluster is refused by its name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from becket.adapters.local.free_ports import is_free
from becket.adapters.local.layout import ROUTER, ROUTER_PORT, ClusterSpec, Layout
from becket.cli.exits import NotRunningError, UsageError

MEMBERS = 5
REPLICAS = 3
ROUTER_NAME = f"{ROUTER}-0"
_SERVERS_NEED = ("pydantic_settings", "rocksdict", "starlette", "structlog", "uvloop")
_OURS = {
    *("cluster.json", "addresses.json", "topology", "members", "logs"),
    *("keeper.pid", "processes.json", "wipe"),
}


@dataclass(frozen=True)
class Wish:
    """What ``up`` was asked for; None: nothing was said."""

    name: str = "becket"
    members: int | None = None
    partitions: int | None = None
    replicas: int | None = None
    zones: int | None = None
    port: int | None = None


def folder_of(data: Path | None, name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of a cluster: the given one, or by XDG the one of its name."""
    if data is not None:
        return data.expanduser().absolute()
    base = environment.get("XDG_DATA_HOME", "")
    # XDG: a relative path is to be ignored.
    root = Path(base) if base.startswith("/") else Path.home() / ".local" / "share"
    return root / "becket" / name


def decide(layout: Layout, wish: Wish) -> ClusterSpec:
    """The cluster that is to run: a new one, or the one of the folder with its changes.

    :raises UsageError: the folder holds something else, or the change is not possible.
    :raises InvalidInputError: a number is out of its limits.
    :raises NotRunningError: a port that was asked for is taken.
    """
    if layout.folder.exists() and not layout.folder.is_dir():
        raise UsageError(f"{layout.folder} is no folder")
    before = layout.read_spec()
    spec = _new(layout, wish) if before is None else _changed(before, wish)
    if wish.port and not is_free(wish.port):
        raise NotRunningError(f"port {wish.port} is taken: give another one by --port, or 0")
    return spec


def _new(layout: Layout, wish: Wish) -> ClusterSpec:
    if layout.folder.exists():
        others = sorted(each.name for each in layout.folder.iterdir() if each.name not in _OURS)
        if others:
            problem = f"{layout.folder} holds other things ({others[0]})"
            raise UsageError(f"{problem}: name an empty or a new folder by --data")
    members = MEMBERS if wish.members is None else wish.members
    replicas = min(REPLICAS, max(1, members)) if wish.replicas is None else wish.replicas
    return ClusterSpec(
        cluster_name=wish.name,
        members=members,
        partitions=256 if wish.partitions is None else wish.partitions,
        replicas=replicas,
        zones=wish.zones or 0,
        router_port=ROUTER_PORT if wish.port is None else wish.port,
    )


def _changed(before: ClusterSpec, wish: Wish) -> ClusterSpec:
    for field in ("partitions", "replicas"):
        was, wished = getattr(before, field), getattr(wish, field)
        if wished is not None and wished != was:
            problem = f"the cluster of this folder has {was} {field}, which never changes"
            raise UsageError(f"--{field}: {problem}; leave it out, or name another folder")
    # The router tries the port that was asked for again, whatever it had to take the last time.
    ports = {name: port for name, port in before.ports.items() if name != ROUTER_NAME}
    port = before.router_port if wish.port is None else wish.port
    if port == 0 and ROUTER_NAME in before.ports:
        ports[ROUTER_NAME] = before.ports[ROUTER_NAME]
    return replace(
        before,
        members=before.members if wish.members is None else wish.members,
        zones=before.zones if wish.zones is None else wish.zones,
        router_port=port,
        ports=ports,
    )


def check_installed() -> None:
    """Raise UsageError where what the services need is not installed."""
    missing = [name for name in _SERVERS_NEED if find_spec(name) is None]
    if missing:
        problem = f"the services need {', '.join(missing)}"
        raise UsageError(f"{problem}: install becket with the extras server and cli")


def check_not_running(layout: Layout) -> None:
    """Raise NotRunningError where a keeper runs in this folder already."""
    pid = layout.running_keeper()
    if pid:
        down = f"becket down --data {layout.folder}"
        raise NotRunningError(
            f"the cluster in {layout.folder} is up already, kept by process {pid}; {down} stops it"
        )
