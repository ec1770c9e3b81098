"""Faults for the processes of a cluster: which there are, and what speaks against one.

Owns the judgement of what a fault would take away, and what a place must offer in which processes
can be hurt: this machine (``chaos_local``) or pods (``chaos_pods``). Must not hurt anybody itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from becket.adapters.local.layout import BALANCER, LEAVING, ROUTER, STORAGE, SUPERVISOR
from becket.core.errors import BecketError, NotFoundError
from becket.core.ring.config import Disk
from becket.core.ring.ring import Ring

MOST_SENTENCES = 3


class Fault(StrEnum):
    """What is done to a process."""

    KILL = "kill"
    TERM = "term"
    PAUSE = "pause"
    WIPE = "wipe"
    DELETE = "delete"
    FORCE = "force"


ALL = "all"
"""SIGKILL for every process at once."""

ROLES = (ROUTER, SUPERVISOR, BALANCER)
"""SIGKILL for one of these: they hold nothing, and are wanted back."""

LOCAL_KINDS = (Fault.KILL, Fault.TERM, Fault.PAUSE, Fault.WIPE, ALL)
POD_KINDS = (Fault.KILL, Fault.DELETE, Fault.FORCE, Fault.PAUSE, ALL, *ROLES)
KINDS: tuple[str, ...] = tuple(dict.fromkeys((*LOCAL_KINDS, *POD_KINDS)))


class TooDangerousError(BecketError):
    """A fault that would take a majority away; the message says of what."""


class Victim(NamedTuple):
    """One process that runs now.

    ``identity`` is another one after each start: a process id, or a container's id.
    """

    name: str
    service: str
    identity: str
    address: str = ""


@dataclass(frozen=True)
class Scene:
    """What runs now."""

    processes: Mapping[str, Victim]
    stopped: frozenset[str]
    """Processes that are paused, or are not ready."""
    disks: Mapping[str, Disk]
    """The disk on the volume of each storage member."""
    ring: Ring | None

    @property
    def members(self) -> list[str]:
        """The storage members that run, by name."""
        return self.names((STORAGE, LEAVING))

    def names(self, services: Sequence[str]) -> list[str]:
        """The processes of these services, by name."""
        return sorted(name for name, each in self.processes.items() if each.service in services)

    @property
    def is_whole(self) -> bool:
        """Whether every replica of every partition is complete, on a disk that is there."""
        ring, there = self.ring, set(self.disks.values())
        return ring is not None and all(
            not config.is_joint and there.issuperset(config.old) for config in ring.configs
        )

    def has_all_of(self, before: Scene) -> bool:
        """Whether nobody stands still, and as many run as before, members under their names."""
        if self.stopped or set(before.members) - set(self.members):
            return False
        now = Counter(each.service for each in self.processes.values())
        return Counter(each.service for each in before.processes.values()) <= now


class Victims(Protocol):
    """The processes of one cluster, wherever they run."""

    async def look(self) -> Scene:
        """What runs now.

        :raises NotRunningError: no cluster is there.
        """
        ...

    async def strike(self, fault: Fault, victims: Sequence[Victim]) -> None:
        """Do it to all of them at once; for a fault that is no pause.

        :raises BecketError: it could not be done.
        """
        ...

    async def pause(self, victim: Victim, seconds: float) -> None:
        """Let a process stand still for so long; it goes on, whatever happens meanwhile."""
        ...

    async def are_back(self, victims: Sequence[Victim], now: Scene) -> bool:
        """Whether others run in their places, and listen."""
        ...


def objections(scene: Scene, fault: Fault, name: str) -> list[str]:
    """Sentences that speak against a fault; none where every partition keeps its majority."""
    victim, ring = scene.disks.get(name), scene.ring
    if ring is None or victim is None:
        return []
    running = {disk for each, disk in scene.disks.items() if each not in scene.stopped}
    found = []
    if fault is Fault.WIPE:
        lost = _without_majority(ring, set(scene.disks.values()) - {victim}, victim)
        found += [
            f"{text} would have too few disks left: an acknowledged write may be lost"
            for text in _partitions(lost)
        ]
    idle = _without_majority(ring, running - {victim}, victim)
    found += [
        f"{text} could not be used meanwhile: no majority is left" for text in _partitions(idle)
    ]
    return found


def _without_majority(ring: Ring, left: set[Disk], victim: Disk) -> list[int]:
    return [
        partition
        for partition, config in enumerate(ring.configs)
        if victim in config.member_set and not config.quorum(left)
    ]


def _partitions(numbers: list[int]) -> Iterator[str]:
    if len(numbers) == 1:
        yield f"partition {numbers[0]}"
    elif numbers:
        listed = ", ".join(map(str, numbers[:8]))
        yield f"{len(numbers)} partitions ({listed}{', ...' if len(numbers) > 8 else ''})"


def check(scene: Scene, fault: Fault, name: str, *, force: bool) -> Victim:
    """The process that a fault is meant for, when nothing speaks against it.

    :raises NotFoundError: no such process runs.
    :raises TooDangerousError: a majority would be lost, and ``force`` is not set.
    """
    found = scene.processes.get(name)
    if found is None:
        running = ", ".join(sorted(scene.processes)) or "none"
        raise NotFoundError(f"no process {name} runs here; those that do: {running}")
    if fault is Fault.WIPE and name not in scene.members:
        raise NotFoundError(f"{name} has no volume: only storage members have")
    against = objections(scene, fault, name)
    if against and not force:
        raise TooDangerousError(
            f"{fault.value} {name} is refused: {'; '.join(against[:MOST_SENTENCES])}"
        )
    return found
