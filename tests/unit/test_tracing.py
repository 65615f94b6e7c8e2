"""The context of a trace on its way through messages, where nothing is exported."""

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from shared.bus.port import Message
from shared.gcs_notification import notification_of
from shared.telemetry import tracing
from tests.pages import ROOT

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


def message(**attributes: str) -> Message:
    return Message(b"{}", attributes, "stager.manifest.validated", "1", datetime.now(UTC))


def test_without_an_exporter_a_context_goes_on_as_it_came() -> None:
    with tracing.taking(message(traceparent=TRACEPARENT)), tracing.span("run stager"):
        assert tracing.context_now() == {"traceparent": TRACEPARENT}
        with tracing.publishing("staged", {"event": "staged"}) as attributes:
            assert attributes == {"event": "staged", "traceparent": TRACEPARENT}


def test_without_an_exporter_a_message_that_brings_no_context_takes_none_on() -> None:
    with tracing.taking(message(event="staged")):
        assert tracing.context_now() == {}
        with tracing.publishing("staged", {"event": "staged"}) as attributes:
            assert attributes == {"event": "staged"}


@pytest.mark.parametrize("given", ["", "00-0-0-01", "'; DROP TABLE outbox; --", "ü" * 55])
def test_a_context_that_is_none_is_left_behind(given: str) -> None:
    with tracing.taking(message(traceparent=given)):
        assert tracing.context_now() == {}


def test_a_message_hangs_on_its_own_context_and_not_on_the_one_it_is_taken_in() -> None:
    with (
        tracing.taking(message(traceparent=TRACEPARENT)),
        tracing.taking(message(event="of another load")),
    ):
        assert tracing.context_now() == {}


def test_a_kept_context_goes_before_the_current_one() -> None:
    kept = TRACEPARENT.replace(SPAN_ID, "00f067aa0ba902b7")
    with (
        tracing.taking(message(traceparent=TRACEPARENT)),
        tracing.publishing("staged", tracing.context_of(kept)) as attributes,
    ):
        assert attributes == {"traceparent": kept}


def test_the_trace_of_a_manifest_follows_from_its_generation_alone() -> None:
    name = "imports/acme/L/manifest.json"
    first = tracing.trace_of_generation(notification_of("drops", name, 1))
    again = {**notification_of("drops", name, 1), "eventTime": "later", "notificationConfig": "x"}
    assert tracing.trace_of_generation(again) == first
    others = [("drops", name, 2), ("other", name, 1), ("drops", f"{name}x", 1)]
    ids = {tracing.trace_of_generation(notification_of(*other)) for other in others}
    assert len(ids | {first}) == 4
    assert 0 < first < 2**128


def test_where_nothing_is_exported_a_process_has_neither_the_sdk_nor_a_thread_of_it() -> None:
    program = """
import sys, threading
import shared.service
from shared.telemetry.start import start_telemetry, stop_telemetry
start_telemetry("stager")
stop_telemetry()
print([name for name in sys.modules if name.startswith("opentelemetry.sdk")])
print(threading.active_count())
"""
    told = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "[]\n1\n"
