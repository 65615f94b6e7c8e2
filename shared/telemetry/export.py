"""Exports spans and metrics by OTLP over HTTP; OpenTelemetry's own settings say where and how.

What was not sent when a process ends by itself is sent then. A collector that does not answer may
not keep it from ending, so a request has little time if the environment gives it no other.
"""

import os
import uuid

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from shared.telemetry.tracing import first_trace_id
from shared.version import VERSION

# For as long as nobody says otherwise. A process may need twice of it at its end, when whatever it
# had in hand is given back.
REQUEST_SECONDS = "2"


def start_export(service: str) -> None:
    """Export what this process tells of itself from now on, under the service's name."""
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", REQUEST_SECONDS)
    resource = resource_of(service)
    traces = TracerProvider(resource=resource, id_generator=_TraceIds())
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(traces)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    metrics.set_meter_provider(MeterProvider([reader], resource=resource))


def stop_export() -> None:
    """Send what is left, and export nothing more."""
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        if isinstance(provider, TracerProvider | MeterProvider):
            provider.shutdown()


def resource_of(service: str) -> Resource:
    """Who tells: the service and this process of it; what the environment says goes first."""
    ours = Resource.create(
        {
            "service.namespace": "crossdock",
            "service.name": service,
            "service.version": VERSION,
            "service.instance.id": str(uuid.uuid4()),
        }
    )
    return ours.merge(OTELResourceDetector().detect())


class _TraceIds(RandomIdGenerator):
    """Ids by chance, but for a trace whose id follows from what began it."""

    def generate_trace_id(self) -> int:
        return first_trace_id.get() or super().generate_trace_id()
