"""A data folder's processes, with shells as stand-ins for the services."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from becket.adapters.local.commands import Command, Task, becket_command, environment_of
from becket.adapters.local.directory import FileDirectory
from becket.adapters.local.keeper import Keeper, KeeperRunningError
from becket.adapters.local.kept import KeepSettings
from becket.adapters.local.layout import LEAVING, ClusterSpec, Layout
from becket.adapters.local.topology import FileTopology
from becket.core.ring.members import Member, MemberCount, MemberState
from becket.core.ring.ring import Ring
from tests.unit.adapters.local.waiting import until
from tests.unit.core.ring.rings import turning_ring

SPEC = ClusterSpec(cluster_name="test", members=3, partitions=16, router_port=0)
SLEEP = "exec sleep 1000"


class Stand:
    """A keeper over a folder; each service is the shell script that ``scripts`` has for it."""

    def __init__(self, folder: Path, spec: ClusterSpec = SPEC, script: str = SLEEP) -> None:
        self.layout = Layout(folder)
        self.told: list[str] = []
        self.started: list[Task] = []
        self.script = script
        self.keeper = Keeper(
            self.layout,
            spec,
            settings=KeepSettings(first_pause_s=0.01, longest_pause_s=0.02, stop_s=5),
            command_of=self._command,
            extra={"BECKET_LOG_LEVEL": "debug"},
            tell=self.told.append,
            leave_s=0.2,
        )

    def _command(self, layout: Layout, spec: ClusterSpec, task: Task) -> Command:
        self.started.append(task)
        return Command(("sh", "-c", self.script), environment_of(layout, spec, task))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Keeper]:
        await self.keeper.start()
        try:
            await until(lambda: len(self.keeper.processes) == len(self.keeper.addresses))
            yield self.keeper
        finally:
            await self.keeper.stop()

    async def write_ring(self, ring: Ring) -> None:
        topology = FileTopology(self.layout.topology_file)
        found = await topology.read()
        version = None if found is None else found.object_version
        assert await topology.compare_and_swap(version, ring)


def ring_with(names: list[str], wished: int, state: MemberState = MemberState.ACTIVE) -> Ring:
    """A ring of these members, the last one in this state."""
    table = [Member(f"disk-{i}", name) for i, name in enumerate(names)]
    table[-1] = replace(table[-1], state=state)
    ring = turning_ring(count=3).with_members(table)
    return replace(ring, member_count=MemberCount(wished=wished))


async def test_everything_is_started_and_written_down(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    async with stand.running() as keeper:
        names = {*(f"storage-{i}" for i in range(3)), "router-0", "supervisor-0", "balancer-0"}
        assert keeper.processes.keys() == names
        assert stand.layout.read_processes() == keeper.processes
        assert stand.layout.running_keeper() == os.getpid()
        directory = FileDirectory(stand.layout.addresses_file)
        assert sorted(directory.places("storage")) == ["storage-0", "storage-1", "storage-2"]
        for name, info in keeper.processes.items():
            assert directory.address_of(name) == info.address == keeper.addresses[name]
        assert len(set(keeper.addresses.values())) == len(names)
    assert not stand.layout.processes_file.exists()
    assert stand.layout.running_keeper() == 0


async def test_ports_are_kept_and_replaced_where_taken(tmp_path: Path) -> None:
    first = Stand(tmp_path)
    async with first.running() as keeper:
        before = keeper.addresses
    spec = first.layout.read_spec()
    assert spec is not None
    port = spec.ports["storage-1"]
    with socket.create_server(("127.0.0.1", port)):
        second = Stand(tmp_path, spec)
        async with second.running() as keeper:
            changed = {n for n, address in keeper.addresses.items() if address != before[n]}
            assert changed == {"storage-1"}
    assert any(f"port {port} is taken: storage-1 listens on" in told for told in second.told)


async def test_the_settings_of_each_service_are_its_own(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    common = {
        "PYTHONUNBUFFERED": "1",
        "BECKET_CLUSTER_NAME": "test",
        "BECKET_LISTEN": "127.0.0.1:1",
        "BECKET_ADDRESSES_FILE": str(tmp_path / "addresses.json"),
    }
    own = {
        "storage": {"BECKET_DATA_FOLDER": str(tmp_path / "members" / "storage-0")},
        "router": {"BECKET_TOPOLOGY_FILE": str(tmp_path / "topology" / "ring")},
        "balancer": {},
        "supervisor": {
            "BECKET_TOPOLOGY_FILE": str(tmp_path / "topology" / "ring"),
            "BECKET_PARTITIONS": "16",
            "BECKET_REPLICAS": "3",
        },
    }
    for service, settings in own.items():
        task = Task(f"{service}-0", service, "127.0.0.1:1")
        command = becket_command(layout, SPEC, task)
        assert command.argv[-1] == f"becket.{service}"
        given = {
            name: value
            for name, value in command.environment.items()
            if name.startswith(("BECKET_", "PYTHONUN"))
        }
        assert given == {**common, "BECKET_NAME": task.name, **settings}


async def test_settings_of_the_caller_reach_every_process(tmp_path: Path) -> None:
    stand = Stand(tmp_path, script='echo "$BECKET_NAME $BECKET_LOG_LEVEL"; exec sleep 1000')
    async with stand.running() as keeper:
        for name in keeper.addresses:
            log = stand.layout.log_file(name)
            await until(lambda log=log, name=name: log.read_text() == f"{name} debug\n")  # type: ignore[misc]  # bound as defaults


async def test_what_is_killed_comes_back_and_is_written_down(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    async with stand.running() as keeper:
        first = keeper.processes["storage-1"]
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: keeper.processes.get("storage-1", first).restarts == 1)
        second = keeper.processes["storage-1"]
        assert second == first._replace(pid=second.pid, restarts=1)
        assert stand.layout.read_processes()["storage-1"] == second
    assert f"storage-1 ended with -9, started again as pid {second.pid}" in stand.told


async def test_a_marker_lets_the_next_start_find_no_volume(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    for name in ("storage-0", "storage-1"):
        stand.layout.member_folder(name).mkdir(parents=True)
        (stand.layout.member_folder(name) / "VOLUME").touch()
    async with stand.running() as keeper:
        stand.layout.ask_for_wipe("storage-1")
        first = keeper.processes["storage-1"]
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: keeper.processes.get("storage-1", first).restarts == 1)
        assert not stand.layout.member_folder("storage-1").exists()
        assert not stand.layout.wipe_marker("storage-1").exists()
        assert stand.layout.member_folder("storage-0").exists()
    assert "the volume of storage-1 was removed, as asked" in stand.told


async def test_the_end_comes_in_order(tmp_path: Path) -> None:
    order = tmp_path / "order"
    script = (
        f"trap 'echo $BECKET_NAME >> {order}; exit 0' TERM; echo up; while :; do sleep 0.01; done"
    )
    stand = Stand(tmp_path, script=script)
    async with stand.running() as keeper:
        for name in keeper.addresses:
            log = stand.layout.log_file(name)
            await until(lambda log=log: log.read_text())  # type: ignore[misc]  # bound as a default
    names = order.read_text().split()
    assert names[:2] == ["router-0", "balancer-0"]
    assert sorted(names[2:5]) == ["storage-0", "storage-1", "storage-2"]
    assert names[5:] == ["supervisor-0"]


async def test_one_keeper_a_folder(tmp_path: Path) -> None:
    async with Stand(tmp_path).running():
        with pytest.raises(KeeperRunningError, match=f"its process is {os.getpid()}"):
            await Stand(tmp_path).keeper.start()


async def test_members_are_added_when_the_ring_wishes_for_more(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    async with stand.running() as keeper:
        names = ["storage-0", "storage-1", "storage-2"]
        await stand.write_ring(ring_with(names, wished=5))
        await until(lambda: {"storage-3", "storage-4"} <= keeper.processes.keys())
        directory = FileDirectory(stand.layout.addresses_file)
        assert len(directory.places("storage")) == 5


async def test_a_member_too_many_is_stopped_when_it_is_out_of_the_ring(tmp_path: Path) -> None:
    spec = replace(SPEC, members=4)
    stand = Stand(tmp_path, spec)
    names = [f"storage-{i}" for i in range(4)]
    for name in names:
        stand.layout.member_folder(name).mkdir(parents=True)
    async with stand.running() as keeper:
        await stand.write_ring(ring_with(names, wished=3))
        directory = FileDirectory(stand.layout.addresses_file)
        await until(lambda: "storage-3" in directory.places(LEAVING))
        assert "storage-3" in keeper.processes
        assert directory.address_of("storage-3") == keeper.addresses["storage-3"]
    # A keeper that comes in the middle of it keeps the member running.
    stand = Stand(tmp_path, spec)
    async with stand.running() as keeper:
        assert "storage-3" in keeper.processes
        await stand.write_ring(ring_with(names[:3], wished=3))
        await until(lambda: "storage-3" not in keeper.addresses)
        assert "storage-3" not in keeper.processes
        assert "storage-3" not in json.loads(stand.layout.addresses_file.read_text())
    assert stand.layout.member_folder("storage-3").exists()


async def test_a_member_that_has_only_just_left_the_list_runs_on(tmp_path: Path) -> None:
    """A write that lets it join may still be under way; then it is emptied like any other."""
    stand = Stand(tmp_path, replace(SPEC, members=4))
    stand.keeper._leave_s = 1000
    names = [f"storage-{i}" for i in range(4)]
    async with stand.running() as keeper:
        await stand.write_ring(ring_with(names[:3], wished=3))
        directory = FileDirectory(stand.layout.addresses_file)
        await until(lambda: "storage-3" in directory.places(LEAVING))
        await stand.write_ring(ring_with(names, wished=3, state=MemberState.DRAINING))
        await until(lambda: keeper._ring is not None and len(keeper._ring.members) == 4)
        assert "storage-3" in keeper.processes
        keeper._leave_s = 0
        await stand.write_ring(ring_with(names[:3], wished=3))
        await until(lambda: "storage-3" not in keeper.addresses)


async def test_a_keeping_that_fails_ends_the_keeper(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    async with stand.running() as keeper:
        keeper._kept["storage-0"]._prepare = lambda: 1 / 0  # type: ignore[assignment,return-value]
        os.kill(keeper.processes["storage-0"].pid, signal.SIGKILL)
        with pytest.raises(Exception, match="storage-0 cannot be kept running"):
            async with asyncio.timeout(20):
                await keeper.run()
