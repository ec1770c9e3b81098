"""What follows a refusal, silence and a broken stream: stamps, retry flags, outcomes (R26-R32)."""

from __future__ import annotations

import asyncio

from becket.adapters.dispatch.settings import DispatchSettings
from becket.adapters.rpc.errors import to_status
from becket.adapters.rpc.rings import version_from_proto, version_to_proto
from becket.api.v1 import key_value_pb2 as kv
from becket.core.errors import (
    BecketError,
    DiskFullError,
    InvalidInputError,
    NotAppliedError,
    OldNumberError,
    OutcomeUnknownError,
    OverloadedError,
    StaleStampError,
)
from becket.core.replication.versions import Version
from tests.unit.dispatch.fakes import (
    FakeCluster,
    FakeMember,
    eventually,
    get,
    increment,
    put,
    write_of,
)
from tests.unit.dispatch.rig import Rig, error_of, rig


def refuse(
    member: FakeMember,
    error: BecketError,
    times: int = 1000,
    seq: int = 0,
    then: BecketError | None = None,
) -> None:
    """Let a member refuse every operation with this error, so many batches long; then another."""
    left = [times]

    def script(self: FakeMember, request: kv.PipelineRequest) -> kv.PipelineResponse:
        if not left[0] and then is None:
            return self.execute(request)
        told = error if left[0] or then is None else then
        left[0] -= bool(left[0])
        answer = kv.PipelineResponse(batch_id=request.batch_id)
        for operation in request.operations:
            answer.results.add(status=to_status(told))
            if seq:
                partition = self.cluster.partition_of(operation)
                version = Version(self.cluster.epoch(partition), seq)
                answer.stamps.add(partition=partition, version=version_to_proto(version))
        return answer

    member.script = script


def sent(member: FakeMember) -> list[tuple[int, bool, int]]:
    """(number, retry, seq of the stamp) of every write that arrived."""
    return [
        (w.operation_id.number, w.retry, version_from_proto(w.operation_id.stamp).seq)
        for operation in member.operations
        if (w := write_of(operation)) is not None
    ]


async def test_wrong_member_with_a_hint_is_followed_at_once() -> None:
    async with rig() as r:
        old = r.cluster.member_of(b"k")
        partition = r.cluster.ring.partition_of(b"k")
        other = next(disk for disk in r.cluster.members if disk != old.disk)
        r.cluster.move(partition, other, tell=False)
        results = await r.run(put(b"k"), get(b"other"))
        assert results[0].put.version
        assert sent(old) == [(1, False, 0)]
        assert sent(r.cluster.members[other]) == [(1, False, 0)], "a refusal is a definite no"
        await r.run(get(b"k"))
        assert not any(o.get.key == b"k" for o in old.operations), "the hint is remembered"


async def test_r30_a_first_attempt_carries_the_newest_stamp() -> None:
    async with rig() as r:
        await r.run(put(b"k"))
        await r.run(put(b"k"))
        numbers = sent(r.cluster.member_of(b"k"))
        assert numbers[0] == (1, False, 0)
        assert numbers[1][2] >= 2


async def test_no_without_a_hint_is_tried_again_without_the_retry_flag() -> None:
    async with rig() as r:
        member = r.cluster.member_of(b"k")
        refuse(member, NotAppliedError("no coordinator"), times=2)
        task = r.start(put(b"k"))
        assert (await r.during(task))[0].put.version
        assert [each[:2] for each in sent(member)] == [(1, False)] * 3


async def test_r29_at_the_deadline_no_only_if_every_attempt_ended_so() -> None:
    async with rig() as r:
        member = r.cluster.member_of(b"k")
        refuse(member, NotAppliedError("no coordinator"))
        results = await r.during(r.start(put(b"k"), timeout_s=1))
        assert isinstance(error_of(results[0]), NotAppliedError)
        refuse(member, OutcomeUnknownError("sent"), 1, then=NotAppliedError("no coordinator"))
        results = await r.during(r.start(put(b"k"), timeout_s=1))
        assert sent(member)[-1][:2] == (2, True)
        assert isinstance(error_of(results[0]), OutcomeUnknownError)


