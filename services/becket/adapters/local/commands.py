"""The command line and the environment of each process of a cluster on one machine.

Owns which setting goes to whom. Must not start anything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

from becket.adapters.local.layout import BALANCER, ROUTER, STORAGE, SUPERVISOR, ClusterSpec, Layout

_INHERITED = (
    "GRPC_TRACE",
    "GRPC_VERBOSITY",
    "HOME",
    "LANG",
    "LC_ALL",
    "PATH",
    "PYTHONPATH",
    "TMPDIR",
    "TZ",
    "VIRTUAL_ENV",
)
"""What processes take over; no setting reaches them by accident."""


class Task(NamedTuple):
    """One process that is to run. ``address`` is where it shall listen, as host:port."""

    name: str
    service: str
    address: str


class Command(NamedTuple):
    """What to start."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    module: str = ""
    """The module that the command line runs, where a fork may run it as well."""


CommandOf = Callable[[Layout, ClusterSpec, Task], Command]
"""Makes the command of a process; tests start something else."""


def becket_command(layout: Layout, spec: ClusterSpec, task: Task) -> Command:
    """The real service, tied to this process: it ends when this one does."""
    leash = ("-m", "becket.adapters.local.leash", str(os.getpid()))
    module = f"becket.{task.service}"
    argv = (sys.executable, *leash, module)
    return Command(argv, environment_of(layout, spec, task), module)


def environment_of(layout: Layout, spec: ClusterSpec, task: Task) -> dict[str, str]:
    """The settings of one process, and what every process needs of this one's environment."""
    found = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    # The core of gRPC writes text between the lines of the log otherwise.
    found.setdefault("GRPC_VERBOSITY", "NONE")
    found |= {
        "PYTHONUNBUFFERED": "1",
        "BECKET_NAME": task.name,
        "BECKET_CLUSTER_NAME": spec.cluster_name,
        "BECKET_LISTEN": task.address,
        "BECKET_ADDRESSES_FILE": str(layout.addresses_file),
    }
    if task.service == STORAGE:
        found["BECKET_DATA_FOLDER"] = str(layout.member_folder(task.name))
    if task.service in (ROUTER, SUPERVISOR):
        found["BECKET_TOPOLOGY_FILE"] = str(layout.topology_file)
    if task.service == SUPERVISOR:
        found["BECKET_PARTITIONS"] = str(spec.partitions)
        found["BECKET_REPLICAS"] = str(spec.replicas)
    return found


def storage_name(ordinal: int) -> str:
    """The name of a storage member."""
    return f"{STORAGE}-{ordinal}"


OTHERS = {f"{service}-0": service for service in (SUPERVISOR, ROUTER, BALANCER)}
"""The processes beside the storage members, by name."""
