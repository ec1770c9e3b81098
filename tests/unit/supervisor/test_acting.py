"""The writer of the ring object over a store that refuses, loses replies and is away."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest

from becket.adapters.local.memory import MemoryTopology
from becket.core.errors import RetryLaterError
from becket.core.plans.wishes import Begin, Install, SetWishes
from becket.core.ring.encoding import encode
from becket.core.ring.members import MemberCount
from becket.core.ring.ring import Ring
from becket.ports.topology import ObjectVersion, TopologyObject, TopologyUnavailableError
from becket.supervisor import acting
from becket.supervisor.acting import RingWriter
from tests.unit.core.ring.rings import turning_ring

RING = turning_ring()
BEGIN = Begin(0, 1, ("disk-1", "disk-2", "disk-4"))
COUNT = SetWishes(member_count=MemberCount(7, 5))

Fault = Literal["", "away", "lost after", "lost before", "raced"]


class FaultyTopology(MemoryTopology):
    """Does to its next calls what ``reads`` and ``writes`` say."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: deque[Fault] = deque()
        self.writes: deque[Fault] = deque()

    async def read(self) -> TopologyObject | None:
        if self.reads and self.reads.popleft():
            raise TopologyUnavailableError("the store is away")
        return await super().read()

    async def compare_and_swap(self, expected: ObjectVersion | None, ring: Ring) -> bool:
        fault = self.writes.popleft() if self.writes else ""
        if fault == "raced":
            other = SetWishes(leader_term=9).apply(RING).succeeding(RING)
            assert await super().compare_and_swap(expected, other)
        if fault != "lost before":
            done = await super().compare_and_swap(expected, ring)
            if not fault or fault == "raced":
                return done
        raise TopologyUnavailableError("the answer was lost")


@asynccontextmanager
async def writing(topology: MemoryTopology) -> AsyncIterator[RingWriter]:
    writer = RingWriter(topology, changed=lambda: None)
    task = asyncio.create_task(writer.run())
    try:
        async with asyncio.timeout(20):
            yield writer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "PAUSE_S", 0.001)


@pytest.fixture
async def topology() -> FaultyTopology:
    made = FaultyTopology()
    await made.compare_and_swap(None, RING)
    return made


async def content(topology: MemoryTopology) -> Ring:
    found = await MemoryTopology.read(topology)
    assert found is not None
    return found.ring


async def test_wishes_that_fit_are_written_in_one_go(topology: FaultyTopology) -> None:
    stale = Begin(1, 7, BEGIN.new)
    async with writing(topology) as writer:
        granted = await writer.grant([BEGIN, stale, COUNT])
    assert granted.applied == [BEGIN, COUNT]
    assert [each.wish for each in granted.dropped] == [stale]
    assert (await content(topology)).version == RING.version + 1
    assert writer.confirmed == writer.found == await content(topology)
    assert writer.encoded == encode(await content(topology))


async def test_wishes_of_several_callers_are_told_apart(topology: FaultyTopology) -> None:
    async with writing(topology) as writer:
        first, second = await asyncio.gather(writer.grant([BEGIN]), writer.grant([COUNT]))
    assert (first.applied, second.applied) == ([BEGIN], [COUNT])


@pytest.mark.parametrize("fault", ["lost after", "lost before", "raced"])
async def test_a_write_without_an_answer_is_settled_by_the_next_read(
    topology: FaultyTopology, fault: Fault
) -> None:
    topology.writes.append(fault)
    async with writing(topology) as writer:
        granted = await writer.grant([BEGIN])
    ring = await content(topology)
    assert granted.applied == [BEGIN]
    assert ring.configs[0].is_joint
    assert ring.version == RING.version + (2 if fault == "raced" else 1)
    assert writer.confirmed == ring


async def test_a_store_that_is_away_is_told_and_waited_for(topology: FaultyTopology) -> None:
    topology.reads.extend(["away"] * 3)
    problems = []
    writer = RingWriter(topology, changed=lambda: problems.append(writer.problem))
    task = asyncio.create_task(writer.run())
    granted = await writer.grant([BEGIN])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert granted.applied == [BEGIN]
    assert problems[0] == "the store is away"
    assert writer.problem == ""


async def test_nothing_is_changed_while_a_newer_ring_is_known(topology: FaultyTopology) -> None:
    async with writing(topology) as writer:
        writer.note_seen(RING.version + 5)
        with pytest.raises(RetryLaterError, match="has to be restored first"):
            await writer.grant([COUNT])
        assert await content(topology) == RING
        newer = BEGIN.apply(RING)
        newer = Ring(RING.version + 5, newer.cluster, 3, newer.members, newer.configs)
        granted = await writer.grant([Install(newer, RING.version)])
        assert granted.applied == [Install(newer, RING.version)]
        # What was wished for before is done now, on the ring that was restored.
        await writer.grant([BEGIN])
    assert (await content(topology)).member_count == MemberCount(7, 5)


async def test_a_caller_that_gave_up_takes_nobody_with_it(topology: FaultyTopology) -> None:
    topology.reads.extend(["away"] * 2)
    async with writing(topology) as writer:
        given_up = asyncio.create_task(writer.grant([BEGIN]))
        await asyncio.sleep(0)
        given_up.cancel()
        granted = await writer.grant([COUNT])
    assert granted.applied == [COUNT]


@asynccontextmanager
async def permitted(topology: MemoryTopology, may: list[bool]) -> AsyncIterator[RingWriter]:
    """A writer that asks ``may[0]``."""
    writer = RingWriter(topology, changed=lambda: None, may_write=lambda: may[0])
    task = asyncio.create_task(writer.run())
    try:
        async with asyncio.timeout(20):
            yield writer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_who_may_not_write_reads_and_is_told(topology: FaultyTopology) -> None:
    async with permitted(topology, [False]) as writer:
        with pytest.raises(RetryLaterError, match="does not lead"):
            await writer.grant([BEGIN])
        await writer.grant([])
        assert writer.confirmed == RING
    assert await content(topology) == RING


async def test_a_lead_lost_while_the_store_is_away_leaves_no_wish_behind(
    topology: FaultyTopology,
) -> None:
    topology.reads.extend(["away"] * 5)
    may = [True]
    async with permitted(topology, may) as writer:
        granting = asyncio.create_task(writer.grant([BEGIN]))
        while not writer.problem:  # noqa: ASYNC110 - the problem has no event
            await asyncio.sleep(0)
        may[0] = False
        with pytest.raises(RetryLaterError, match="does not lead"):
            await granting
        may[0] = True
        granted = await writer.grant([COUNT])
        assert granted.applied == [COUNT]
    ring = await content(topology)
    assert not ring.configs[0].is_joint, "what was wished for before is forgotten"
    assert ring.member_count == MemberCount(7, 5)
