"""How pods are seen and hurt, with a release that only remembers what was asked of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from becket.cli import releases
from becket.cli.chaos import Fault, objections
from becket.cli.chaos_pods import _PROGRAM, PodVictims
from becket.cli.exits import Exit, NotRunningError, UsageError
from becket.cli.releases import CRASH_LOOP, Place, Pod, RefusedError
from becket.core.ring.config import first_config
from becket.core.ring.members import Member, MemberState
from becket.core.ring.ring import Ring
from tests.unit.cli.conftest import Run

MEMBERS = tuple(Member(disk, f"b-storage-{n}") for n, disk in enumerate("abc"))
RING = Ring(1, "c", 3, MEMBERS, (first_config(("a", "b", "c")),))


def pod(name: str, component: str = "storage", **changes: Any) -> Pod:  # noqa: ANN401
    whole = Pod(
        name=name,
        uid=f"uid-{name}",
        component=component,
        address="10.0.0.1:7400",
        container=component,
        container_id=f"container-{name}",
        is_ready=True,
        is_going=False,
        waits_for="",
        shares_processes=True,
    )
    return whole._replace(**changes)


class FakeRelease:
    """In place of a release on Kubernetes."""

    name, namespace = "b", "here"

    def __init__(self) -> None:
        self.listed = [pod(member.name) for member in MEMBERS] + [pod("b-router-x1", "router")]
        self.found: Ring | None = RING
        self.ran: list[tuple[str, Sequence[str]]] = []
        self.deleted: list[tuple[str, int | None]] = []
        self.answer = "becket-process 7\n"

    async def pods(self) -> list[Pod]:
        return self.listed

    async def ring(self) -> Ring | None:
        return self.found

    async def run(self, pod: Pod, command: Sequence[str]) -> str:
        self.ran.append((pod.name, command))
        return self.answer

    async def delete(self, pod: Pod, *, grace_s: int | None = None) -> None:
        self.deleted.append((pod.name, grace_s))


@pytest.fixture
def release() -> FakeRelease:
    return FakeRelease()


@pytest.fixture
def victims(release: FakeRelease) -> PodVictims:
    return PodVictims(release)  # type: ignore[arg-type]  # what it has is enough


async def test_a_member_has_the_disk_that_the_ring_has_under_its_name(
    victims: PodVictims, release: FakeRelease
) -> None:
    assert release.found is not None
    gone = Member("old", "b-storage-0", state=MemberState.GONE)
    release.found = Ring(2, "c", 3, (gone, *MEMBERS), release.found.configs)
    scene = await victims.look()
    assert scene.members == ["b-storage-0", "b-storage-1", "b-storage-2"]
    assert scene.disks == {"b-storage-0": "a", "b-storage-1": "b", "b-storage-2": "c"}
    assert scene.is_whole
    assert objections(scene, Fault.DELETE, "b-storage-1") == []


@pytest.mark.parametrize(
    "change", [{"container_id": ""}, {"is_going": True}, {"is_ready": False}], ids=str
)
async def test_who_does_not_serve_counts_as_away(
    victims: PodVictims, release: FakeRelease, change: dict[str, Any]
) -> None:
    before = await victims.look()
    release.listed[0] = release.listed[0]._replace(**change)
    scene = await victims.look()
    assert "no majority is left" in objections(scene, Fault.KILL, "b-storage-1")[0]
    assert not scene.has_all_of(before)


async def test_no_pods_is_no_cluster(victims: PodVictims, release: FakeRelease) -> None:
    release.listed = []
    with pytest.raises(NotRunningError, match="release b has no pods in namespace here"):
        await victims.look()


async def test_each_fault_reaches_the_pod_in_its_own_way(
    victims: PodVictims, release: FakeRelease
) -> None:
    scene = await victims.look()
    one = scene.processes["b-storage-1"]
    await victims.strike(Fault.KILL, [one])
    ((name, command),) = release.ran
    assert (name, command[3:]) == ("b-storage-1", ("storage", str(int(signal.SIGKILL)), "0.0"))
    await victims.strike(Fault.DELETE, [one])
    await victims.strike(Fault.FORCE, [one])
    assert release.deleted == [("b-storage-1", None), ("b-storage-1", 0)]
    with pytest.raises(UsageError, match="not done to pods"):
        await victims.strike(Fault.WIPE, [one])


async def test_a_pause_goes_on_from_within_the_pod_and_is_ended_from_here_too(
    victims: PodVictims, release: FakeRelease
) -> None:
    scene = await victims.look()
    pausing = asyncio.create_task(victims.pause(scene.processes["b-storage-1"], 60))
    while not release.ran:  # noqa: ASYNC110 - the fake answers in the same turn
        await asyncio.sleep(0)
    pausing.cancel()
    await asyncio.gather(pausing, return_exceptions=True)
    assert [command[4:] for _, command in release.ran] == [
        (str(int(signal.SIGSTOP)), "60"),
        (str(int(signal.SIGCONT)), "0.0"),
    ]


async def test_what_stands_in_the_way_of_a_signal_is_told(
    victims: PodVictims, release: FakeRelease
) -> None:
    scene = await victims.look()
    release.answer = "PermissionError: no\n"
    with pytest.raises(RefusedError, match="was not sent SIGKILL: PermissionError: no"):
        await victims.strike(Fault.KILL, [scene.processes["b-storage-0"]])
    release.listed[0] = release.listed[0]._replace(shares_processes=False)
    await victims.look()
    with pytest.raises(UsageError, match=r"chaos\.enabled=true"):
        await victims.strike(Fault.KILL, [scene.processes["b-storage-0"]])


async def test_a_pod_that_is_kept_waiting_is_replaced(
    victims: PodVictims, release: FakeRelease
) -> None:
    before = await victims.look()
    hit = [before.processes["b-storage-0"]]
    assert not await victims.are_back(hit, before)
    kept = release.listed[0]._replace(container_id="", is_ready=False, waits_for=CRASH_LOOP)
    release.listed[0] = kept
    await victims.are_back(hit, await victims.look())
    assert release.deleted == [("b-storage-0", 0)]
    release.listed[0] = pod("b-storage-0", uid="new", container_id="new")
    assert await victims.are_back(hit, await victims.look())


def test_the_program_finds_the_process_by_its_module() -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)", "-m", "becket.sleeper"]
    process = subprocess.Popen(sleeper)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, "sleeper", str(int(signal.SIGKILL)), "0"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == f"becket-process {process.pid}\n"
        assert process.wait(10) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()


def test_the_program_lets_go_on_whom_it_stopped() -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)", "-m", "becket.sleeper2"]
    process = subprocess.Popen(sleeper)
    try:
        line = [sys.executable, "-c", _PROGRAM, "sleeper2", str(int(signal.SIGSTOP)), "0.2"]
        subprocess.run(line, check=True, capture_output=True)
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        assert os.WIFCONTINUED(os.waitpid(process.pid, os.WCONTINUED)[1])
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch, release: FakeRelease) -> list[Place]:
    """The fake behind the commands; the places that they opened."""
    opened: list[Place] = []

    class Opened:
        def __init__(self, place: Place) -> None:
            opened.append(place)

        async def __aenter__(self) -> FakeRelease:
            return release

        async def __aexit__(self, *_: object) -> None:
            return

    monkeypatch.setattr(releases, "open_release", Opened)
    return opened


def test_the_commands_hurt_pods(run: Run, release: FakeRelease, placed: list[Place]) -> None:
    result = run("chaos", "kill", "b-storage-2", "--kubernetes", "-n", "here", "--release", "b")
    assert result.stdout == "b-storage-2 was killed; Kubernetes starts it again\n"
    assert placed == [Place("b", "here", "")]
    result = run("chaos", "delete", "b-storage-2", "--force", "--release", "b")
    assert "no grace time" in result.stdout
    result = run("chaos", "delete", "--random", "--seed", "1", "--release", "b")
    assert result.exit_code == Exit.DONE
    assert [grace for _, grace in release.deleted] == [0, None]


def test_a_majority_is_not_taken_away_unless_forced(
    run: Run, release: FakeRelease, placed: list[Place]
) -> None:
    release.listed[0] = release.listed[0]._replace(is_ready=False)
    result = run("chaos", "delete", "b-storage-1", "--force")
    assert result.exit_code == Exit.NOT_DONE
    assert "no majority is left" in result.stderr
    assert release.deleted == []
    assert run("chaos", "delete", "b-storage-1", "--force-majority").exit_code == Exit.DONE
    release.found = None
    result = run("chaos", "kill", "b-storage-1", "--kubernetes")
    assert "there is no ring" in result.stderr
    assert placed
