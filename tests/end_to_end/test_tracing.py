"""What the services tell of themselves while a load passes through them, as a collector gets it."""

import asyncio
import base64
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from crossdock.stack import processes, running
from shared.events import Topic
from shared.gcs_notification import notification_of
from shared.mysql.connect import Database
from shared.storage.gcs import GcsStorage
from shared.telemetry.tracing import trace_of_generation
from tests.drops import HEADERS
from tests.end_to_end.bad_inputs import Delivery, described
from tests.end_to_end.courier import Courier, a_drop, assert_reported, broken
from tests.observability.collector import PATIENCE_SECONDS, Collector, SpanSeen, collector
from tests.pages import ROOT, column, page, quoted, table

CANARY = "a-name-that-nobody-may-read"
PUSH = {
    "message": {
        "data": base64.b64encode(b'{"load_id": "no-such-load", "event_id": "1"}').decode(),
        "messageId": "1",
        "publishTime": "2026-02-01T06:00:00Z",
    },
    "subscription": "projects/p/subscriptions/stager.manifest.validated",
}
METRICS = table(page("docs/metrics.md"))
HOLD_BACK = """CREATE TRIGGER hold_back BEFORE INSERT ON outbox FOR EACH ROW
    SET NEW.bucket = IF(NEW.load_id = '{load_id}' AND NEW.topic = 'staged', 'held back', NEW.bucket)
"""


@pytest.fixture
async def troubled(courier: Courier, database: Database, stack: running.StackInfo) -> Delivery:
    """A load whose `staged` only the sweep could publish, and whose upsert was broken off once."""
    delivery = a_drop()
    load_id = delivery.drop.load_id
    await database.execute(HOLD_BACK.format(load_id=load_id))
    try:
        await courier.leave(delivery)
        await courier.wait_until(
            "SELECT COUNT(*) FROM outbox WHERE load_id = %(load_id)s AND bucket = 'held back'",
            load_id=load_id,
        )
    finally:
        await database.execute("DROP TRIGGER hold_back")
    async with courier.held_at("invoices"):
        await database.execute(
            "UPDATE outbox SET bucket = %(bucket)s WHERE bucket = 'held back'",
            {"bucket": stack.bucket},
        )
        await courier.wait_until_held("services.upserter.%")
        await break_off_upsert(database)
    found = await courier.storage.stat(delivery.manifest_name)
    assert found is not None
    assert_reported(await courier.follow(delivery, found.generation))
    return delivery


async def break_off_upsert(database: Database) -> None:
    """End the connection that waits, as a server that is restarted does."""
    waiting = await database.fetch_all(
        "SELECT ID AS id FROM performance_schema.processlist "
        "WHERE STATE = 'Waiting for table metadata lock'"
    )
    for row in waiting:
        await database.execute("KILL CONNECTION %(id)s", row)


def way_to(span: SpanSeen, spans: Sequence[SpanSeen]) -> list[SpanSeen]:
    """A span, its parent, and so on to the first one."""
    known = {one.span_id: one for one in spans}
    way = [span]
    while way[-1].parent_id:
        assert way[-1].parent_id in known, f"{way[-1].name} hangs on a span that never came"
        way.append(known[way[-1].parent_id])
    return way


def all_came(collected: Collector, load_id: str) -> bool:
    """Whether the end of a load's trace came, and with it what every span hangs on."""
    spans = collected.of_load(load_id)
    known = {span.span_id for span in spans} | {""}
    names = [span.name for span in spans]
    ended = {"publish reported", "deliver ack", "process reporter.upserted"} <= set(names)
    return ended and all(span.parent_id in known for span in spans)


async def test_a_load_is_one_trace_from_the_notification_to_the_report(
    troubled: Delivery, collected: Collector, storage: GcsStorage, stack: running.StackInfo
) -> None:
    load_id = troubled.drop.load_id
    collected.wait_for(lambda so_far: all_came(so_far, load_id))
    spans = collected.of_load(load_id)
    found = await storage.stat(troubled.manifest_name)
    assert found is not None
    notification = notification_of(stack.bucket, found.name, found.generation)
    assert {span.trace_id for span in spans} == {f"{trace_of_generation(notification):032x}"}

    (end,) = [span for span in spans if span.name == "publish reported"]
    way = [span for span in reversed(way_to(end, spans)) if span.name != "publish manifest.arrived"]
    assert [(span.service, span.name) for span in way] == [
        ("validator", "process validator.manifest.arrived"),
        ("validator", "run validator"),
        ("validator", "publish manifest.validated"),
        ("stager", "process stager.manifest.validated"),
        ("stager", "run stager"),
        ("sweep", "publish staged"),
        ("upserter", "process upserter.staged"),
        ("upserter", "run upserter"),
        ("upserter", "publish upserted"),
        ("reporter", "process reporter.upserted"),
        ("reporter", "run reporter"),
        ("reporter", "publish reported"),
    ]
    runs = [span for span in spans if span.name == "run upserter"]
    assert [(run.failed, run.attributes["crossdock.outcome"]) for run in runs] == [
        (True, "postponed"),
        (False, "finished"),
    ]
    assert runs[0].attributes["error.type"] == "TransientFault"


