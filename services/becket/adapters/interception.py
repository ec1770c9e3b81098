"""What every interceptor of a ``grpc.aio`` server has in common.

Owns the wrapping of handlers: each is wrapped once, not once a call, and both ways to answer a
stream (an asynchronous generator, a coroutine that writes) look the same to an interceptor: a
coroutine that returns when the call has been answered. Must not do anything with a call itself.
Invariants: a generator is closed when its call ends, in whatever way; a handler that is no
coroutine counts as not implemented, as the generated base classes are.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Call: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
"""(request, or the iterator of requests; context) -> the response, None where it was streamed."""
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Interceptor(grpc.aio.ServerInterceptor):
    """Wraps each method once, as unary or as stream."""

    def __init__(self) -> None:
        # Not more than the server has methods: there is no handler for any other name.
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        known = self._wrapped.get(method)
        if known is not None and known[0] is handler:
            return known[1]
        wrapped = self._wrap(method.lstrip("/"), handler)
        self._wrapped[method] = (handler, wrapped)
        return wrapped

    def wrap_unary(self, method: str, call: Call) -> Call:
        """Around a call of one request and one response; ``method`` is ``package.Service/Call``."""
        raise NotImplementedError

    def wrap_stream(self, method: str, call: Call) -> Call:
        """Around a call that streams in one direction at least."""
        raise NotImplementedError

    def _wrap(self, method: str, handler: Handler) -> Handler:
        serializers = (handler.request_deserializer, handler.response_serializer)
        if handler.request_streaming and handler.response_streaming:
            call = self.wrap_stream(method, _streaming(handler.stream_stream))
            return grpc.stream_stream_rpc_method_handler(call, *serializers)
        if handler.response_streaming:
            call = self.wrap_stream(method, _streaming(handler.unary_stream))
            return grpc.unary_stream_rpc_method_handler(call, *serializers)
        if handler.request_streaming:
            call = self.wrap_stream(method, _answering(handler.stream_unary))
            return grpc.stream_unary_rpc_method_handler(call, *serializers)
        call = self.wrap_unary(method, _answering(handler.unary_unary))
        return grpc.unary_unary_rpc_method_handler(call, *serializers)


def _streaming(behaviour: Callable[[Any, Any], Any] | None) -> Call:
    if not inspect.isasyncgenfunction(behaviour):
        return _answering(behaviour)

    async def write_all(request: object, context: Context) -> None:
        async with aclosing(behaviour(request, context)) as responses:
            async for response in responses:
                await context.write(response)

    return write_all


def _answering(behaviour: Callable[[Any, Any], Any] | None) -> Call:
    return behaviour if inspect.iscoroutinefunction(behaviour) else _unimplemented


async def _unimplemented(_request: object, context: Context) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this service does not have this call")
