"""Answers in parts: what a member has done already need not wait for the rest of its batch."""

from __future__ import annotations

import asyncio

from becket.adapters.dispatch.settings import DispatchSettings
from becket.api.v1 import key_value_pb2 as kv
from tests.unit.dispatch.fakes import FakeMember, get, put
from tests.unit.dispatch.rig import Rig, rig

SLOW = b"slow"


def hold_back_slow(member: FakeMember) -> list[kv.PipelineResponse]:
    """Answer all but the slow key at once; returns where the rests of the answers will be."""
    rests: list[kv.PipelineResponse] = []

    def script(self: FakeMember, request: kv.PipelineRequest) -> kv.PipelineResponse:
        assert request.partial
        whole = self.execute(request)
        slow = [n for n, o in enumerate(request.operations) if SLOW in (o.get.key, o.put.key)]
        if not slow:
            return whole
        first, rest = (kv.PipelineResponse(batch_id=request.batch_id) for _ in range(2))
        for place, result in enumerate(whole.results):
            part = rest if place in slow else first
            part.results.append(result)
            part.places.append(place)
        first.more = True
        rests.append(rest)
        return first

    member.script = script
    return rests


async def begin(r: Rig) -> tuple[FakeMember, asyncio.Task[object], asyncio.Task[object]]:
    """A slow and a quick caller in one batch."""
    member = r.cluster.members["disk-0"]
    slow: asyncio.Task[object] = r.start(put(SLOW, b"1"))
    quick: asyncio.Task[object] = r.start(put(b"quick", b"1"))
    await r.during(quick, 100)
    return member, slow, quick


async def test_who_is_done_need_not_wait_for_others_of_the_batch() -> None:
    async with rig(1) as r:
        rests = hold_back_slow(r.cluster.members["disk-0"])
        member, slow, quick = await begin(r)
        assert len(member.batches) == 1
        assert len(member.batches[0].operations) == 2
        assert quick.done()
        assert not slow.done()
        member.say(rests[0])
        await asyncio.wait_for(slow, 5)
        assert r.cluster.store[SLOW][0] == b"1"


async def test_a_batch_that_waits_for_some_holds_up_no_other() -> None:
    async with rig(1, DispatchSettings(window=1)) as r:
        rests = hold_back_slow(r.cluster.members["disk-0"])
        member, slow, _ = await begin(r)
        found = await r.during(r.start(get(b"quick")), 100)
        assert found[0].get.entry.value == b"1"
        assert not slow.done()
        member.say(rests[0])
        await asyncio.wait_for(slow, 5)


async def test_what_no_part_has_brought_is_unknown_and_tried_again() -> None:
    async with rig(1) as r:
        member = r.cluster.members["disk-0"]
        rests = hold_back_slow(member)
        _, slow, _ = await begin(r)
        last = kv.PipelineResponse(batch_id=rests[0].batch_id)
        # A place beyond the batch, and results without places, are no answer to anybody.
        last.results.append(kv.Result())
        last.places.append(7)
        member.script = None
        member.say(last)
        await r.during(slow, 2000)
        writes = [o.put for batch in member.batches for o in batch.operations if o.put.key == SLOW]
        assert [write.retry for write in writes] == [False, True]
        assert r.cluster.store[SLOW][0] == b"1"
