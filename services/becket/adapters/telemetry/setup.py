"""Makes the meter and the tracer of a process, and takes them down again.

Owns the providers, the registry behind /metrics and the export over OTLP. Must not touch the
libraries' globals: two of these may live in one process, as tests do. Invariants: without an
endpoint there is no exporting thread; without sampling no span is made; closing takes a bounded
time, whether a collector answers or not.

Callbacks of observable instruments run in the event loop when /metrics is read, and in the
exporting thread when OTLP is on: they may read numbers, and nothing else.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

SCOPE = "becket"
EXPORT_TIMEOUT_S = 3
CLOSE_S = 4
QUEUED_SPANS = 2048
"""Spans beyond these are dropped; so many wait for the exporting thread at most."""


@dataclass(frozen=True)
class TelemetryOptions:
    """Who speaks, and to whom. ``otlp_endpoint`` is a base such as ``http://collector:4318``."""

    service: str
    instance: str
    cluster: str
    otlp_endpoint: str = ""
    otlp_interval_s: float = 15
    trace_ratio: float = 0


class Telemetry:
    """``meter`` and ``tracer`` of one process, and what /metrics shows."""

    def __init__(self, options: TelemetryOptions) -> None:
        resource = Resource.create(
            {
                "service.name": f"becket-{options.service}",
                "service.namespace": options.cluster,
                "service.instance.id": options.instance,
                "service.version": _version(),
            }
        )
        self.trace_ratio = options.trace_ratio
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        readers: list[MetricReader] = [
            PrometheusMetricReader(scope_info_enabled=False, registry=self.registry)
        ]
        self._spans = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(options.trace_ratio)),
            resource=resource,
            shutdown_on_exit=False,
        )
        if options.otlp_endpoint:
            readers.append(_export(self._spans, options))
        self._metrics = MeterProvider(readers, resource, shutdown_on_exit=False)
        self.meter: Meter = self._metrics.get_meter(SCOPE)
        self.tracer: Tracer = self._spans.get_tracer(SCOPE)

    @property
    def spans(self) -> TracerProvider:
        """Where a further processor of spans can be added, as tests do."""
        return self._spans

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """(All metrics as text, content type), in the form that an Accept header asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    async def close(self) -> None:
        """Export what is left and stop; gives up after ``CLOSE_S``."""
        closed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def close() -> None:
            self._spans.shutdown()
            self._metrics.shutdown(timeout_millis=1000 * EXPORT_TIMEOUT_S)
            loop.call_soon_threadsafe(closed.set)

        # A daemon, so that a collector that hangs cannot keep the process alive.
        threading.Thread(target=close, name="telemetry-close", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_S):
                await closed.wait()
        except TimeoutError:
            pass


def _export(spans: TracerProvider, options: TelemetryOptions) -> MetricReader:
    # Imported where it is used: an HTTP client costs 100 ms of a start that may not need it.
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter,
    )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    base = options.otlp_endpoint.rstrip("/")
    spans.add_span_processor(
        BatchSpanProcessor(
            OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=EXPORT_TIMEOUT_S),
            max_queue_size=QUEUED_SPANS,
        )
    )
    return PeriodicExportingMetricReader(
        OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=EXPORT_TIMEOUT_S),
        export_interval_millis=1000 * options.otlp_interval_s,
    )


def _version() -> str:
    try:
        return version("becket")
    except PackageNotFoundError:
        return "unknown"
