"""The lines of the log as Cloud Logging and Error Reporting read them."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from shared.logs import REPORTED_ERROR, set_up_logs

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers = root.handlers[:]
    yield
    root.handlers[:] = handlers


def lines(capsys: Captured) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_has_what_cloud_logging_reads(capsys: Captured) -> None:
    set_up_logs(service="stager", project="p")
    structlog.get_logger().warning("heartbeat.missed", load_id="L", run=2)
    (line,) = lines(capsys)
    assert line.pop("time").endswith("Z")
    assert line == {"severity": "WARNING", "message": "heartbeat.missed", "load_id": "L", "run": 2}


@pytest.mark.parametrize(("project", "prefix"), [("p", "projects/p/traces/"), (None, "")])
def test_a_line_in_a_span_names_its_trace_and_one_outside_none(
    capsys: Captured, project: str | None, prefix: str
) -> None:
    set_up_logs(project=project)
    sampled = TraceFlags(TraceFlags.SAMPLED)
    span = NonRecordingSpan(SpanContext(0xAB, 0xCD, is_remote=False, trace_flags=sampled))
    with trace.use_span(span):
        structlog.get_logger().info("within")
    structlog.get_logger().info("outside")
    within, outside = lines(capsys)
    assert within["logging.googleapis.com/trace"] == f"{prefix}{0xAB:032x}"
    assert within["logging.googleapis.com/spanId"] == f"{0xCD:016x}"
    assert within["logging.googleapis.com/trace_sampled"] is True
    assert not [name for name in outside if name.startswith("logging.")]


def test_a_bug_has_the_form_that_error_reporting_groups_by(capsys: Captured) -> None:
    set_up_logs(service="upserter")
    try:
        _ = 1 / 0
    except ZeroDivisionError as bug:
        structlog.get_logger().error("stage.postponed", exc_info=bug)
    (line,) = lines(capsys)
    assert (line["severity"], line["@type"]) == ("ERROR", REPORTED_ERROR)
    assert line["serviceContext"]["service"] == "upserter"
    assert line["stack_trace"].startswith("Traceback (most recent call last):")
    assert line["stack_trace"].endswith("ZeroDivisionError: division by zero")


def test_an_error_without_a_stack_is_no_bug(capsys: Captured) -> None:
    set_up_logs()
    structlog.get_logger().error("load.needs_attention", load_id="L")
    (line,) = lines(capsys)
    assert line["severity"] == "ERROR"
    assert not {"@type", "stack_trace", "serviceContext"} & set(line)


def test_what_a_library_says_is_a_line_too_and_no_error_without_a_stack(capsys: Captured) -> None:
    set_up_logs()
    set_up_logs()
    library = logging.getLogger("some.library")
    library.error("%d requests failed", 3)
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        library.exception("in the middle")
    said, broken = lines(capsys)
    assert (said["severity"], said["message"]) == ("WARNING", "3 requests failed")
    assert said["logger"] == "some.library"
    assert (broken["severity"], broken["@type"]) == ("ERROR", REPORTED_ERROR)


def test_the_web_server_writes_no_lines_of_its_own(capsys: Captured) -> None:
    uvicorn = logging.getLogger("uvicorn")
    uvicorn.addHandler(logging.StreamHandler())
    set_up_logs()
    logging.getLogger("uvicorn.error").warning("shutting down")
    (line,) = lines(capsys)
    assert line["message"] == "shutting down"
