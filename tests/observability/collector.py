"""A collector on this machine: it takes OTLP over HTTP, decodes it and keeps it."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class SpanSeen:
    """A span as it came; times are nanoseconds since 1970, `parent_id` is empty for a first one."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    begun_ns: int
    ended_ns: int
    failed: bool
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PointSeen:
    """One number of a metric; of a histogram, the sum."""

    metric: str
    unit: str
    service: str
    value: float
    attributes: dict[str, Any]


@dataclass
class Collector:
    """What came to `endpoint` until now; `bodies` are the requests as they were."""

    endpoint: str
    bodies: list[bytes] = field(default_factory=list)
    spans: list[SpanSeen] = field(default_factory=list)
    points: list[PointSeen] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """The settings of a process that exports to here, at once."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        }

    def of_load(self, load_id: str) -> list[SpanSeen]:
        """Every span of every trace that has something of a load, in order of their beginning."""
        ids = {
            one.trace_id for one in self.spans if one.attributes.get("crossdock.load_id") == load_id
        }
        return sorted((one for one in self.spans if one.trace_id in ids), key=lambda s: s.begun_ns)

    def wait_for(self, holds: Callable[["Collector"], bool]) -> None:
        """Wait until something holds of what came."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not holds(self):
            assert time.monotonic() < end, sorted({one.name for one in self.spans})
            time.sleep(0.05)


def _plain(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}


def _spans_in(body: bytes) -> Iterator[SpanSeen]:
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _plain(group.resource.attributes)["service.name"]
        for scope in group.scope_spans:
            for span in scope.spans:
                yield SpanSeen(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    service=service,
                    name=span.name,
                    begun_ns=span.start_time_unix_nano,
                    ended_ns=span.end_time_unix_nano,
                    failed=span.status.code == span.status.STATUS_CODE_ERROR,
                    attributes=_plain(span.attributes),
                )


def _points_in(body: bytes) -> Iterator[PointSeen]:
    for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        service = _plain(group.resource.attributes)["service.name"]
        for metric in (metric for scope in group.scope_metrics for metric in scope.metrics):
            for point in getattr(metric, metric.WhichOneof("data")).data_points:
                value = point.sum if metric.HasField("histogram") else point.as_double
                if not metric.HasField("histogram") and point.HasField("as_int"):
                    value = point.as_int
                attributes = _plain(point.attributes)
                yield PointSeen(metric.name, metric.unit, service, value, attributes)


@contextmanager
def collector() -> Iterator[Collector]:
    """Take what is exported, for as long as the body runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.bodies.append(body)
            if self.path == "/v1/traces":
                taken.spans.extend(_spans_in(body))
            elif self.path == "/v1/metrics":
                taken.points.extend(_points_in(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    taken = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield taken
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
