"""Metrics and spans of calls, on the server and on the client.

Owns one histogram record a call (a stream counts when it ends) and a span for a sampled one. Must
not touch messages: services count what passes in their streams. Invariants: a call that nobody
traces costs no span, no context and no allocation but its record.

On the client the long streams of the data path go without an interceptor, because ``grpc.aio``
would pass each message through a queue: open them with ``tracing.current_headers()``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from time import perf_counter
from typing import Any

import grpc
from opentelemetry import context as contexts
from opentelemetry.context import Context as TraceContext
from opentelemetry.metrics import Histogram
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode, Tracer

from becket.adapters.interception import Call, Context, Layer
from becket.adapters.telemetry import names
from becket.adapters.telemetry.setup import Telemetry
from becket.adapters.telemetry.tracing import current_headers, parent_of, sampled

METHODS = 256
"""So many (method, code) pairs are remembered; Becket has a fifth of them."""


@lru_cache(METHODS)
def _server_attributes(method: str, code: str) -> names.Attributes:
    return names.call_attributes(method, code, errors=names.SERVER_ERRORS)


@lru_cache(METHODS)
def _client_attributes(method: str, code: str) -> names.Attributes:
    return names.call_attributes(method, code, errors=None)


def _ended(context: Context, error: BaseException | None) -> str:
    """The code with which a call ended, as its caller sees it."""
    if isinstance(error, asyncio.CancelledError):
        left: float | None = context.time_remaining()  # the stubs forget a call without deadline
        return "DEADLINE_EXCEEDED" if left is not None and left <= 0 else "CANCELLED"
    name = names.code_name(context.code())
    return name if error is None or name != "OK" else "UNKNOWN"


class ServerTelemetry(Layer):
    """The outermost layer: it sees the status that the others made."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._tracer = telemetry.tracer
        self._roots = telemetry.trace_ratio > 0
        self._duration = telemetry.meter.create_histogram(
            names.SERVER_DURATION,
            unit="s",
            description="Duration of incoming calls; of a stream, its whole life.",
            explicit_bucket_boundaries_advisory=names.DURATION_BOUNDS_S,
        )

    def wrap_unary(self, method: str, call: Call) -> Call:
        record = self._duration.record

        async def measured(request: object, context: Context) -> object:
            started = perf_counter()
            failure: BaseException | None = None
            try:
                parent = parent_of(context.invocation_metadata())
                if parent is None and not self._roots:
                    return await call(request, context)
                return await self._traced(method, call, request, context, parent)
            except BaseException as error:
                failure = error
                raise
            finally:
                code = _ended(context, failure)
                record(perf_counter() - started, _server_attributes(method, code))

        return measured

    wrap_stream = wrap_unary

    async def _traced(
        self,
        method: str,
        call: Call,
        request: object,
        context: Context,
        parent: TraceContext | None,
    ) -> object:
        if parent is not None and not sampled(parent):
            # Not recorded, but passed on: whoever called decides for the whole of the trace.
            token = contexts.attach(parent)
            try:
                return await call(request, context)
            finally:
                contexts.detach(token)
        with self._tracer.start_as_current_span(
            method,
            context=parent,
            kind=SpanKind.SERVER,
            attributes={names.SYSTEM: names.GRPC, names.METHOD: method},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            failure: BaseException | None = None
            try:
                return await call(request, context)
            except BaseException as error:
                failure = error
                raise
            finally:
                code = _ended(context, failure)
                span.set_attribute(names.STATUS, code)
                if code in names.SERVER_ERRORS:
                    span.set_attribute(names.ERROR, code)
                    span.set_status(Status(StatusCode.ERROR))


def client_interceptors(telemetry: Telemetry) -> list[grpc.aio.ClientInterceptor]:
    """What a channel takes: one object for each kind of call, as the library files them."""
    duration = telemetry.meter.create_histogram(
        names.CLIENT_DURATION,
        unit="s",
        description="Duration of outgoing calls; of a stream, its whole life.",
        explicit_bucket_boundaries_advisory=names.DURATION_BOUNDS_S,
    )
    tracer = telemetry.tracer
    return [_UnaryCalls(tracer, duration), _StreamCalls(tracer, duration)]


class _Client:
    def __init__(self, tracer: Tracer, duration: Histogram) -> None:
        self._tracer = tracer
        self._duration = duration

    def record(self, method: str, started: float, code: str) -> None:
        self._duration.record(perf_counter() - started, _client_attributes(method, code))

    def span(self, method: str) -> AbstractContextManager[Span]:
        """The span of a call within a sampled trace; nothing otherwise."""
        if not sampled():
            return nullcontext(INVALID_SPAN)
        return self._tracer.start_as_current_span(
            method,
            kind=SpanKind.CLIENT,
            attributes={names.SYSTEM: names.GRPC, names.METHOD: method},
            record_exception=False,
            set_status_on_exception=False,
        )


class _UnaryCalls(_Client, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,  # noqa: ANN401 - whatever message it is
    ) -> Any:  # noqa: ANN401 - likewise
        started = perf_counter()
        method = _method(client_call_details)
        code = "CANCELLED"
        with self.span(method) as span:
            try:
                call = await continuation(_with_trace(client_call_details), request)
                try:
                    code = names.code_name(await call.code())
                except asyncio.CancelledError:
                    call.cancel()
                    raise
                return call
            finally:
                self.record(method, started, code)
                _finish(span, code)


class _StreamCalls(_Client, grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, tracer: Tracer, duration: Histogram) -> None:
        super().__init__(tracer, duration)
        self._watched: set[asyncio.Task[None]] = set()

    async def intercept_unary_stream(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,  # noqa: ANN401 - whatever message it is
    ) -> Any:  # noqa: ANN401 - likewise
        started = perf_counter()
        method = _method(client_call_details)
        call = await continuation(_with_trace(client_call_details), request)
        # As many as there are streams; the code of a call can only be had by waiting for it.
        watch = asyncio.create_task(self._watch(call, method, started))
        self._watched.add(watch)
        watch.add_done_callback(self._watched.discard)
        return call

    async def _watch(self, call: grpc.aio.Call, method: str, started: float) -> None:
        self.record(method, started, names.code_name(await call.code()))


def _method(details: grpc.aio.ClientCallDetails) -> str:
    name: str | bytes = details.method
    return (name.decode() if isinstance(name, bytes) else name).lstrip("/")


def _with_trace(details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
    headers = current_headers()
    if not headers:
        return details
    metadata = grpc.aio.Metadata(*(details.metadata or ()), *headers)
    return grpc.aio.ClientCallDetails(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
    )


def _finish(span: Span, code: str) -> None:
    if span.is_recording():
        span.set_attribute(names.STATUS, code)
        if code != "OK":
            span.set_attribute(names.ERROR, code)
            span.set_status(Status(StatusCode.ERROR))