async def test_r29_an_unknown_outcome_is_repeated_with_the_retry_flag_and_its_stamp() -> None:
    async with rig() as r:
        await r.run(put(b"k"))
        member = r.cluster.member_of(b"k")
        refuse(member, OutcomeUnknownError("sent"), times=1, seq=50)
        assert (await r.during(r.start(put(b"k"))))[0].put.version
        first, second = sent(member)[1:]
        assert first[:2] == (2, False)
        assert second[:2] == (2, True)
        assert second[2] == first[2], "the stamp belongs to the operation (R30)"


async def test_a_write_that_was_executed_and_not_answered_takes_effect_once() -> None:
    async with rig() as r:
        member = r.cluster.member_of(b"n")

        def script(self: FakeMember, request: kv.PipelineRequest) -> kv.PipelineResponse:
            self.execute(request)
            self.script = None
            answer = kv.PipelineResponse(batch_id=request.batch_id)
            answer.results.add(status=to_status(OutcomeUnknownError("stepped down")))
            return answer

        member.script = script
        results = await r.during(r.start(increment(b"n")))
        assert results[0].increment.value == 1
        assert r.cluster.store[b"n"][0] == b"1"


async def test_r30_a_fresh_write_refused_by_its_stamp_takes_a_new_one_at_once() -> None:
    async with rig() as r:
        member = r.cluster.member_of(b"k")
        refuse(member, StaleStampError("old"), times=1, seq=9)
        assert (await r.run(put(b"k")))[0].put.version
        assert sent(member) == [(1, False, 0), (1, False, 9)]


async def test_r30_a_retry_refused_by_its_stamp_ends_as_unknown() -> None:
    async with rig() as r:
        member = r.cluster.member_of(b"k")
        refuse(member, OutcomeUnknownError("sent"), 1, seq=9, then=StaleStampError("old"))
        results = await r.during(r.start(put(b"k")))
        assert isinstance(error_of(results[0]), OutcomeUnknownError)
        assert len(sent(member)) == 2


async def test_r27_an_old_number_ends_the_call() -> None:
    async with rig() as r:
        member = r.cluster.member_of(b"k")
        refuse(member, OldNumberError("later one executed"))
        assert isinstance(error_of((await r.run(put(b"k")))[0]), NotAppliedError)


async def test_silence_asks_the_others_and_goes_where_the_newest_epoch_says() -> None:
    async with rig() as r:
        old = r.cluster.member_of(b"k")
        old.hold()
        task = r.start(put(b"k"))
        await eventually(lambda: old.batches)
        partition = r.cluster.ring.partition_of(b"k")
        other = r.cluster.ring.configs[partition].old[1]
        r.cluster.move(partition, other, tell=False)
        r.clock.advance(350)
        await asyncio.sleep(0.01)
        assert not r.cluster.members[other].asked, "silence begins at the suspicion time"
        assert (await r.during(task))[0].put.version
        assert r.cluster.members[other].asked[0] == "Locate"
        assert "Locate" not in old.asked, "the silent one is not asked"
        assert sent(r.cluster.members[other]) == [(1, True, 0)]
        old.release()


async def test_r29_a_late_answer_counts_while_no_other_attempt_was_made() -> None:
    async with rig() as r:
        member = r.cluster.member_of(b"k")
        member.hold()
        task = r.start(put(b"k"))
        await eventually(lambda: member.batches)
        await r.passing(800)
        member.release()
        assert (await task)[0].put.version
        assert sent(member) == [(1, False, 0)], "nobody knew of another coordinator"


