"""Runs the cluster of a data folder: all its processes, from the start to an orderly end.

Owns the folder while it runs (one keeper at a time), the choice of ports, ``addresses.json`` and
``processes.json``, and which processes should exist. Must not know health or keys: what a process
does with its life is its own business. Invariants: a process that ends is started again; a volume
is removed only where a marker asks for it, between two processes; a member is stopped for good only
when the ring names it no more.

The number of members is the one that the ring object wishes for, or, as long as nobody has said
anything, that of the specification. A member too many becomes ``LEAVING`` in the directory: the
supervisor empties it, and once it is out of the ring its process is stopped. Its volume stays.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import IO

from becket.adapters.local.commands import (
    OTHERS,
    Command,
    CommandOf,
    Task,
    becket_command,
    storage_name,
)
from becket.adapters.local.directory import write_places
from becket.adapters.local.files import Glance, remove_leftovers
from becket.adapters.local.free_ports import HOST, choose_port, is_free
from becket.adapters.local.kept import KeepSettings, Kept, Tell
from becket.adapters.local.layout import (
    BALANCER,
    LEAVING,
    ROUTER,
    STORAGE,
    SUPERVISOR,
    ClusterSpec,
    Layout,
    ProcessInfo,
)
from becket.adapters.local.starting import Nursery
from becket.adapters.local.topology import FileTopology
from becket.core.errors import BecketError
from becket.core.ring.ring import Ring
from becket.ports.directory import Place
from becket.ports.topology import TopologyUnavailableError

ENDS = ((ROUTER,), (BALANCER,), (STORAGE, LEAVING), (SUPERVISOR,))
"""The order of an orderly end: first who takes calls, last who looks after the others."""

LOOK_S = 0.1
"""How often the ring file is looked at: one ``stat``."""

LOOKS_PER_LOG_CHECK = 20

LEAVE_S = 2.0
"""A member that is to leave runs on for so long at least: a write that lets it join may be under
way when it is taken off the list."""


class KeeperRunningError(BecketError):
    """Another keeper runs in this folder; the message names its process."""


class Keeper:
    """One data folder's processes. ``start``, then ``run`` or what else is to be done, ``stop``.

    ``without`` names services that are left out, of those beside the storage members.
    """

    def __init__(
        self,
        layout: Layout,
        spec: ClusterSpec,
        *,
        settings: KeepSettings | None = None,
        command_of: CommandOf = becket_command,
        extra: Mapping[str, str] | None = None,
        tell: Tell = lambda _: None,
        leave_s: float = LEAVE_S,
        without: Collection[str] = (),
    ) -> None:
        self.layout = layout
        self.spec = spec
        self._settings = settings or KeepSettings()
        self._command_of, self._extra, self._tell = command_of, dict(extra or {}), tell
        self._places: dict[str, Place] = {}
        self._kept: dict[str, Kept] = {}
        self._nursery = Nursery(layout.log_file("nursery"))
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._leave_s = leave_s
        self._without = without
        self._leaving_since: dict[str, float] = {}
        self._ring: Ring | None = None
        self._lock: IO[str] | None = None
        self._follower: asyncio.Task[None] | None = None

    @property
    def addresses(self) -> dict[str, str]:
        """Where each process listens, or will; by name."""
        return {place.name: place.address for place in self._places.values()}

    @property
    def processes(self) -> dict[str, ProcessInfo]:
        """What runs now, by name."""
        return {
            name: ProcessInfo(
                name, self._service(name), kept.pid, self._places[name].address, kept.restarts
            )
            for name, kept in self._kept.items()
            if kept.pid
        }

    async def start(self) -> None:
        """Start everything at once; returns when it is started, not when it answers.

        :raises KeeperRunningError: another keeper runs here.
        """
        self.layout.make_folders()
        self._take_folder()
        remove_leftovers(self.layout.addresses_file)
        remove_leftovers(self.layout.processes_file)
        ring = await self._read_ring()
        wished = (0 if ring is None else ring.member_count.wished) or self.spec.members
        for name, service in OTHERS.items():
            if service not in self._without:
                self._add_place(name, service)
        for ordinal in range(wished):
            self._add_place(storage_name(ordinal), STORAGE)
        if ring is not None:
            self._add_leaving(ring)
        self._write_directory()
        for name in self._places:
            self._keep(name)
        self._follower = asyncio.create_task(self._follow())

    async def run(self) -> None:
        """Wait until it is stopped; raises what went wrong with the keeping itself."""
        if self._follower is not None:
            await self._follower

    async def stop(self) -> None:
        """Stop everything in order. Takes the settings' ``stop_s`` for each stage at most."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
            self._follower = None
        for services in ENDS:
            names = [name for name in self._kept if self._service(name) in services]
            await asyncio.gather(*(self._end(name) for name in names))
        await self._nursery.close()
        self.layout.processes_file.unlink(missing_ok=True)
        self._leave_folder()

    # Who should exist

    async def _follow(self) -> None:
        glance, looks = Glance(self.layout.topology_file), 0
        while True:
            await asyncio.sleep(LOOK_S)
            looks += 1
            if glance.changed():
                self._ring = await self._read_ring() or self._ring
                if self._ring is not None:
                    self._follow_count(self._ring)
            if self._ring is not None and self._leaving_since:
                await self._let_go(self._ring)
            if looks % LOOKS_PER_LOG_CHECK == 0:
                for kept in self._kept.values():
                    kept.bound_log()
            for name, task in self._tasks.items():
                if task.done() and not task.cancelled() and task.exception() is not None:
                    raise BecketError(f"{name} cannot be kept running") from task.exception()

    async def _read_ring(self) -> Ring | None:
        try:
            found = await FileTopology(self.layout.topology_file).read()
        except TopologyUnavailableError as error:
            self._tell(str(error))
            return None
        return None if found is None else found.ring

    def _follow_count(self, ring: Ring) -> None:
        """Start who is wished for, and list who is not as leaving."""
        wished = ring.member_count.wished or self.spec.members
        names = {storage_name(ordinal) for ordinal in range(wished)}
        before = dict(self._places)
        for name in sorted(names - self._places.keys()):
            self._add_place(name, STORAGE)
        for name, place in list(self._places.items()):
            if place.service in (STORAGE, LEAVING):
                service = STORAGE if name in names else LEAVING
                self._places[name] = place._replace(service=service)
        if self._places != before:
            self._write_directory()
        for name in self._places.keys() - self._kept.keys():
            self._tell(f"{name} is wished for: it is started")
            self._keep(name)
        leaving = [place.name for place in self._places.values() if place.service == LEAVING]
        now = time.monotonic()
        self._leaving_since = {name: self._leaving_since.get(name, now) for name in leaving}

    async def _let_go(self, ring: Ring) -> None:
        """Stop those that leave once the ring names them no more."""
        in_ring = {member.name for member in ring.members}
        for name, since in list(self._leaving_since.items()):
            if name in in_ring or time.monotonic() - since < self._leave_s:
                continue
            self._tell(f"{name} is out of the ring: it is stopped, its volume stays")
            del self._leaving_since[name]
            await self._end(name)
            del self._places[name]
            self._write_directory()

    def _add_leaving(self, ring: Ring) -> None:
        """Members too many that still have a volume: a keeper before this one was emptying them."""
        for member in ring.members:
            if member.name not in self._places and self.layout.member_folder(member.name).exists():
                self._add_place(member.name, LEAVING)

    def _service(self, name: str) -> str:
        return self._places[name].service

    def _add_place(self, name: str, service: str) -> None:
        ordinal = int(name.rpartition("-")[2])
        is_zoned = service in (STORAGE, LEAVING) and self.spec.zones
        zone = f"zone-{ordinal % self.spec.zones}" if is_zoned else ""
        self._places[name] = Place(name, service, self._address(name), zone)

    def _address(self, name: str) -> str:
        """The address kept for this name, or a new one where something else listens there."""
        port = self.spec.ports.get(name, 0)
        if name == f"{ROUTER}-0":
            port = port or self.spec.router_port
        if not port or not is_free(port):
            taken = port
            port = choose_port(self.spec.ports.values())
            if taken:
                self._tell(f"port {taken} is taken: {name} listens on {port}")
        if self.spec.ports.get(name) != port:
            self.spec = replace(self.spec, ports={**self.spec.ports, name: port})
        return f"{HOST}:{port}"

    def _write_directory(self) -> None:
        self.layout.write_spec(self.spec)
        write_places(self.layout.addresses_file, self._places.values())

    # Processes

    def _keep(self, name: str) -> None:
        kept = Kept(
            name,
            self.layout.log_file(name),
            lambda: self._prepare(name),
            self._settings,
            tell=self._tell,
            changed=self._write_processes,
            start=self._nursery.start,
        )
        self._kept[name] = kept
        self._tasks[name] = asyncio.create_task(kept.run(), name=f"keep {name}")

    def _prepare(self, name: str) -> Command:
        """What has to be so before a process starts; then its command."""
        self._wipe_if_asked(name)
        place = self._places[name]
        if not is_free(int(place.address.rpartition(":")[2])):
            place = self._places[name] = place._replace(address=self._address(name))
            self._write_directory()
        service = STORAGE if place.service == LEAVING else place.service
        command = self._command_of(self.layout, self.spec, Task(name, service, place.address))
        return command._replace(environment={**command.environment, **self._extra})

    def _wipe_if_asked(self, name: str) -> None:
        marker = self.layout.wipe_marker(name)
        if marker.exists():
            folder = self.layout.member_folder(name)
            if folder.exists():
                shutil.rmtree(folder)
            # Last: whoever is killed between the two wipes again, which does no harm.
            marker.unlink()
            self._tell(f"the volume of {name} was removed, as asked")

    async def _end(self, name: str) -> None:
        kept, task = self._kept.pop(name), self._tasks.pop(name)
        await kept.end()
        await asyncio.gather(task, return_exceptions=True)
        self._write_processes()

    def _write_processes(self) -> None:
        self.layout.write_processes(self.processes.values())

    # The folder

    def _take_folder(self) -> None:
        lock = self.layout.keeper_file.open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            lock.close()
            problem = f"a keeper runs in {self.layout.folder} already, its process is {pid}"
            raise KeeperRunningError(problem) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _leave_folder(self) -> None:
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None
