"""Promises that hold against what the fault suite cannot bring about."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.stager.stage import STAGE as STAGER
from services.validator.stage import STAGE as VALIDATOR
from shared.bus.memory import MemoryBus
from shared.bus.port import Answer, Message
from shared.clock import now
from shared.events import Event
from shared.gcs_notification import notification_of
from shared.ledger.delivery import Delivery, Verdict
from shared.ledger.lease import Claim
from shared.ledger.states import State
from shared.mysql.connect import BRIEF_SILENCE_SECONDS, Database, connect
from shared.stage import Parts, Stage, run_stage
from shared.sweep import sweep
from tests.drops import Drop
from tests.faults.one_process import LameStorage
from tests.loads import arrival, run

SILENCE_OF_WHO_WAITS = """SELECT v.VARIABLE_VALUE FROM performance_schema.variables_by_thread v
JOIN performance_schema.threads t USING (THREAD_ID)
WHERE t.PROCESSLIST_DB = DATABASE() AND v.VARIABLE_NAME = 'wait_timeout'
    AND t.PROCESSLIST_STATE = 'Waiting for table metadata lock'"""


async def validated(parts: Parts, drop: Drop) -> Answer:
    """Bring a drop to its first milestone, by the message that tells of its arrival."""
    found = await arrival(parts, drop)
    attributes = notification_of(found.bucket, found.object_name, found.generation)
    message = Message(b"{}", attributes, "validator.manifest.arrived", "1", now())
    return await run_stage(VALIDATOR, message, replace(parts, bus=MemoryBus()))


async def test_a_message_is_answered_when_its_work_is_done_and_not_before(
    parts: Parts, bucket_dir: Path
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    slow = LameStorage(bucket_dir, parts.storage.bucket)
    slow.held_seconds = {"vehicles.csv": 1.0}
    assert await validated(replace(parts, storage=slow), drop) is Answer.DONE
    load = await parts.ledger.read(drop.load_id)
    assert load is not None
    assert (load.state, load.leased) == (State.VALIDATED, False)


@pytest.mark.parametrize(("stage", "table"), [(VALIDATOR, "arrival"), (STAGER, "load_ledger")])
async def test_a_process_that_freezes_while_it_decides_keeps_its_locks_for_seconds_only(
    parts: Parts, bucket_dir: Path, database: Database, database_url: str, stage: Stage, table: str
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await validated(parts, drop)
    found = await arrival(parts, drop)
    attributes = notification_of(found.bucket, found.object_name, found.generation)
    body = Event(load_id=drop.load_id, event_id="e", run=1).body()
    message = Message(body, attributes, f"{stage.name}.any", "2", now())
    async with connect(database_url, program_name="in the way") as blocker:
        await blocker.execute(f"LOCK TABLES {table} WRITE")
        deciding = asyncio.create_task(run_stage(stage, message, parts))
        async with asyncio.timeout(10):
            while (seconds := await database.fetch_value(SILENCE_OF_WHO_WAITS)) is None:
                pass
    await deciding
    assert int(seconds) == BRIEF_SILENCE_SECONDS


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_lease_lasts_as_long_though_its_workers_clock_is_wrong(
    parts: Parts, bucket_dir: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await validated(parts, drop)
    wrong = datetime.now(UTC) + timedelta(hours=hours)
    monkeypatch.setattr("shared.clock.now", lambda: wrong)
    delivery = Delivery("stager", Event(load_id=drop.load_id, event_id="e", run=1), "drops")
    assert isinstance(await parts.ledger.claim(delivery, None), Claim)
    assert await parts.ledger.claim(delivery, None) is Verdict.BUSY
    load = await parts.ledger.read(drop.load_id)
    assert load is not None
    assert load.lease_until is not None
    assert load.lease_until - load.now <= timedelta(seconds=parts.settings.lease_seconds)


@pytest.mark.parametrize(
    ("written_minutes_ago", "ends_as"), [(0, State.VALIDATED), (-6, State.FAILED)]
)
async def test_the_future_begins_by_the_databases_clock_and_not_by_a_services_own(
    parts: Parts,
    bucket_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    written_minutes_ago: int,
    ends_as: State,
) -> None:
    drop = Drop(created_at=now() - timedelta(minutes=written_minutes_ago))
    drop.write(bucket_dir)
    for module in ("shared.clock", "services.validator.reading"):
        monkeypatch.setattr(
            f"{module}.now", lambda: datetime.now(UTC) - timedelta(minutes=10), raising=False
        )
    await validated(parts, drop)
    load = await parts.ledger.read(drop.load_id)
    assert load is not None
    assert load.state is ends_as


async def test_rows_that_mysql_changes_on_their_way_into_staging_are_no_staged_rows(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await validated(parts, drop)
    await database.execute("ALTER TABLE staging_customers MODIFY last_name VARCHAR(1)")
    event = Event(load_id=drop.load_id, event_id="e", run=1)
    message = Message(event.body(), {}, "stager.manifest.validated", "1", now())
    assert await run_stage(STAGER, message, replace(parts, bus=MemoryBus())) is Answer.RETRY
    load = await parts.ledger.read(drop.load_id)
    assert load is not None
    assert (load.state, load.failed_run) == (State.VALIDATED, None)
    assert await database.fetch_value("SELECT COUNT(*) FROM staging_customers") == 0


async def test_a_correction_whose_notification_was_lost_is_found_by_the_sweep(
    parts: Parts, bucket_dir: Path
) -> None:
    drop = Drop(manifest_changes={"schema_version": "v9"})
    drop.write(bucket_dir)
    await run(parts, drop)
    assert (await sweep(parts)).noticed == 0
    Drop().write(bucket_dir)
    assert (await sweep(parts)).noticed == 1
