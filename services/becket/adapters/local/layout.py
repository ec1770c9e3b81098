"""The data folder of a cluster on one machine: what lies where, and the small files in it.

Owns names and formats; ``keeper`` runs what they describe, and commands such as ``becket chaos``
talk to a running keeper through them. Must not start or stop anything.

| path | what it is |
| --- | --- |
| ``cluster.json`` | the cluster as it was asked for, and the ports that were chosen |
| ``addresses.json`` | where processes answer (``directory``) |
| ``topology/ring`` | the ring (``topology``) |
| ``members/NAME/`` | the volume of a storage member |
| ``logs/NAME.log`` | what a process said; ``NAME.log.1`` what it said before |
| ``keeper.pid`` | the keeper's process id; locked while it runs |
| ``processes.json`` | the processes that run now |
| ``wipe/NAME`` | asks for the member's volume to be removed before its next start |
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple, cast

from becket.adapters.local.files import read_file, replace_file
from becket.core.errors import InvalidInputError
from becket.core.hashing import check_partition_count
from becket.core.ring.validation import check_replica_count

ROUTER_PORT = 7400
"""Where clients find a cluster on this machine, unless something else is there."""

MOST_MEMBERS = 64
"""More processes than that one machine does not carry; a limit against a typing error."""

STORAGE, ROUTER, SUPERVISOR, BALANCER = "storage", "router", "supervisor", "balancer"

LEAVING = "storage-leaving"
"""The service of a storage place that is to be emptied: still found by name, wished no more."""


@dataclass(frozen=True)
class ClusterSpec:
    """What a person asked for. Raises InvalidInputError naming the field."""

    cluster_name: str = "becket"
    members: int = 3
    partitions: int = 256
    replicas: int = 3
    zones: int = 0
    """Members are dealt over so many zones; 0: there are no zones."""
    router_port: int = ROUTER_PORT
    """0: any free one."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """The ports that were chosen, by the process's name."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", self.cluster_name):
            raise InvalidInputError("cluster_name", "must be 1 to 63 of a-z, 0-9 and -")
        if not 1 <= self.members <= MOST_MEMBERS:
            raise InvalidInputError("members", f"must be in 1..{MOST_MEMBERS}")
        if not 0 <= self.zones <= self.members:
            raise InvalidInputError("zones", "must be between 0 and the number of members")
        for name, port in {"router_port": self.router_port, **self.ports}.items():
            if not 0 <= port <= 65_535:
                raise InvalidInputError(name, "must be a port, 0..65535")
        check_partition_count(self.partitions)
        check_replica_count(self.replicas, self.members)


class ProcessInfo(NamedTuple):
    """One process that runs now. ``restarts`` counts its starts after the first."""

    name: str
    service: str
    pid: int
    address: str
    restarts: int


class Layout:
    """Paths within a data folder, and the files that are not somebody else's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder = folder.absolute()
        self.cluster_file = folder / "cluster.json"
        self.addresses_file = folder / "addresses.json"
        self.topology_file = folder / "topology" / "ring"
        self.keeper_file = folder / "keeper.pid"
        self.processes_file = folder / "processes.json"
        self.logs_folder = folder / "logs"

    def member_folder(self, name: str) -> Path:
        """The volume of this member."""
        return self.folder / "members" / name

    def log_file(self, name: str) -> Path:
        """What this process says."""
        return self.logs_folder / f"{name}.log"

    def wipe_marker(self, name: str) -> Path:
        """Asks for the volume to be removed before the member's next start."""
        return self.folder / "wipe" / name

    def ask_for_wipe(self, name: str) -> None:
        """Let the member's next start find no volume; it takes a kill to make it start."""
        marker = self.wipe_marker(name)
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()

    def running_keeper(self) -> int:
        """The process id of the keeper that runs here now; 0 where none does."""
        try:
            with self.keeper_file.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    text = file.read().strip()
                    return int(text) if text.isdecimal() else 0
        except FileNotFoundError:
            pass
        return 0

    def make_folders(self) -> None:
        """Make what processes expect to be there."""
        for folder in (self.folder, self.topology_file.parent, self.logs_folder):
            folder.mkdir(parents=True, exist_ok=True)

    def read_spec(self) -> ClusterSpec | None:
        """What was asked for; None in a folder that holds no cluster.

        :raises InvalidInputError: the file does not hold a specification.
        """
        content = _read_object(self.cluster_file)
        if content is None:
            return None
        known = {
            name: content[name] for name in ClusterSpec.__dataclass_fields__ if name in content
        }
        for name, value in known.items():
            _check_kind(name, value)
        return ClusterSpec(**known)  # type: ignore[arg-type]  # _check_kind has checked each

    def write_spec(self, spec: ClusterSpec) -> None:
        """Keep what was asked for."""
        replace_file(self.cluster_file, _json(asdict(spec)))

    def read_processes(self) -> dict[str, ProcessInfo]:
        """The processes that the keeper last told of, by name; they may have ended since."""
        found = {}
        for name, item in (_read_object(self.processes_file) or {}).items():
            fields = cast("dict[str, object]", item if isinstance(item, dict) else {})
            service, address = fields.get("service"), fields.get("address")
            pid, restarts = fields.get("pid"), fields.get("restarts")
            if not (isinstance(service, str) and isinstance(address, str)):
                raise InvalidInputError(name, "lacks service or address")
            if not (isinstance(pid, int) and isinstance(restarts, int)):
                raise InvalidInputError(name, "lacks pid or restarts")
            found[name] = ProcessInfo(name, service, pid, address, restarts)
        return found

    def write_processes(self, processes: Iterable[ProcessInfo]) -> None:
        """Tell which processes run now."""
        content = {}
        for info in processes:
            content[info.name] = info._asdict()
            del content[info.name]["name"]
        replace_file(self.processes_file, _json(content), durable=False)


def _json(content: object) -> bytes:
    return json.dumps(content, indent=1).encode() + b"\n"


def _read_object(path: Path) -> dict[str, object] | None:
    data = read_file(path)
    if data is None:
        return None
    try:
        content = json.loads(data)
    except ValueError as error:
        raise InvalidInputError(path.name, f"is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise InvalidInputError(path.name, "is no object")
    return content


def _check_kind(name: str, value: object) -> None:
    if name == "cluster_name":
        if not isinstance(value, str):
            raise InvalidInputError(name, "must be a text")
    elif name == "ports":
        ports = value.values() if isinstance(value, dict) else [None]
        if not all(isinstance(port, int) for port in ports):
            raise InvalidInputError(name, "must be an object of ports")
    elif not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInputError(name, "must be a whole number")
