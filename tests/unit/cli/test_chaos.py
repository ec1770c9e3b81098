"""What speaks against a fault, and who is hit by it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from becket.adapters.local.layout import Layout, ProcessInfo
from becket.cli import chaos
from becket.cli.chaos import Fault, Scene, TooDangerousError, Victim
from becket.cli.chaos_local import LocalVictims
from becket.cli.exits import NotRunningError
from becket.core.errors import NotFoundError
from becket.core.ring.config import Config, first_config
from becket.core.ring.ring import Ring

NAMES = ("storage-0", "storage-1", "storage-2")
DISKS = dict(zip(NAMES, "abc", strict=True))
FINAL = first_config(("a", "b", "c"))


def scene(
    *,
    stopped: tuple[str, ...] = (),
    missing: tuple[str, ...] = (),
    config: Config = FINAL,
) -> Scene:
    processes = {name: Victim(name, "storage", "1") for name in NAMES}
    processes["router-0"] = Victim("router-0", "router", "1")
    disks = {name: disk for name, disk in DISKS.items() if name not in missing}
    ring = Ring(1, "c", 3, (), (config, config))
    return Scene(processes, frozenset(stopped), disks, ring)


@pytest.mark.parametrize("fault", list(Fault))
def test_a_whole_cluster_bears_any_one_fault(fault: Fault) -> None:
    assert chaos.objections(scene(), fault, "storage-1") == []
    assert scene().is_whole


@pytest.mark.parametrize("fault", list(Fault))
def test_a_second_member_is_not_taken_away(fault: Fault) -> None:
    (said, *_) = chaos.objections(scene(stopped=("storage-0",)), fault, "storage-1")
    assert "2 partitions (0, 1) could not be used meanwhile" in said
    with pytest.raises(TooDangerousError, match="storage-1 is refused"):
        chaos.check(scene(stopped=("storage-0",)), fault, "storage-1", force=False)
    assert chaos.check(scene(stopped=("storage-0",)), fault, "storage-1", force=True)


def test_a_second_disk_is_not_wiped_before_the_first_is_replaced() -> None:
    before = scene(missing=("storage-0",))
    assert not before.is_whole
    said = chaos.objections(before, Fault.WIPE, "storage-1")
    assert "an acknowledged write may be lost" in said[0]


def test_a_change_under_way_counts_both_majorities() -> None:
    joining = scene(config=FINAL.begin(("b", "c", "d")))
    assert not joining.is_whole
    assert chaos.objections(joining, Fault.WIPE, "storage-0") == []
    assert "may be lost" in chaos.objections(joining, Fault.WIPE, "storage-2")[0]


def test_only_members_have_a_volume_and_only_what_runs_is_hit() -> None:
    with pytest.raises(NotFoundError, match="no volume"):
        chaos.check(scene(), Fault.WIPE, "router-0", force=True)
    with pytest.raises(NotFoundError, match="no process storage-9"):
        chaos.check(scene(), Fault.KILL, "storage-9", force=True)
    assert chaos.check(scene(), Fault.KILL, "router-0", force=False).name == "router-0"


def test_who_is_back_is_counted_by_service_and_members_by_name() -> None:
    before = scene()
    others = {**before.processes, "router-9": Victim("router-9", "router", "2")}
    del others["router-0"]
    assert Scene(others, frozenset(), DISKS, None).has_all_of(before)
    del others["router-9"]
    assert not Scene(others, frozenset(), DISKS, None).has_all_of(before)
    renamed = {**before.processes, "storage-7": Victim("storage-7", "storage", "2")}
    del renamed["storage-2"]
    assert not Scene(renamed, frozenset(), DISKS, None).has_all_of(before)
    assert not scene(stopped=("storage-0",)).has_all_of(before)


async def test_without_a_keeper_nobody_is_hit(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make_folders()
    layout.write_processes([ProcessInfo("storage-0", "storage", os.getpid(), "", 0)])
    with pytest.raises(NotRunningError):
        await LocalVictims(layout).look()


async def test_who_is_paused_goes_on_also_when_the_pause_is_cut_short(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        victim = Victim("storage-0", "storage", str(process.pid))
        pausing = asyncio.create_task(LocalVictims(Layout(tmp_path)).pause(victim, 60))
        await asyncio.sleep(0)
        pausing.cancel()
        await asyncio.gather(pausing, return_exceptions=True)
        # Only who is not stopped takes this signal.
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == -signal.SIGTERM
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
