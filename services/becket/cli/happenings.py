"""What happens in a cluster while somebody looks on: the supervisor's events, as they come.

Owns the following of them across supervisors that come and go. It tells only what happened after
it began; a supervisor that is away is waited for and never an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc

from becket.adapters import clocks
from becket.adapters.rpc.channels import open_channel
from becket.api.v1 import supervisor_pb2 as pb
from becket.api.v1.supervisor_pb2_grpc import SupervisorServiceStub

_PAUSE_S = 1.0


async def follow(address_of: Callable[[], str | None], tell: Callable[[str], None]) -> None:
    """Tell each event's sentence, for ever."""
    # Numbers begin anew with each supervisor; times go on.
    seen_ms = clocks.wall_ms()
    while True:
        address = address_of()
        if address is not None:
            async with open_channel(address) as channel:
                call = SupervisorServiceStub(channel).WatchEvents(pb.WatchEventsRequest())
                try:
                    async for answer in call:
                        for event in answer.events:
                            at_ms = event.time.ToMilliseconds()
                            if at_ms > seen_ms:
                                seen_ms = at_ms
                                tell(event.sentence)
                except grpc.aio.AioRpcError:
                    # It is not there now, or it is another one soon: look again.
                    pass
                finally:
                    call.cancel()
        await asyncio.sleep(_PAUSE_S)
