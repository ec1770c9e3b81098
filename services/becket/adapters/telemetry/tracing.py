"""W3C trace context between processes: in metadata, and in messages of long streams.

Owns reading and writing ``traceparent``. Must not start spans. Invariants: what is no valid
``traceparent`` is no trace, never an error; nothing is written unless a trace is current.
"""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

PARENT = "traceparent"
STATE = "tracestate"
# 00-<32 hex>-<16 hex>-<2 hex>; later versions may be longer.
LEAST, MOST = 55, 512

_PROPAGATOR = TraceContextTextMapPropagator()
Metadata = Iterable[tuple[str, str | bytes]]


def parent_of(metadata: Metadata | None) -> Context | None:
    """The trace that the caller is in, None where it is in none."""
    parent = state = ""
    for key, value in metadata or ():
        if key == PARENT and isinstance(value, str):
            parent = value
        elif key == STATE and isinstance(value, str):
            state = value
    return context_of(parent, state) if parent else None


def context_of(parent: str, state: str = "") -> Context | None:
    """The context that a ``traceparent`` tells, None where it tells none."""
    if not LEAST <= len(parent) <= MOST:
        return None
    carrier = {PARENT: parent, STATE: state[:MOST]} if state else {PARENT: parent}
    context = _PROPAGATOR.extract(carrier, Context())
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def sampled(context: Context | None = None) -> bool:
    """Whether the trace of ``context``, or the current one, is recorded."""
    return trace.get_current_span(context).get_span_context().trace_flags.sampled


def current_headers() -> tuple[tuple[str, str], ...]:
    """What to add to the metadata of an outgoing call; empty where there is no trace."""
    if not trace.get_current_span().get_span_context().is_valid:
        return ()
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return tuple(carrier.items())


def current_parent() -> str:
    """The ``traceparent`` for a message that goes out in the current trace; empty for none."""
    return dict(current_headers()).get(PARENT, "")
