"""Reads: hedges, relaxed reads, and what follows when nobody answers."""

from __future__ import annotations

import asyncio

from becket.adapters.dispatch.settings import DispatchSettings
from becket.api.v1 import key_value_pb2 as kv
from becket.core.errors import NotAppliedError
from tests.unit.dispatch.fakes import FakeMember, eventually, get, put
from tests.unit.dispatch.rig import Rig, error_of, rig

ANY = kv.CONSISTENCY_ANY


def answer_only_second(member: FakeMember) -> None:
    """Leave the first batch unanswered."""
    seen = [0]

    def script(self: FakeMember, request: kv.PipelineRequest) -> kv.PipelineResponse | None:
        seen[0] += 1
        return None if seen[0] == 1 else self.execute(request)

    member.script = script


async def test_a_slow_read_is_tried_a_second_time() -> None:
    async with rig() as r:
        member = r.cluster.member_of(b"k")
        answer_only_second(member)
        task = r.start(get(b"k"))
        await eventually(lambda: member.batches)
        r.clock.advance(40)
        await asyncio.sleep(0.01)
        assert len(member.batches) == 1
        assert not (await r.during(task, 100))[0].get.HasField("entry")
        assert len(member.batches) == 2
        assert r.dispatcher.counts.hedges == 1


async def test_a_lone_read_goes_the_way_of_a_list_of_one() -> None:
    async with rig(know=False) as r:
        early = asyncio.create_task(r.dispatcher.read(b"k", get(b"k"), 5_000_000))
        await asyncio.sleep(0)
        r.learn_ring()
        # The first one waited for the ring.
        assert not (await r.during(early)).get.HasField("entry")
        await r.run(put(b"k", b"v"))
        found = await r.dispatcher.read(b"k", get(b"k"))
        assert found == (await r.run(get(b"k")))[0]
        assert found.get.entry.value == b"v"
        assert r.dispatcher.counts.calls == 4
        assert r.dispatcher.pending == 0


async def test_a_lone_read_that_nobody_answers_was_not_applied() -> None:
    async with rig() as r:
        for member in r.cluster.members.values():
            member.hold()
        read = asyncio.create_task(r.dispatcher.read(b"k", get(b"k"), 1_000_000))
        assert isinstance(error_of(await r.during(read)), NotAppliedError)
        left = asyncio.create_task(r.dispatcher.read(b"k", get(b"k")))
        await asyncio.sleep(0)
        assert r.dispatcher.pending == 1
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        assert r.dispatcher.pending == 0
        for member in r.cluster.members.values():
            member.release()


async def test_hedges_have_a_budget() -> None:
    async with rig(settings=DispatchSettings(budget_most=1, budget_floor=0.001)) as r:
        member = r.cluster.members["disk-0"]
        answer_only_second(member)
        keys = r.cluster.keys("disk-0", 3)
        tasks = [r.start(get(key), timeout_s=0.3) for key in keys]
        await eventually(lambda: member.batches)
        await asyncio.gather(*(r.during(task) for task in tasks))
        assert r.dispatcher.counts.hedges <= 1


async def test_a_read_of_a_silent_member_goes_to_its_successor() -> None:
    async with rig() as r:
        old = r.cluster.member_of(b"k")
        old.hold()
        task = r.start(get(b"k"))
        await eventually(lambda: old.batches)
        partition = r.cluster.ring.partition_of(b"k")
        r.cluster.move(partition, r.cluster.ring.configs[partition].old[1], tell=False)
        assert not (await r.during(task, 1000))[0].HasField("status")
        old.release()


async def test_a_read_that_nobody_answers_was_not_applied() -> None:
    async with rig() as r:
        for member in r.cluster.members.values():
            member.hold()
        results = await r.during(r.start(get(b"k"), get(b"j"), timeout_s=1))
        assert [type(error_of(result)) for result in results] == [NotAppliedError] * 2
        for member in r.cluster.members.values():
            member.release()


async def test_reads_of_a_broken_stream_go_on_by_partition() -> None:
    async with rig() as r:
        old = r.cluster.members["disk-0"]
        keys = r.cluster.keys("disk-0", 10)
        old.hold()
        task = r.start(*(get(key) for key in keys))
        await eventually(lambda: old.batches)
        for partition, disk in list(r.cluster.coordinators.items()):
            if disk == "disk-0":
                target = r.cluster.ring.configs[partition].old[1]
                r.cluster.move(partition, target, tell=False)
        await old.stop()
        results = await r.during(task, 500)
        assert not any(result.HasField("status") for result in results)


async def test_relaxed_reads_are_spread_over_replicas() -> None:
    async with rig() as r:
        for _ in range(30):
            await r.run(get(b"k", ANY))
            r.clock.advance(500)
        assert all(member.batches for member in r.cluster.members.values())


async def test_a_relaxed_read_avoids_a_busy_replica() -> None:
    async with rig() as r:
        busy = r.cluster.members["disk-0"]
        busy.hold()
        stuck = [r.start(put(key)) for key in r.cluster.keys("disk-0", 20)]
        await eventually(lambda: busy.batches)
        for _ in range(30):
            await r.run(get(b"k", ANY))
        assert not any(operation.HasField("get") for operation in busy.operations)
        busy.release()
        await asyncio.gather(*stuck)


async def refused_everywhere_but(r: Rig, chosen: str) -> None:
    """Let every other member refuse relaxed reads."""

    def script(self: FakeMember, request: kv.PipelineRequest) -> kv.PipelineResponse:
        answer = kv.PipelineResponse(batch_id=request.batch_id)
        for operation in request.operations:
            partition = self.cluster.partition_of(operation)
            answer.results.append(self.cluster.wrong_member(partition, hint=False))
        return answer

    for disk, member in r.cluster.members.items():
        if disk != chosen:
            member.script = script


async def test_a_relaxed_read_goes_on_to_the_next_replica_and_at_last_to_the_coordinator() -> None:
    async with rig() as r:
        for disk in r.cluster.members:
            for member in r.cluster.members.values():
                member.script = None
            await refused_everywhere_but(r, disk)
            assert not (await r.run(get(b"k", ANY)))[0].HasField("status")


async def test_a_relaxed_read_among_writes_of_its_key_is_linearizable() -> None:
    async with rig() as r:
        results = await r.run(put(b"k", b"1"), get(b"k", ANY))
        assert results[1].get.entry.value == b"1"
        arrived = r.cluster.member_of(b"k").operations[1].get
        assert arrived.consistency == kv.CONSISTENCY_UNSPECIFIED
