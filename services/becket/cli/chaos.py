"""Faults for a cluster on this machine: kill, stop politely, pause, wipe; and what speaks against.

Owns the signals, the wipe marker and the judgement of what a fault would take away. Must not start
anything: the keeper of the data folder does. Invariants: a signal goes only to a process that
descends from that keeper; who is paused is let go on, whatever happens meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import psutil

from becket.adapters.local.layout import LEAVING, STORAGE, Layout, ProcessInfo
from becket.adapters.local.topology import FileTopology
from becket.cli.exits import NotRunningError
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


class TooDangerousError(BecketError):
    """A fault that would take a majority away; the message says of what."""


@dataclass(frozen=True)
class Scene:
    """What runs on this machine now."""

    processes: dict[str, ProcessInfo]
    stopped: frozenset[str]
    """Processes that are paused."""
    disks: dict[str, Disk]
    """The disk on the volume of each storage member."""
    ring: Ring | None

    @property
    def members(self) -> list[str]:
        """The storage members that run, by name."""
        services = (STORAGE, LEAVING)
        return sorted(name for name, info in self.processes.items() if info.service in services)

    @property
    def is_whole(self) -> bool:
        """Whether every replica of every partition is complete, on a disk that is there."""
        ring, there = self.ring, set(self.disks.values())
        return ring is not None and all(
            not config.is_joint and there.issuperset(config.old) for config in ring.configs
        )


async def look(layout: Layout) -> Scene:
    """What runs in this folder.

    :raises NotRunningError: no keeper runs there.
    :raises TopologyUnavailableError: the ring cannot be read.
    """
    keeper = layout.running_keeper()
    if not keeper:
        raise NotRunningError(f"no cluster is up in {layout.folder}")
    found = await FileTopology(layout.topology_file).read()
    return await asyncio.to_thread(_look, layout, keeper, None if found is None else found.ring)


def _look(layout: Layout, keeper: int, ring: Ring | None) -> Scene:
    processes, stopped, disks = {}, set(), {}
    for name, info in layout.read_processes().items():
        try:
            process = psutil.Process(info.pid)
            # The number may be another process's by now.
            if keeper not in (parent.pid for parent in process.parents()):
                continue
            status = process.status()
        except psutil.NoSuchProcess:
            continue
        if status == psutil.STATUS_ZOMBIE:
            continue
        processes[name] = info
        if status == psutil.STATUS_STOPPED:
            stopped.add(name)
    for name in processes:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads((layout.member_folder(name) / "VOLUME").read_text())
            if not layout.wipe_marker(name).exists():
                disks[name] = str(content["disk"])
    return Scene(processes, frozenset(stopped), disks, ring)


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


def check(scene: Scene, fault: Fault, name: str, *, force: bool) -> ProcessInfo:
    """The process that a fault is meant for, when nothing speaks against it.

    :raises NotFoundError: no such process runs.
    :raises TooDangerousError: a majority would be lost, and ``force`` is not set.
    """
    info = scene.processes.get(name)
    if info is None:
        running = ", ".join(sorted(scene.processes)) or "none"
        raise NotFoundError(f"no process {name} runs here; those that do: {running}")
    if fault is Fault.WIPE and name not in scene.members:
        raise NotFoundError(f"{name} has no volume: only storage members have")
    against = objections(scene, fault, name)
    if against and not force:
        raise TooDangerousError(
            f"{fault.value} {name} is refused: {'; '.join(against[:MOST_SENTENCES])}"
        )
    return info


def strike(layout: Layout, fault: Fault, info: ProcessInfo) -> None:
    """Do it; a pause only begins here (``go_on`` ends it)."""
    if fault is Fault.WIPE:
        layout.ask_for_wipe(info.name)
    number = {Fault.TERM: signal.SIGTERM, Fault.PAUSE: signal.SIGSTOP}.get(fault, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(info.pid, number)


def go_on(info: ProcessInfo) -> None:
    """End a pause."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(info.pid, signal.SIGCONT)


async def pause(layout: Layout, info: ProcessInfo, seconds: float) -> None:
    """Let a process stand still for so long."""
    strike(layout, Fault.PAUSE, info)
    try:
        await asyncio.sleep(seconds)
    finally:
        go_on(info)
