"""A member adopts what is newer, keeps it as it is, and belongs to one cluster for ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from becket.adapters import clocks
from becket.adapters.engines.cells import EngineCells
from becket.adapters.engines.memory import MemoryEngine
from becket.adapters.rpc.ring_view import RingView
from becket.core.errors import EncodingError, WrongClusterError
from becket.core.placement.result import Constraints
from becket.core.plans.recovery import first_ring
from becket.core.replication.member import Member
from becket.core.replication.settings import Settings
from becket.core.replication.versions import Identity
from becket.core.ring.config import Config
from becket.core.ring.encoding import encode
from becket.core.ring.members import Member as RingMember
from becket.core.ring.ring import Ring
from becket.storage.commits import Commits
from becket.storage.hellos import Hellos
from becket.storage.ring_keeper import RingKeeper
from becket.storage.shell import Shell

OWN = Identity("d0", 1)


def ring(cluster: str = "c") -> Ring:
    return first_ring(cluster, [RingMember(f"d{i}", f"m{i}") for i in range(3)], 4, Constraints(3))


class Stage:
    """A keeper on an engine in memory."""

    def __init__(self) -> None:
        self.engine = MemoryEngine()
        self.cells = EngineCells(self.engine)
        self.commits = Commits(self.engine, print, durable=False)
        member = Member(
            Settings(), OWN, (self.cells, self.cells.recovered()), clocks.monotonic_us()
        )
        self.shell = Shell(member, self.cells, self.commits)
        self.keeper = RingKeeper(RingView(), self.shell, Hellos(OWN))
        self.adopted: list[int] = []
        self.keeper.on_ring = lambda found: self.adopted.append(found.version)


@pytest.fixture
def stage() -> Iterator[Stage]:
    found = Stage()
    yield found
    found.commits.close()


async def test_a_newer_ring_is_kept_byte_for_byte(stage: Stage) -> None:
    first = encode(ring())
    stage.keeper.offer("c", first)
    assert stage.cells.ring() == first == stage.keeper.encoded
    second = ring().succeeding(ring())
    stage.keeper.offer("c", encode(second))
    stage.keeper.offer("c", first)
    assert stage.keeper.version == 2
    assert stage.cells.ring() == encode(second)
    assert stage.adopted == [1, 2]


async def test_the_core_is_given_its_partitions(stage: Stage) -> None:
    stage.keeper.offer("c", encode(ring()))
    assert set(stage.shell.member.replica.parts) == {0, 1, 2, 3}


@pytest.mark.parametrize(("told", "cluster"), [("c", "other"), ("other", "other"), ("other", "c")])
async def test_a_ring_of_another_cluster_is_refused(stage: Stage, told: str, cluster: str) -> None:
    stage.keeper.offer("c", encode(ring()))
    with pytest.raises(WrongClusterError):
        stage.keeper.offer(told, encode(ring(cluster).succeeding(ring(cluster))))
    assert stage.keeper.version == 1


async def test_bytes_that_are_no_ring_change_nothing(stage: Stage) -> None:
    for damaged in (b"", b"garbage", encode(ring())[:-1]):
        with pytest.raises(EncodingError):
            stage.keeper.offer("c", damaged)
    assert stage.keeper.version == 0
    assert stage.cells.ring() == b""


async def test_configs_ahead_of_their_ring_reach_the_core(stage: Stage) -> None:
    found = ring()
    stage.keeper.offer("c", encode(found))
    config: Config = found.configs[1].begin((*found.configs[1].old[:2], "d9"))
    stage.keeper.offer_configs("c", [(1, config), (99, config)])
    assert stage.keeper.version == 1
    with pytest.raises(WrongClusterError):
        stage.keeper.offer_configs("other", [(1, config)])


async def test_what_the_volume_holds_is_taken_up(stage: Stage, tmp_path: Path) -> None:
    del tmp_path
    encoded = encode(ring())
    stage.keeper.restore(b"")
    assert stage.keeper.version == 0
    stage.keeper.restore(encoded)
    assert stage.keeper.version == 1
