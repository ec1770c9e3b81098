"""Answers that do not fit into one message: whoever reads little is not failed by who reads much.

The fake members here leave out what a real one would: every value past so many bytes of one batch,
but never the first, and let the reads among writes have half as much again.
"""

from __future__ import annotations

import asyncio

from becket.adapters.dispatch.settings import DispatchSettings
from becket.adapters.rpc.errors import to_status
from becket.api.v1 import key_value_pb2 as kv
from becket.core.errors import AnswerFullError
from tests.unit.dispatch.fakes import FakeMember, eventually, get, put, write_of
from tests.unit.dispatch.rig import error_of, rig

ROOM = 100
LARGE = bytes(60)
STINGY = DispatchSettings(budget_most=1, budget_floor=0.001)
"""As good as no attempts but those that are free."""


def limit_answers(member: FakeMember, room: int = ROOM) -> None:
    """Leave out the values that go beyond ``room`` bytes of a batch."""

    def script(self: FakeMember, request: kv.PipelineRequest) -> kv.PipelineResponse:
        answer = self.execute(request)
        written = {write.key for o in request.operations if (write := write_of(o)) is not None}
        left = room
        for place, operation in enumerate(request.operations):
            size = len(answer.results[place].get.entry.value)
            more = room // 2 if operation.get.key in written else 0
            if not size:
                continue
            if place and size > left + more:
                full = kv.Result(status=to_status(AnswerFullError("full")))
                answer.results[place].CopyFrom(full)
            else:
                left -= size
        return answer

    member.script = script


async def test_a_small_read_beside_large_ones_of_others_is_answered() -> None:
    async with rig(1, STINGY) as r:
        member = r.cluster.members["disk-0"]
        limit_answers(member)
        r.cluster.store[b"large"] = (LARGE, b"v")
        r.cluster.store[b"small"] = (bytes(50), b"v")
        tasks = [r.start(get(b"large")) for _ in range(20)] + [r.start(get(b"small"))]
        results = [(await r.during(task, 100))[0] for task in tasks]
        assert [len(result.get.entry.value) for result in results] == [60] * 20 + [50]
        assert max(len(batch.operations) for batch in member.batches) == 21
        assert not r.dispatcher.counts.refused_by_budget


async def test_one_list_of_more_than_fits_is_answered_whole() -> None:
    async with rig(3, STINGY) as r:
        keys = r.cluster.keys("disk-0", 15) + r.cluster.keys("disk-1", 15)
        for member in r.cluster.members.values():
            limit_answers(member)
        for key in keys:
            r.cluster.store[key] = (LARGE, b"v")
        results = await r.during(r.start(*(get(key) for key in keys)), 100)
        assert [len(result.get.entry.value) for result in results] == [60] * 30


async def test_a_list_is_left_out_in_part_where_its_caller_can_take_no_more() -> None:
    async with rig(1, STINGY) as r:
        member = r.cluster.members["disk-0"]
        limit_answers(member)
        keys = [b"k%d" % n for n in range(30)]
        for key in keys:
            r.cluster.store[key] = (LARGE, b"v")
        run = r.dispatcher.run([get(key) for key in keys], 5_000_000, room=300)
        results = await r.during(asyncio.create_task(run), 100)
        read = [result for result in results if result.HasField("get")]
        refused = [result for result in results if result.HasField("status")]
        assert 5 <= len(read) < 30, "about as many as were asked for, and no more than that"
        assert {type(error_of(result)) for result in refused} == {AnswerFullError}


async def test_a_member_that_leaves_out_everything_is_not_asked_for_ever() -> None:
    async with rig(1, STINGY) as r:
        member = r.cluster.members["disk-0"]

        def script(_: FakeMember, request: kv.PipelineRequest) -> kv.PipelineResponse:
            full = kv.Result(status=to_status(AnswerFullError("full")))
            return kv.PipelineResponse(
                batch_id=request.batch_id, results=[full] * len(request.operations)
            )

        member.script = script
        results = await r.during(r.start(get(b"a"), get(b"b")), 100)
        assert [type(error_of(result)) for result in results] == [AnswerFullError] * 2
        assert len(member.batches) < 10


async def test_r27_a_call_whose_reads_do_not_fit_is_repeated_as_it_was() -> None:
    async with rig(1, STINGY) as r:
        member = r.cluster.members["disk-0"]
        limit_answers(member)
        r.cluster.store[b"large"] = (LARGE, b"v")
        mixed = put(b"k", LARGE), get(b"k")
        first = [r.start(get(b"large")) for _ in range(2)]
        task = r.start(put(b"j", LARGE), get(b"j"), *mixed)
        results = await r.during(task, 100)
        assert [result.WhichOneof("result") for result in results] == ["put", "get"] * 2
        assert results[3].get.entry.value == LARGE
        for other in first:
            assert (await r.during(other, 100))[0].get.entry.value == LARGE
        numbers = {
            write.operation_id.number
            for operation in member.operations
            if (write := write_of(operation)) is not None and write.key == b"k"
        }
        assert len(numbers) == 1
        executed = [o for o in r.cluster.executed if o.put.key == b"k"]
        assert len(executed) == 1


async def test_a_call_that_is_too_large_by_itself_tells_which_answers_are_missing() -> None:
    async with rig(1, STINGY) as r:
        member = r.cluster.members["disk-0"]
        limit_answers(member)
        results = await r.during(r.start(put(b"k", LARGE), *[get(b"k")] * 4), 100)
        assert results[0].put.version
        assert [result.HasField("get") for result in results[1:]] == [True, True, False, False]
        assert isinstance(error_of(results[4]), AnswerFullError)


async def test_few_reads_among_writes_are_joined_into_one_call() -> None:
    async with rig(1, STINGY) as r:
        member = r.cluster.members["disk-0"]
        limit_answers(member, 4 * len(LARGE))
        member.hold()
        tasks = [r.start(put(b"k", LARGE), get(b"k")) for _ in range(12)]
        await eventually(lambda: member.batches)
        member.release()
        for task in tasks:
            assert (await r.during(task, 100))[1].get.entry.value == LARGE
        reads = [sum(o.HasField("get") for o in batch.operations) for batch in member.batches]
        assert max(reads) == 4