async def test_news_of_another_coordinator_ends_the_waiting_for_a_silent_one() -> None:
    async with rig() as r:
        old = r.cluster.member_of(b"k")
        old.hold()
        task = r.start(put(b"k"))
        await eventually(lambda: old.batches)
        partition = r.cluster.ring.partition_of(b"k")
        other = r.cluster.ring.configs[partition].old[1]
        r.cluster.move(partition, other, tell=False)
        r.learn_ring()
        await r.passing(90)
        assert (await task)[0].put.version
        assert sent(r.cluster.members[other]) == [(1, True, 0)]
        old.release()


async def test_a_broken_stream_is_no_answer_at_once() -> None:
    async with rig() as r:
        old = r.cluster.member_of(b"k")
        old.hold()
        task = r.start(put(b"k"), get(b"k2"))
        await eventually(lambda: old.batches)
        partition = r.cluster.ring.partition_of(b"k")
        other = r.cluster.ring.configs[partition].old[1]
        r.cluster.move(partition, other, tell=False)
        await old.stop()
        results = await r.during(task, 300)
        assert results[0].put.version
        assert sent(r.cluster.members[other]) == [(1, True, 0)]


async def test_what_never_left_this_process_is_a_definite_no() -> None:
    async with rig() as r:
        old = r.cluster.member_of(b"k")
        await old.stop()
        results = await r.during(r.start(put(b"k"), timeout_s=0.5))
        assert isinstance(error_of(results[0]), NotAppliedError)


async def test_a_stream_that_ends_in_order_is_opened_again() -> None:
    async with rig() as r:
        await r.run(put(b"k"))
        member = r.cluster.member_of(b"k")
        member.end_streams()
        await eventually(lambda: member.streams == 1)
        assert (await r.during(r.start(put(b"k"))))[0].put.version
        assert member.streams == 2


async def test_a_member_that_comes_back_is_found_again() -> None:
    async with rig() as r:
        member = r.cluster.member_of(b"k")
        await r.run(put(b"k"))
        await member.stop()
        task = r.start(put(b"k"), timeout_s=60)
        await r.passing(200)
        assert not task.done()
        await member.start()
        async with asyncio.timeout(10):
            while not task.done():
                r.clock.advance(10)
                await asyncio.sleep(0.01)
        assert task.result()[0].put.version


async def test_overload_is_told_to_the_caller_when_the_budget_is_spent() -> None:
    settings = DispatchSettings(budget_most=2, budget_floor=0.001)
    async with rig(1, settings) as r:
        member = r.cluster.members["disk-0"]
        refuse(member, OverloadedError("full", after_ms=20))
        results = await r.during(r.start(put(b"k")), 500)
        assert isinstance(error_of(results[0]), OverloadedError)
        assert len(sent(member)) == 3
        results = await r.during(r.start(get(b"k")), 500)
        assert isinstance(error_of(results[0]), OverloadedError)


async def test_a_full_disk_is_told_at_once() -> None:
    async with rig() as r:
        refuse(r.cluster.member_of(b"k"), DiskFullError("full"))
        assert isinstance(error_of((await r.run(put(b"k")))[0]), DiskFullError)


async def test_a_batch_refused_because_of_one_operation_does_not_fail_the_others() -> None:
    async with rig(1) as r:

        def script(self: FakeMember, request: kv.PipelineRequest) -> kv.PipelineResponse:
            for place, operation in enumerate(request.operations):
                if operation.put.value == b"bad":
                    error = InvalidInputError(f"operations[{place}].put.value", "is bad")
                    return kv.PipelineResponse(batch_id=request.batch_id, status=to_status(error))
            return self.execute(request)

        r.cluster.members["disk-0"].script = script
        tasks = [r.start(put(b"k%d" % i)) for i in range(5)]
        tasks += [r.start(put(b"bad", b"bad")), r.start(get(b"k1"))]
        results = [(await r.during(task))[0] for task in tasks]
        assert all(result.put.version for result in results[:5])
        assert isinstance(error_of(results[5]), InvalidInputError)


