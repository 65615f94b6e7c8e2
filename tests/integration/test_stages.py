"""What a single stage does when it is passed, begun anew, or finds less than it left."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from crossdock.pipeline import Ending, run_arrival
from services.stager import stage as stager
from services.stager.stage import STAGE as STAGER
from services.validator.stage import STAGE as VALIDATOR
from shared.bus.memory import MemoryBus
from shared.bus.port import Answer, Message
from shared.clock import now
from shared.errors import LeaseLost
from shared.events import Event, Topic
from shared.gcs_notification import notification_of
from shared.ledger.delivery import Delivery
from shared.ledger.lease import Claim
from shared.mysql.connect import Database
from shared.mysql.side_by_side import side_by_side
from shared.stage import Parts, run_stage
from tests.drops import ROWS, Drop
from tests.loads import arrival, counts, report, run

Piece = Callable[[Database], Awaitable[None]]


async def validated(parts: Parts, drop: Drop) -> None:
    """The drop after the validator, its event unpublished."""
    found = await arrival(parts, drop)
    attributes = notification_of(found.bucket, found.object_name, found.generation)
    message = Message(b"{}", attributes, "validator.manifest.arrived", "1", now())
    assert await run_stage(VALIDATOR, message, replace(parts, bus=MemoryBus())) is Answer.DONE


async def test_a_stager_that_was_passed_commits_no_file(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await validated(parts, drop)
    event = Event(load_id="load-1", event_id="e", run=1)
    late = await parts.ledger.claim(Delivery("stager", event, "drops"), None)
    assert isinstance(late, Claim)
    await database.execute("UPDATE load_ledger SET fence = fence + 1")
    with pytest.raises(LeaseLost):
        await STAGER.run(late, parts)
    for name in ROWS:
        assert await database.fetch_value(f"SELECT COUNT(*) FROM staging_{name}") == 0


async def test_a_restart_of_the_stager_begins_its_run_anew(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await validated(parts, drop)
    await database.execute(
        "INSERT INTO staging_customers (load_id, run, row_no, hashed_id, source_customer_id) "
        "VALUES ('load-1', 1, 1, 7, 'left by a dead worker'), ('load-1', 1, 99, 8, 'and more')"
    )
    event = Event(load_id="load-1", event_id="e", run=1)
    await run_stage(STAGER, Message(event.body(), {}, "stager", "1", now()), parts)
    rows = await database.fetch_all("SELECT run, row_no FROM staging_customers ORDER BY row_no")
    assert [(row["run"], row["row_no"]) for row in rows] == [(1, 1), (1, 2), (1, 3)]


async def test_the_milestone_of_the_stager_does_not_rest_on_a_connection_that_fell_silent(
    parts: Parts, bucket_dir: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await validated(parts, drop)

    async def slow(databases: Sequence[Database], pieces: Iterable[Piece]) -> list[None]:
        for one in databases:
            await one.execute("SET SESSION wait_timeout = 1")
        await side_by_side(databases, pieces)
        for one in databases:
            await until_dropped(one)
        return []

    monkeypatch.setattr(stager, "side_by_side", slow)
    event = Event(load_id="load-1", event_id="e", run=1)
    message = Message(event.body(), {}, "stager", "1", now())
    assert await run_stage(STAGER, message, replace(parts, bus=MemoryBus())) is Answer.DONE
    assert await database.fetch_value("SELECT state FROM load_ledger") == "staged"


async def until_dropped(silent: Database) -> None:
    """Say nothing over a connection until its server has closed it."""
    async with asyncio.timeout(10):
        await silent.connection._reader.read()


async def test_a_row_that_vanished_after_the_upsert_is_reported_as_a_mismatch(
    parts: Parts, bucket_dir: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    bus = MemoryBus()
    parts = replace(parts, bus=bus)
    await run_arrival(await arrival(parts, drop), parts, bus, progress=lambda _: None)
    await database.execute("DELETE FROM line_items LIMIT 1")
    await bus.publish(Topic.UPSERTED, b'{"load_id": "load-1"}', {})
    await bus.drain()
    told = await report(database)
    assert (told["state"], told["reconciled"], told["failure"]) == ("reported", False, None)
    assert counts(told, "production") == dict.fromkeys(ROWS, 3) | {"line_items": 2}
    assert "load.does_not_reconcile" in capsys.readouterr().out
    outcome = "SELECT outcome FROM notification ORDER BY notification_no DESC LIMIT 1"
    assert await database.fetch_value(outcome) == "mismatch"


async def test_a_unique_key_that_somebody_added_to_production_is_told_by_its_name(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    await database.execute("ALTER TABLE invoices ADD UNIQUE KEY added_by_hand (currency)")
    settings = parts.settings.model_copy(update={"attempts_before_attention": 1})
    parts = replace(parts, settings=settings, ledger=type(parts.ledger)(settings))
    drop = Drop()
    drop.write(bucket_dir)
    followed = await run(parts, drop)
    assert followed.ending is Ending.NEEDS_ATTENTION
    error = await database.fetch_value("SELECT last_error FROM load_ledger")
    assert "invoices.added_by_hand" in error
    assert "EUR" not in error
