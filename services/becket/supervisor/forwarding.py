"""Calls of SupervisorService go to the supervisor that leads, whichever was asked.

Owns the choice and the one hop. Must not answer anything itself. Invariants: a call is forwarded
once at most, so two supervisors that take each other for the leader never pass a call to and fro; a
status comes back as it was given, details and all; who leads is asked anew for each call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
from google.protobuf.message import Message

from becket.adapters.rpc.channels import open_channel
from becket.adapters.rpc.passing_on import is_unreachable, pass_on
from becket.api.v1 import supervisor_pb2 as pb
from becket.api.v1 import supervisor_pb2_grpc as rpc
from becket.core.errors import NotAppliedError, RetryLaterError
from becket.ports.leadership import Leader

Context = grpc.aio.ServicerContext[Any, Any]
Unary = Callable[[Message, Context], Awaitable[Message]]
Streaming = Callable[[Message, Context], AsyncIterator[Message]]

FORWARDED = "becket-forwarded"
"""In the metadata of a call that another supervisor has passed on."""

LOCAL = frozenset(("GetStatus", "ListMembers"))
"""What anybody may answer while none leads: what it sees, and says so."""

RETRY_MS = 500


class LedServicer:
    """The servicer that is registered, with a handler for every call of the service.

    ``own`` answers while ``may_act`` says so; else whom ``leader`` names.
    """

    def __init__(
        self,
        own: rpc.SupervisorServiceServicer,
        *,
        may_act: Callable[[], bool],
        leader: Callable[[], Leader | None],
    ) -> None:
        self._own = own
        self._may_act = may_act
        self._leader = leader
        self._address = ""
        self._channel: grpc.aio.Channel | None = None
        service = pb.DESCRIPTOR.services_by_name["SupervisorService"]
        for method in service.methods:
            make = self._streaming if method.server_streaming else self._unary
            setattr(self, method.name, make(method.name))

    def _unary(self, name: str) -> Unary:
        own: Unary = getattr(self._own, name)

        async def call(request: Message, context: Context) -> Message:
            if self._may_act():
                return await own(request, context)
            try:
                stub = rpc.SupervisorServiceStub(self._reach(context))
                forward: Any = getattr(stub, name)
                left_s = context.time_remaining()
                answer: Message = await forward(request, timeout=left_s, metadata=_mark())
            except NotAppliedError:
                if name in LOCAL:
                    return await own(request, context)
                raise
            except grpc.aio.AioRpcError as error:
                if is_unreachable(error) and name in LOCAL:
                    return await own(request, context)
                await _pass_on(error, context)
            return answer

        return call

    def _streaming(self, name: str) -> Streaming:
        own: Streaming = getattr(self._own, name)

        async def call(request: Message, context: Context) -> AsyncIterator[Message]:
            if self._may_act():
                async for answer in own(request, context):
                    yield answer
                return
            stub = rpc.SupervisorServiceStub(self._reach(context))
            forward: Any = getattr(stub, name)
            answers = forward(request, timeout=context.time_remaining(), metadata=_mark())
            try:
                async for answer in answers:
                    yield answer
            except grpc.aio.AioRpcError as error:
                await _pass_on(error, context)
            finally:
                answers.cancel()

        return call

    def _reach(self, context: Context) -> grpc.aio.Channel:
        """A channel to the leader.

        :raises NotAppliedError: none is known to lead, or it is said to be this process.
        """
        leader = self._leader()
        if any(key == FORWARDED for key, _ in context.invocation_metadata() or ()):
            raise NotAppliedError("the lead is changing hands", after_ms=RETRY_MS)
        if leader is None or not leader.address:
            raise NotAppliedError("no supervisor is known to lead", after_ms=RETRY_MS)
        if self._channel is None or leader.address != self._address:
            # The old one is not closed under the calls that it carries; it goes with them.
            self._address, self._channel = leader.address, open_channel(leader.address)
        return self._channel

    async def close(self) -> None:
        """Give back the channel."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()


def _mark() -> tuple[tuple[str, str], ...]:
    return ((FORWARDED, "1"),)


async def _pass_on(error: grpc.aio.AioRpcError, context: Context) -> NoReturn:
    if is_unreachable(error):
        problem = f"the supervisor that leads cannot be reached: {error.details()}"
        raise RetryLaterError(problem, after_ms=RETRY_MS)
    await pass_on(error, context)
