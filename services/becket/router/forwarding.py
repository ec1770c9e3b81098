"""Calls of another service passed on as they are: bytes in, bytes out, streams too.

Owns the forwarding of one service to whoever serves it. Must not read what it forwards. A status
comes back as it was given, details and all. Where nobody can be reached the caller is told
UNAVAILABLE; a call is tried at the next address only where the one before could not be reached, or
refused it without having done anything: a supervisor that cannot read who leads says so. Behind the
one address of a Kubernetes Service there are others, which a new connection may lead to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from becket.adapters.dispatch.channel_pool import ChannelPool
from becket.adapters.interception import Call, Context, Handler
from becket.adapters.rpc.errors import from_rpc_error
from becket.adapters.rpc.passing_on import is_unreachable, pass_on
from becket.core.errors import NotAppliedError, RetryLaterError

Unary = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
Streaming = grpc.aio.UnaryStreamMultiCallable[bytes, bytes]

CONNECTIONS = 3
"""So many connections to one address may refuse a call before the next address is tried."""


class Forwarder(grpc.GenericRpcHandler):
    """Handlers for the calls of one service, but for those to which the caller streams."""

    def __init__(
        self,
        service: ServiceDescriptor,
        pool: ChannelPool,
        addresses: Callable[[], Sequence[str]],
    ) -> None:
        self._pool = pool
        self._addresses = addresses
        self._name = service.name
        self._handlers: dict[str, Handler] = {}
        for method in service.methods:
            if method.client_streaming:
                continue
            path = f"/{service.full_name}/{method.name}"
            handler: Handler
            if method.server_streaming:
                handler = grpc.unary_stream_rpc_method_handler(self._streaming(path))
            else:
                handler = grpc.unary_unary_rpc_method_handler(self._unary(path))
            self._handlers[path] = handler

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """The handler of a method; None where it is not of this service."""
        return self._handlers.get(handler_call_details.method)

    def _unary(self, path: str) -> Call:
        async def forward(request: bytes, context: Context) -> bytes:
            tries = self._tries()
            for address in tries:
                call: Unary = self._pool.get(address).unary_unary(path)
                try:
                    answer: bytes = await call(request, timeout=context.time_remaining())
                except grpc.aio.AioRpcError as error:
                    if not tries.goes_on_after(error):
                        await pass_on(error, context)
                else:
                    return answer
            return await self._end(tries, context)

        return forward

    def _streaming(self, path: str) -> Call:
        async def forward(request: bytes, context: Context) -> None:
            tries = self._tries()
            for address in tries:
                call: Streaming = self._pool.get(address).unary_stream(path)
                responses = call(request, timeout=context.time_remaining())
                begun = False
                try:
                    async for response in responses:
                        begun = True
                        await context.write(response)
                except grpc.aio.AioRpcError as error:
                    if begun or not tries.goes_on_after(error):
                        await pass_on(error, context)
                else:
                    return
                finally:
                    responses.cancel()
            await self._end(tries, context)

        return forward

    def _tries(self) -> _Tries:
        return _Tries(self._pool, self._addresses())

    async def _end(self, tries: _Tries, context: Context) -> NoReturn:
        """Tell the caller of the last refusal, or that nobody was there to refuse."""
        if tries.refusal is not None:
            await pass_on(tries.refusal, context)
        raise RetryLaterError(f"{self._name}: nobody who serves it can be reached", after_ms=500)


class _Tries:
    """The addresses that a call is tried at, in order; one that refuses it, on new connections."""

    def __init__(self, pool: ChannelPool, addresses: Sequence[str]) -> None:
        self.refusal: grpc.aio.AioRpcError | None = None
        self._pool = pool
        self._addresses = addresses
        self._refused = False

    def __iter__(self) -> Iterator[str]:
        for address in self._addresses:
            for _ in range(CONNECTIONS):
                self._refused = False
                yield address
                if not self._refused:
                    break
                self._pool.forget(address)

    def goes_on_after(self, error: grpc.aio.AioRpcError) -> bool:
        """Whether the call may be made again after this: nothing was done."""
        if is_unreachable(error):
            return True
        self._refused = isinstance(from_rpc_error(error), NotAppliedError)
        if self._refused:
            self.refusal = error
        return self._refused
