"""The processes of a cluster on this machine, and the signals that hurt them.

Owns the signals, the wipe marker and who is hit. Must not start anything: the keeper of the data
folder does. Invariants: a signal goes only to a process that descends from that keeper; who is
paused is let go on, whatever happens meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Sequence

import psutil

from becket.adapters.local.layout import Layout
from becket.adapters.local.topology import FileTopology
from becket.cli.chaos import Fault, Scene, Victim
from becket.cli.exits import NotRunningError
from becket.core.ring.ring import Ring

_SIGNALS = {Fault.TERM: signal.SIGTERM, Fault.PAUSE: signal.SIGSTOP}


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
        processes[name] = Victim(name, info.service, str(info.pid), info.address)
        if status == psutil.STATUS_STOPPED:
            stopped.add(name)
    for name in processes:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads((layout.member_folder(name) / "VOLUME").read_text())
            if not layout.wipe_marker(name).exists():
                disks[name] = str(content["disk"])
    return Scene(processes, frozenset(stopped), disks, ring)


class LocalVictims:
    """The processes that the keeper of one folder keeps."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    async def look(self) -> Scene:
        """What runs in the folder."""
        return await look(self._layout)

    async def strike(self, fault: Fault, victims: Sequence[Victim]) -> None:
        """Send the signal; before a wipe say that the volume goes."""
        for victim in victims:
            if fault is Fault.WIPE:
                self._layout.ask_for_wipe(victim.name)
            _send(victim, _SIGNALS.get(fault, signal.SIGKILL))

    async def pause(self, victim: Victim, seconds: float) -> None:
        """Let a process stand still for so long."""
        _send(victim, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            _send(victim, signal.SIGCONT)

    async def are_back(self, victims: Sequence[Victim], now: Scene) -> bool:
        """Whether other processes have their names, and listen."""
        for victim in victims:
            found = now.processes.get(victim.name)
            if found is None or found.identity == victim.identity:
                return False
            if not await _listens(found.address):
                return False
        return True


def _send(victim: Victim, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(victim.identity), number)


async def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
