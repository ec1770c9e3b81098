"""What lies around every call of a ``grpc.aio`` server, in layers.

Owns the wrapping of handlers: each is wrapped once, not once a call, and both ways to answer a
stream (an asynchronous generator, a coroutine that writes) look the same to a layer: a
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


class Layer:
    """Something around every call of a server."""

    def wrap_unary(self, method: str, call: Call) -> Call:
        """Around a call of one request and one response; ``method`` is ``package.Service/Call``."""
        raise NotImplementedError

    def wrap_stream(self, method: str, call: Call) -> Call:
        """Around a call that streams in one direction at least."""
        raise NotImplementedError


class Layers(grpc.aio.ServerInterceptor):
    """All layers of a server, the outermost first, as one interceptor: a call passes one."""

    def __init__(self, *layers: Layer) -> None:
        self._layers = layers
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

    def _wrap(self, method: str, handler: Handler) -> Handler:
        serializers = (handler.request_deserializer, handler.response_serializer)
        if handler.request_streaming and handler.response_streaming:
            call = self._stream(method, _streaming(handler.stream_stream))
            return grpc.stream_stream_rpc_method_handler(call, *serializers)
        if handler.response_streaming:
            call = self._stream(method, _streaming(handler.unary_stream))
            return grpc.unary_stream_rpc_method_handler(call, *serializers)
        if handler.request_streaming:
            call = self._stream(method, _answering(handler.stream_unary))
            return grpc.stream_unary_rpc_method_handler(call, *serializers)
        call = _answering(handler.unary_unary)
        for layer in reversed(self._layers):
            call = layer.wrap_unary(method, call)
        return grpc.unary_unary_rpc_method_handler(call, *serializers)

    def _stream(self, method: str, call: Call) -> Call:
        for layer in reversed(self._layers):
            call = layer.wrap_stream(method, call)
        return call


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