async def test_every_file_entity_commit_and_notice_has_its_span_without_a_value_of_a_row(
    courier: Courier, collected: Collector, stack: running.StackInfo
) -> None:
    delivery = a_drop()
    drop, load_id = delivery.drop, delivery.drop.load_id
    drop.files["customers.csv"] = drop.files["customers.csv"].replace(b"Ada", CANARY.encode())
    assert_reported(await courier.bring(Delivery(drop, described(drop))))
    collected.wait_for(lambda so_far: all_came(so_far, load_id))
    spans = collected.of_load(load_id)
    runs = {span.name: span.span_id for span in spans if span.name.startswith("run ")}

    def named(name: str, stage: str, fact: str) -> list[Any]:
        mine = [one for one in spans if one.parent_id == runs[f"run {stage}"]]
        return [one.attributes[f"crossdock.{fact}"] for one in mine if one.name == name]

    files = [f"{entity}.csv" for entity in HEADERS]
    assert named("file_read", "validator", "file") == files
    assert sorted(named("file_staged", "stager", "file")) == sorted(files)
    assert named("entity_written", "upserter", "entity") == list(HEADERS)
    for stage in running.SERVICES:
        assert named("committed", stage, "load_id") == [load_id]
    assert {"deliver ack", "deliver log"} <= {span.name for span in spans}
    password = stack.mysql_url.partition("@")[0].rpartition(":")[2]
    assert password
    told = repr((collected.spans, collected.points))
    assert load_id in told
    assert CANARY not in told
    assert password not in told


async def test_a_line_of_a_log_names_the_trace_of_its_load(
    courier: Courier, collected: Collector, stack: running.StackInfo, state_dir: Path
) -> None:
    delivery = a_drop()
    assert_reported(await courier.bring(delivery))
    load_id = delivery.drop.load_id
    collected.wait_for(lambda so_far: all_came(so_far, load_id))
    (trace_id,) = {span.trace_id for span in collected.of_load(load_id)}
    for service in running.SERVICES:
        text = processes.log_file(state_dir, service).read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        (started,) = [
            line
            for line in lines
            if line["message"] == "stage.started" and line["load_id"] == load_id
        ]
        assert started["severity"] == "INFO"
        named = started["logging.googleapis.com/trace"]
        assert named == f"projects/{stack.project}/traces/{trace_id}"
        assert (started["stage"], started["run"]) == (service, 1)


async def test_a_partners_mistake_is_no_error_in_log_or_trace(
    courier: Courier, collected: Collector, state_dir: Path
) -> None:
    delivery = broken(a_drop())
    load_id = delivery.drop.load_id
    outcome = await courier.bring(delivery)
    assert outcome.failure["code"] == "file.checksum_mismatch"
    runs = {"run validator", "run reporter"}  # each process sends its own spans when it likes
    collected.wait_for(lambda so_far: runs <= {span.name for span in so_far.of_load(load_id)})
    spans = collected.of_load(load_id)
    assert not [span for span in spans if span.failed]
    (run,) = [span for span in spans if span.name == "run validator"]
    assert run.attributes["crossdock.code"] == "file.checksum_mismatch"
    for service in running.SERVICES:
        text = processes.log_file(state_dir, service).read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines() if load_id in line]
        assert {line["severity"] for line in lines} <= {"INFO"}
    counted = ("crossdock.runs.rejected", {"stage": "validator", "code": outcome.failure["code"]})
    collected.wait_for(
        lambda so_far: counted in [(one.metric, one.attributes) for one in so_far.points]
    )


async def test_every_metric_that_comes_stands_on_the_page_with_unit_and_attributes(
    courier: Courier, collected: Collector
) -> None:
    assert_reported(await courier.bring(a_drop()))
    always = {"crossdock.stage.duration", "crossdock.rows", *gauges()}
    collected.wait_for(lambda so_far: always <= {point.metric for point in so_far.points})
    told = {
        row["metric"].strip("`"): (row["unit"].strip("`"), set(quoted(row["attributes"])))
        for row in METRICS
    }
    came = {
        point.metric: (point.unit, set(point.attributes))
        for point in collected.points
        if point.metric.startswith("crossdock.")
    }
    assert came.items() <= told.items()
    rows = [point for point in collected.points if point.metric == "crossdock.rows"]
    assert {point.attributes["entity"] for point in rows} == set(HEADERS)
    durations = [one for one in collected.points if one.metric == "crossdock.stage.duration"]
    assert {point.service for point in durations} == set(running.SERVICES)
    assert Topic.REPORTED in {
        point.attributes["state"] for point in collected.points if point.metric == "crossdock.loads"
    }


def gauges() -> set[str]:
    kinds = dict(zip(column(METRICS, "metric"), column(METRICS, "kind"), strict=True))
    return {name for name, kind in kinds.items() if kind == "gauge"}


async def test_a_service_that_is_told_to_stop_sends_what_it_has_left(
    stack: running.StackInfo, tmp_path: Path
) -> None:
    port = processes.usable_port()
    with collector() as taking, (tmp_path / "log").open("wb") as log:
        patient = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_METRIC_EXPORT_INTERVAL": "600000"}
        service = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "uvicorn", "services.stager.app:app", "--port", str(port)),
            cwd=ROOT,
            env={**os.environ, **stack.environment(), **taking.environment(), **patient},
            stderr=log,
        )
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                await until_ready(client)
                assert (await client.post("/pubsub/push", json=PUSH)).is_success
            assert taking.spans == []
        finally:
            service.send_signal(signal.SIGTERM)
            await service.wait()
        assert "process stager.manifest.validated" in {span.name for span in taking.spans}


async def until_ready(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with suppress(httpx.TransportError):
                if (await client.get("/health/ready")).is_success:
                    return
            await asyncio.sleep(0.05)