async def test_a_part_that_is_joined_and_refused_does_not_fail_the_others() -> None:
    async with rig(1) as r:
        member = r.cluster.members["disk-0"]

        def script(self: FakeMember, request: kv.PipelineRequest) -> kv.PipelineResponse:
            for operation in request.operations:
                if operation.put.value == b"bad":
                    error = InvalidInputError("operations[0].put.value", "is bad")
                    return kv.PipelineResponse(batch_id=request.batch_id, status=to_status(error))
            return self.execute(request)

        member.script = script
        member.hold()
        tasks = [r.start(put(b"k", b"0"))]
        await eventually(lambda: member.batches)
        tasks += [r.start(put(b"k", value)) for value in (b"1", b"bad", b"2")]
        await eventually(lambda: r.dispatcher.pending == 4)
        member.release()
        results = [(await r.during(task))[0] for task in tasks]
        assert [result.HasField("status") for result in results] == [False, False, True, False]
        assert r.cluster.store[b"k"][0] == b"2"


async def test_one_caller_s_deadline_leaves_the_others_of_a_call_alone() -> None:
    async with rig(1) as r:
        member = r.cluster.members["disk-0"]
        member.hold()
        first = r.start(increment(b"n"))
        await eventually(lambda: member.batches)
        short, long = r.start(increment(b"n"), timeout_s=0.2), r.start(increment(b"n"))
        results = await r.during(short, 400)
        assert isinstance(error_of(results[0]), NotAppliedError), "it was never sent"
        member.release()
        assert (await first)[0].increment.value == 1
        assert (await long)[0].increment.value == 2


async def budget_spent(r: Rig) -> int:
    """How many attempts a dead cluster sees within a second."""
    before = sum(len(m.batches) for m in r.cluster.members.values())
    tasks = [r.start(put(b"key%d" % i), timeout_s=1) for i in range(300)]
    for task in tasks:
        await r.during(task)
    return sum(len(m.operations) for m in r.cluster.members.values()) - before


async def test_a_sick_cluster_is_not_stormed() -> None:
    async with rig(settings=DispatchSettings(budget_most=30)) as r:
        for member in r.cluster.members.values():
            refuse(member, NotAppliedError("no quorum"))
        assert await budget_spent(r) <= 300 + 30 + 30 + 25


async def test_what_never_left_this_process_needs_no_budget_when_its_member_is_back() -> None:
    settings = DispatchSettings(budget_most=1, budget_floor=0.001, budget_share=0.001)
    async with rig(1, settings) as r:
        member = r.cluster.members["disk-0"]
        await member.stop()
        tasks = [r.start(put(b"key%d" % i), timeout_s=30) for i in range(20)]
        await r.passing(3000)
        assert not any(task.done() for task in tasks)
        await member.start()
        async with asyncio.timeout(10):
            while not all(task.done() for task in tasks):
                r.clock.advance(10)
                await asyncio.sleep(0.01)
        assert all(task.result()[0].put.version for task in tasks)


async def test_past_its_blind_attempts_a_call_goes_on_slowly() -> None:
    settings = DispatchSettings(blind_attempts=2)
    async with rig(1, settings) as r:
        member = r.cluster.members["disk-0"]
        refuse(member, NotAppliedError("not yet"))
        task = r.start(put(b"k"), timeout_s=10)
        await r.passing(2000)
        member.script = None
        assert (await r.during(task, 1000))[0].put.version
        assert 5 <= len(sent(member)) <= 9


async def test_a_detour_by_a_router_is_not_made_before_a_coordinator_could_be_replaced() -> None:
    async with FakeCluster(1) as front, rig(1) as r:
        router = front.members["disk-0"]
        router.script = lambda _, request: kv.PipelineResponse(
            batch_id=request.batch_id, results=[kv.Result(put=kv.PutResponse())]
        )
        r.dispatcher.fall_back_to(router.address)
        await r.run(put(b"k"))
        await r.cluster.members["disk-0"].stop()
        task = r.start(put(b"k"), timeout_s=10)
        await r.passing(1000)
        assert not router.batches
        await r.during(task, 2000)
        assert len(router.batches) == 1
