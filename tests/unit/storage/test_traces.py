"""A sampled batch has a span, and so has each envelope that belongs to it; no other has any."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from becket.adapters.engines.memory import MemoryEngine
from becket.storage.commits import Commits
from becket.storage.traces import MOST, Traces

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE}-b7ad6b7169203331-01"
UNSAMPLED = f"00-{TRACE}-b7ad6b7169203331-00"


def never(error: BaseException) -> None:
    raise AssertionError(error)


def traces() -> tuple[Traces, InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    commits = Commits(MemoryEngine(), never)
    return Traces(provider.get_tracer("test"), commits), exporter


def test_a_sampled_batch_has_a_span_and_hands_its_trace_on() -> None:
    found, exporter = traces()
    with found.batch(SAMPLED, 7) as parent:
        assert parent.split("-")[1] == TRACE
        assert parent != SAMPLED
    (span,) = exporter.get_finished_spans()
    assert span.name == "becket.storage.batch"
    assert span.attributes is not None
    assert span.attributes["db.operation.batch.size"] == 7


@pytest.mark.parametrize("parent", ["", UNSAMPLED, "garbage", "x" * 1000])
def test_whatever_is_not_sampled_costs_no_span(parent: str) -> None:
    found, exporter = traces()
    with found.batch(parent, 1) as handed:
        assert handed == ""
    found.envelope([parent], 1)
    assert exporter.get_finished_spans() == ()


def test_an_envelope_has_a_span_for_each_trace_up_to_a_limit() -> None:
    found, exporter = traces()
    found.envelope([SAMPLED] * (MOST + 5), 3)
    assert len(exporter.get_finished_spans()) == MOST
