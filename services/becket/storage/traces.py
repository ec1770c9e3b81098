"""Spans of sampled batches, from the caller over this member to its peers (W3C trace context).

Owns what is traced here: a batch from arrival to answer, and at a replica an envelope from arrival
to its sync. Nothing is done for a batch that is not sampled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Tracer

from becket.adapters.telemetry.tracing import context_of, current_parent, sampled
from becket.storage.commits import Commits

MOST = 16
"""Traces that one envelope carries at most."""


class Traces:
    """The spans of one member."""

    def __init__(self, tracer: Tracer, commits: Commits) -> None:
        self._tracer = tracer
        self._commits = commits

    def is_sampled(self, parent: str) -> bool:
        """Whether ``batch`` would open a span."""
        return sampled(context_of(parent) if parent else None)

    @contextmanager
    def batch(self, parent: str, operations: int) -> Iterator[str]:
        """A span around a batch; yields the ``traceparent`` for the peers, empty for none.

        ``parent`` is what the batch brought; empty: the trace of the present call counts.
        """
        context = context_of(parent) if parent else None
        if not sampled(context):
            yield ""
            return
        with self._tracer.start_as_current_span(
            "becket.storage.batch",
            context=context,
            kind=SpanKind.SERVER,
            attributes={"db.system.name": "becket", "db.operation.batch.size": operations},
        ):
            yield current_parent()

    def envelope(self, parents: Iterable[str], entries: int) -> None:
        """Spans of an envelope that belongs to these traces; they end with its sync."""
        for parent in list(parents)[:MOST]:
            context = context_of(parent)
            if context is None or not sampled(context):
                continue
            span: trace.Span = self._tracer.start_span(
                "becket.storage.replicate",
                context=context,
                kind=SpanKind.SERVER,
                attributes={"becket.entries": entries},
            )
            self._commits.when_synced(span.end)
