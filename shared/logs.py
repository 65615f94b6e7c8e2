"""Log lines for people and for Cloud Logging: one JSON object a line, `severity` and `message`."""

import sys

import structlog
from structlog.types import EventDict


def _for_cloud_logging(_logger: object, method: str, event: EventDict) -> EventDict:
    severity = "ERROR" if method == "exception" else method.upper()
    message = event.pop("event")
    if "exception" in event:
        event["stack_trace"] = event.pop("exception")
    return {"severity": severity, "message": message, **event}


def set_up_logs(level: str = "info") -> None:
    """Log as JSON lines to stderr; called once when a process starts."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            _for_cloud_logging,
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
