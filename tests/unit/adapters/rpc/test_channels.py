"""What the library's streams do at their edges, which the code around them relies on."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from becket.adapters.rpc.channels import begin, open_channel
from becket.api.v1 import replica_pb2 as pb
from becket.api.v1.replica_pb2_grpc import ReplicaServiceStub


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_a_stream_whose_channel_is_closed_before_it_begins_does_not_hang(turns: int) -> None:
    channel = open_channel("127.0.0.1:1")
    call = ReplicaServiceStub(channel).Beat()
    beginning = asyncio.create_task(begin(call, pb.BeatRequest()))
    for _ in range(turns):
        await asyncio.sleep(0)
    await channel.close()
    async with asyncio.timeout(10):
        done, _ = await asyncio.wait({beginning})
    assert done == {beginning}
    if not beginning.cancelled():
        assert beginning.exception() is None or call.done()


async def test_a_stream_to_nobody_fails_as_it_would_without_help() -> None:
    async with open_channel("127.0.0.1:1") as channel:
        call = ReplicaServiceStub(channel).Beat()

        async def use() -> None:
            await begin(call, pb.BeatRequest())
            await call.read()
            await call.write(pb.BeatRequest())

        async with asyncio.timeout(10):
            with pytest.raises((grpc.RpcError, asyncio.InvalidStateError)):
                await use()
        assert call.done()
