"""Lists in, results out: order, joining, one open call a key."""

from __future__ import annotations

import asyncio

import pytest

from becket.adapters.dispatch.settings import DispatchSettings
from becket.api.v1 import key_value_pb2 as kv
from becket.core.errors import (
    ConditionFailedError,
    NotAppliedError,
    OutcomeUnknownError,
    OverloadedError,
)
from tests.unit.dispatch.fakes import FakeMember, eventually, get, increment, put, write_of
from tests.unit.dispatch.rig import S, error_of, rig


async def test_results_come_in_the_order_of_the_list() -> None:
    async with rig() as r:
        keys = [b"key%d" % i for i in range(50)]
        results = await r.run(*(put(key, key) for key in keys))
        assert all(result.put.version for result in results)
        results = await r.run(*(get(key) for key in reversed(keys)))
        assert [result.get.entry.value for result in results] == list(reversed(keys))
        assert not (await r.run(get(b"absent")))[0].get.HasField("entry")


async def test_r14a_operations_on_one_key_run_in_the_order_of_the_list() -> None:
    async with rig() as r:
        results = await r.run(
            get(b"n"), increment(b"n"), get(b"n"), put(b"n", b"7"), increment(b"n")
        )
        assert not results[0].get.HasField("entry")
        assert results[1].increment.value == 1
        assert results[2].get.entry.value == b"1"
        assert results[4].increment.value == 8
        numbers = {w.operation_id.number for o in r.cluster.executed if (w := write_of(o))}
        assert len(numbers) == 1


async def test_what_is_asked_in_one_turn_goes_out_as_one_batch_a_member() -> None:
    async with rig() as r:
        await asyncio.gather(*(r.run(get(b"key%d" % i)) for i in range(60)))
        assert [len(member.batches) for member in r.cluster.members.values()] == [1, 1, 1]


async def test_r26_one_open_call_a_key_and_later_writes_are_joined() -> None:
    async with rig() as r:
        member = r.cluster.member_of(b"n")
        member.hold()
        tasks = [r.start(increment(b"n"))]
        await eventually(lambda: member.batches)
        tasks += [r.start(increment(b"n")) for _ in range(70)]
        await eventually(lambda: r.dispatcher.pending == 71)
        assert len(member.operations) == 1, "the key has an open call"
        member.release()
        results = [(await task)[0].increment.value for task in tasks]
        assert results == list(range(1, 72))
        assert [len(batch.operations) for batch in member.batches] == [1, 64, 6]
        ids = [w.operation_id for o in member.operations if (w := write_of(o))]
        assert sorted({each.number for each in ids}) == [1, 2, 3]
        assert {each.session_id for each in ids} == {"me"}


async def test_reads_need_no_session_and_do_not_wait_for_the_open_call() -> None:
    async with rig() as r:
        member = r.cluster.member_of(b"n")
        member.hold()
        write = r.start(increment(b"n"))
        await eventually(lambda: member.batches)
        read = r.start(get(b"n"))
        await eventually(lambda: len(member.operations) == 2)
        member.release()
        await asyncio.gather(read, write)


async def test_within_a_batch_a_key_belongs_to_one_call() -> None:
    """The member executes the operations of one key in one batch as one: they must be of one."""
    async with rig() as r:
        member = r.cluster.member_of(b"k")
        await asyncio.gather(
            r.run(put(b"k", b"1")),
            r.run(get(b"k")),
            r.run(get(b"k")),
            r.run(put(b"k", b"2", request_id="a")),
            r.run(put(b"k", b"3", request_id="b")),
        )
        for batch in member.batches:
            writes = [write for operation in batch.operations if (write := write_of(operation))]
            assert len(writes) + any(o.HasField("get") for o in batch.operations) == 1


async def test_a_failed_condition_is_an_answer() -> None:
    async with rig() as r:
        version = (await r.run(put(b"k")))[0].put.version
        again = put(b"k")
        again.put.if_absent = True
        error = error_of((await r.run(again))[0])
        assert isinstance(error, ConditionFailedError)
        assert error.version == version


async def test_without_a_ring_operations_wait_for_one() -> None:
    async with rig(know=False) as r:
        task = r.start(put(b"k"))
        await asyncio.sleep(0)
        r.learn_ring()
        assert (await task)[0].put.version


