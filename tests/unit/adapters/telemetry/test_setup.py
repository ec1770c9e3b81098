"""Export: to a collector that answers, and to one that does not."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from becket.adapters.telemetry.setup import CLOSE_S, Telemetry, TelemetryOptions
from becket.adapters.telemetry.tracing import context_of, sampled

Received = list[tuple[str, bytes]]


@contextmanager
def collector() -> Iterator[tuple[str, Received]]:
    """An HTTP server that takes what is sent to it."""
    received: Received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()
        serving.join()


async def test_metrics_and_sampled_spans_reach_a_collector() -> None:
    with collector() as (endpoint, received):
        telemetry = Telemetry(TelemetryOptions("test", "test-0", "lab", endpoint, trace_ratio=1))
        telemetry.meter.create_counter("becket.test.count").add(3)
        with telemetry.tracer.start_as_current_span("work"):
            pass
        await telemetry.close()
    metrics = ExportMetricsServiceRequest.FromString(dict(received)["/v1/metrics"])
    spans = ExportTraceServiceRequest.FromString(dict(received)["/v1/traces"])
    (resource,) = metrics.resource_metrics
    assert {
        attribute.key: attribute.value.string_value for attribute in resource.resource.attributes
    }.items() >= {
        ("service.name", "becket-test"),
        ("service.instance.id", "test-0"),
        ("service.namespace", "lab"),
    }
    names = [metric.name for scope in resource.scope_metrics for metric in scope.metrics]
    assert "becket.test.count" in names
    assert spans.resource_spans[0].scope_spans[0].spans[0].name == "work"


async def test_a_collector_that_is_away_costs_a_bounded_time() -> None:
    with collector() as (endpoint, _):
        pass
    telemetry = Telemetry(TelemetryOptions("test", "test-0", "lab", endpoint, trace_ratio=1))
    with telemetry.tracer.start_as_current_span("work"):
        pass
    started = time.monotonic()
    await telemetry.close()
    assert time.monotonic() - started < CLOSE_S + 1


async def test_two_of_them_are_apart() -> None:
    first, second = (Telemetry(TelemetryOptions("test", f"test-{n}", "lab")) for n in range(2))
    first.meter.create_counter("becket.test.count").add(1)
    assert b"becket_test_count_total 1.0" in first.exposition()[0]
    assert b"becket_test_count" not in second.exposition()[0]
    await asyncio.gather(first.close(), second.close())


def test_the_exposition_is_what_the_scraper_asks_for() -> None:
    telemetry = Telemetry(TelemetryOptions("test", "test-0", "lab"))
    assert telemetry.exposition()[1].startswith("text/plain")
    openmetrics = "application/openmetrics-text; version=1.0.0"
    body, kind = telemetry.exposition(openmetrics)
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_a_parent_says_whether_it_is_sampled() -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    context = context_of(parent, "vendor=1")
    assert context is not None
    assert sampled(context)
    assert context_of(parent * 20) is None
    assert not sampled()
