"""Log lines for people and for Cloud Logging: one JSON object a line, `severity` and `message`.

A line belongs to the trace that it was written in. An error with a stack is a bug, and takes the
form that Error Reporting groups by; whatever else goes wrong is at most an error in the log.
"""

import logging
import sys
from typing import Any, Final

import structlog
from opentelemetry import trace
from structlog.types import EventDict, Processor

from shared.version import VERSION

REPORTED_ERROR: Final = (
    "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"
)
# uvicorn gives its loggers handlers of their own, which write no JSON.
_UVICORN: Final = ("uvicorn", "uvicorn.access")


def set_up_logs(
    level: str = "info", *, service: str = "crossdock", project: str | None = None
) -> None:
    """Log as JSON lines to stderr, what libraries log too; called once when a process starts.

    Args:
        level: what is less than this is left out; of libraries, what is less than a warning.
        service: whose errors they are, for Error Reporting.
        project: the Google Cloud project that traces are looked for in; None where there is none.
    """
    shape: list[Processor] = [
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        _in_trace_of(project),
        _for_cloud_logging(service),
        structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
    ]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *shape],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _take_over_libraries(level, shape)


def _in_trace_of(project: str | None) -> Processor:
    prefix = f"projects/{project}/traces/" if project else ""

    def in_trace(_logger: object, _method: str, event: EventDict) -> EventDict:
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            event["logging.googleapis.com/trace"] = f"{prefix}{context.trace_id:032x}"
            event["logging.googleapis.com/spanId"] = f"{context.span_id:016x}"
            event["logging.googleapis.com/trace_sampled"] = context.trace_flags.sampled
        return event

    return in_trace


def _for_cloud_logging(service: str) -> Processor:
    reported = {
        "@type": REPORTED_ERROR,
        "serviceContext": {"service": service, "version": VERSION},
    }

    def shaped(_logger: object, method: str, event: EventDict) -> EventDict:
        severity = "ERROR" if method in {"exception", "critical"} else method.upper()
        if severity == "ERROR" and "logger" in event and "exception" not in event:
            severity = "WARNING"
        line: dict[str, Any] = {"severity": severity, "message": event.pop("event")}
        if "exception" in event:
            line["stack_trace"] = event.pop("exception")
            if severity == "ERROR":
                line |= reported
        return {**line, **event}

    return shaped


class _LibraryLines(logging.Handler):
    """What libraries log, as lines of ours; without a stack none of it is more than a warning."""

    def __init__(self, level: str, shape: list[Processor]) -> None:
        super().__init__(level.upper())
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[structlog.contextvars.merge_contextvars, _with_library],
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shape],
            )
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        sys.stderr.write(f"{self.format(record)}\n")


def _with_library(_logger: object, _method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    return {**event, "logger": record.name}


def _take_over_libraries(level: str, shape: list[Processor]) -> None:
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _LibraryLines):
            root.removeHandler(handler)
    root.addHandler(_LibraryLines(level, shape))
    for name in _UVICORN:
        logging.getLogger(name).handlers.clear()
    logging.getLogger("uvicorn").propagate = True