async def test_without_a_ring_the_deadline_ends_them_as_not_applied() -> None:
    async with rig(know=False) as r:
        task = r.start(put(b"k"), get(b"j"), timeout_s=0.3)
        results = await r.during(task)
        assert [type(error_of(result)) for result in results] == [NotAppliedError] * 2


async def test_too_much_under_way_is_refused_at_once() -> None:
    async with rig(settings=DispatchSettings(pending_operations=3)) as r:
        with pytest.raises(OverloadedError):
            await r.run(*(get(b"k%d" % i) for i in range(4)))
        await r.run(get(b"k"))


async def test_a_full_lane_refuses_and_nothing_was_applied() -> None:
    settings = DispatchSettings(batch_operations=2, queue_operations=4, window=1)
    async with rig(1, settings) as r:
        member = r.cluster.members["disk-0"]
        member.hold()
        first = r.start(put(b"a"), timeout_s=1)
        await eventually(lambda: member.batches)
        tasks = [r.start(put(b"k%d" % i), timeout_s=1) for i in range(6)]
        await eventually(lambda: sum(task.done() for task in tasks) == 2)
        refused = [error_of(task.result()[0]) for task in tasks if task.done()]
        assert [type(error) for error in refused] == [OverloadedError] * 2
        member.release()
        await asyncio.gather(first, *tasks)
        assert all(len(batch.operations) <= 2 for batch in member.batches)


async def test_a_batch_is_bounded_in_bytes() -> None:
    async with rig(1) as r:
        value = bytes(1 << 20)
        results = await r.run(*(put(b"k%d" % i, value) for i in range(7)))
        assert all(result.put.version for result in results)
        sizes = [batch.ByteSize() for batch in r.cluster.members["disk-0"].batches]
        assert len(sizes) == 3
        assert max(sizes) <= 4 << 20


async def test_a_stalled_batch_does_not_hold_up_what_comes_after_it() -> None:
    """A member answers a batch as a whole, however long one of its operations takes."""
    async with rig(1, DispatchSettings(window=1, window_most=3)) as r:
        member = r.cluster.members["disk-0"]

        def script(self: FakeMember, request: kv.PipelineRequest) -> kv.PipelineResponse | None:
            stalled = any(operation.put.key == b"stalled" for operation in request.operations)
            return None if stalled else self.execute(request)

        member.script = script
        stalled = r.start(put(b"stalled"), timeout_s=0.5)
        await eventually(lambda: member.batches)
        later = r.start(get(b"k"))
        r.clock.advance(10)
        await asyncio.sleep(0.01)
        assert len(member.batches) == 1, "it is not stalled yet"
        assert not (await r.during(later, 30))[0].HasField("status")
        assert isinstance(error_of((await r.during(stalled))[0]), OutcomeUnknownError)


async def test_a_caller_that_goes_leaves_nothing_behind() -> None:
    async with rig() as r:
        member = r.cluster.member_of(b"k")
        member.hold()
        task = r.start(put(b"k", b"1"), get(b"j"))
        await eventually(lambda: member.batches)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert r.dispatcher.pending == 0
        later = r.start(put(b"k", b"2"))
        member.release()
        assert (await later)[0].put.version
        assert r.cluster.store[b"k"][0] == b"2"


async def test_closing_tells_what_is_known() -> None:
    async with rig() as r:
        member = r.cluster.member_of(b"k")
        member.hold()
        task = r.start(put(b"k"), get(b"k2"))
        await eventually(lambda: member.batches)
        await r.dispatcher.close()
        results = await task
        assert isinstance(error_of(results[0]), OutcomeUnknownError)
        with pytest.raises(NotAppliedError):
            await r.run(get(b"k"))


async def test_whom_an_answer_wakes_goes_with_the_next_batch() -> None:
    async with rig(1) as r:
        member = r.cluster.members["disk-0"]
        member.hold()

        async def twice(key: bytes) -> None:
            for _ in range(2):
                await r.dispatcher.run([get(key)], 5 * S)

        first = [asyncio.create_task(twice(b"a%d" % i)) for i in range(4)]
        await eventually(lambda: member.batches)
        later = [asyncio.create_task(twice(b"b%d" % i)) for i in range(4)]
        await eventually(lambda: r.dispatcher.pending == 8)
        await asyncio.sleep(0)
        member.release()
        await asyncio.gather(*first, *later)
        assert [len(batch.operations) for batch in member.batches] == [4, 8, 4]
