"""A replay that fails after its load was applied: the truth of it for operator and partner."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crossdock.cli import environment
from crossdock.cli.app import app
from crossdock.pipeline import STAGES, subscribe_stages
from services.reporter.deliver import deliver_due
from services.reporter.mail import as_plain_text
from services.reporter.summary import summarize
from shared.bus.memory import MemoryBus
from shared.bus.port import Answer, Message
from shared.events import SUBSCRIPTIONS, Event, Topic
from shared.gcs_notification import notification_of
from shared.mysql.connect import Database
from shared.notices import Notice
from shared.stage import Parts, Stage, run_stage
from tests.drops import ROWS, Drop, csv_bytes
from tests.loads import arrival, run

ACKS = Path("acks/acme/load-1")
TOLD = """SELECT notification_no AS number, subject, run, outcome, attempts, body FROM notification
WHERE channel = 'log' ORDER BY notification_no"""


def drop_with_a_reject() -> Drop:
    drop = Drop()
    wrong = {"source_customer_id": "X", "country": "too long"}
    drop.files["customers.csv"] = csv_bytes("customers", [*ROWS["customers"], wrong])
    return drop


async def replay_in_vain(parts: Parts, bucket_dir: Path, drop: Drop) -> None:
    """Replay a load whose file has been overwritten meanwhile, to the end."""
    (bucket_dir / drop.prefix / "customers.csv").write_bytes(b"something else")
    bus = MemoryBus(max_attempts=3, backoff_seconds=0.01)
    parts = replace(parts, bus=bus)
    subscribe_stages(bus, parts, lambda _: None)
    await bus.publish(Topic.ARRIVED, Event(load_id=drop.load_id).body(), {})
    await bus.drain()
    await deliver_due(parts)


async def apply_without_telling(parts: Parts, drop: Drop) -> None:
    """Take a drop through all stages but the reporter, which is away."""
    bus = MemoryBus(max_attempts=3, backoff_seconds=0.01)
    parts = replace(parts, bus=bus)
    for stage in STAGES[:3]:

        async def take(message: Message, stage: Stage = stage) -> Answer:
            return await run_stage(stage, message, parts)

        for topic in SUBSCRIPTIONS[stage.name]:
            bus.subscribe(topic, f"{stage.name}.{topic}", take)
    found = await arrival(parts, drop)
    notification = notification_of(found.bucket, found.object_name, found.generation)
    await bus.publish(Topic.ARRIVED, b"{}", notification)
    await bus.drain()
    load = await parts.ledger.read(drop.load_id)
    assert load is not None
    assert (load.state, load.reported_run) == ("upserted", None)


async def told(database: Database) -> list[Notice]:
    rows = await database.fetch_all(TOLD)
    return [Notice(**{**row, "body": json.loads(row["body"])}) for row in rows]


@pytest.fixture
def command_line(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CROSSDOCK_MYSQL_URL", database_url)
    monkeypatch.setattr(environment, "STATE_DIR", tmp_path / "no-stack")


async def crossdock(*words: str) -> str:
    result = await asyncio.to_thread(CliRunner().invoke, app, list(words))
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.replace("│", " ").split())


async def document(*words: str) -> dict[str, Any]:
    result = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--json"])
    return dict(json.loads(result.stdout))


@pytest.mark.usefixtures("command_line")
async def test_a_failed_replay_of_a_load_that_stands_asks_nothing_of_the_partner(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = drop_with_a_reject()
    drop.write(bucket_dir)
    await run(parts, drop)
    ack = (bucket_dir / ACKS / "ack.json").read_bytes()
    await replay_in_vain(parts, bucket_dir, drop)

    verdict, code = "replay failed; what run 1 applied stands", "file.checksum_mismatch"
    _, notice = await told(database)
    texts = [
        as_plain_text(summarize(notice)),
        await crossdock("report", "load-1"),
        await crossdock("status", "load-1"),
    ]
    for text in texts:
        assert verdict in text
        assert code in text
        assert "the partner has nothing to send" in " ".join(text.split())
        assert "same load_id" not in text
    assert "production -" not in texts[1]
    assert f"{verdict}: {code}" in await crossdock("status")
    for words in (("report", "load-1"), ("status", "load-1")):
        one = await document(*words)
        assert (one["state"], one["run"], one["applied_run"]) == ("reported", 2, 1)
        assert one["failure"]["remedy"].startswith("Nothing has to be done")
    assert (bucket_dir / ACKS / "ack.json").read_bytes() == ack


@pytest.mark.usefixtures("command_line")
async def test_a_load_that_was_applied_and_not_told_is_told_before_the_replay_that_failed(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = drop_with_a_reject()
    drop.write(bucket_dir)
    await apply_without_telling(parts, drop)
    await replay_in_vain(parts, bucket_dir, drop)

    applied, failed = await told(database)
    assert [(one.run, one.outcome) for one in (applied, failed)] == [(1, "reported"), (2, "failed")]
    assert applied.body["reconciled"] is True
    assert applied.body["entities"]["customers"]["inserted"] == len(ROWS["customers"])
    assert all(file["generation"] for file in applied.body["files"])
    assert applied.body["started_at"] < failed.body["started_at"]
    assert "what run 1 applied stands" in as_plain_text(summarize(failed))

    ack = json.loads((bucket_dir / ACKS / "ack.json").read_bytes())
    assert (ack["run"], ack["state"], ack["failure"]) == (1, "reported", None)
    assert ack["entities"] == applied.body["entities"]
    assert ack["rejects"] == {"rejected": 1, "listed": 1}
    load = await parts.ledger.read("load-1")
    assert load is not None
    assert (load.state, load.reported_run, load.due_topic) == ("reported", 2, None)
    events = await database.fetch_all(
        "SELECT run, published_at FROM outbox WHERE topic = 'reported'"
    )
    assert [event["run"] for event in events] == [1]
    assert events[0]["published_at"] is not None

    await replay_in_vain(parts, bucket_dir, drop)
    assert [one.run for one in await told(database)] == [1, 2, 3]


@pytest.mark.usefixtures("command_line")
async def test_rejected_rows_are_told_by_code_with_the_file_that_lists_them(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = drop_with_a_reject()
    drop.write(bucket_dir)
    await run(parts, drop)
    (notice,) = await told(database)
    line = "row.too_long 1; listed in acks/acme/load-1/rejects.csv"
    assert f"Rejected rows: {line}" in as_plain_text(summarize(notice))
    assert f"rejected rows: {line}" in await crossdock("report", "load-1")
    assert f"Rejected rows: {line}" in await crossdock("status", "load-1")
    listed = {"by_code": {"row.too_long": 1}, "file": str(ACKS / "rejects.csv")}
    for words in (("report", "load-1"), ("status", "load-1")):
        assert (await document(*words))["rejected_rows"] == listed
    assert (bucket_dir / ACKS / "rejects.csv").exists()
