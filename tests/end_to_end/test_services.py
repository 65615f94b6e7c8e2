"""Drops through the real services: bucket events, Pub/Sub pushes, MySQL, and what kill -9 does."""

import asyncio
import json
import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from crossdock.stack import running
from shared.bus.pubsub import PubSubBus
from shared.events import StageName, Topic
from shared.http_headers import HEADERS as HARDENED
from shared.mysql.connect import Database, connect
from shared.storage.gcs import GcsStorage
from tests.drops import HEADERS, Drop
from tests.end_to_end.conftest import started
from tests.observability.collector import Collector
from tests.production import content

PATIENCE_SECONDS = 60
# A table that each service writes in the middle of its work: held, it holds the service there.
IN_THE_WAY: dict[StageName, str] = {
    "validator": "load_file",
    "stager": "staging_invoices",
    "upserter": "invoices",
    "reporter": "load_report",
}


def fresh_drop(**facts: Any) -> Drop:
    """A drop of a partner of its own, so that no other test's loads go first."""
    name = uuid.uuid4().hex[:10]
    return Drop(load_id=f"load-{name}", partner=f"partner-{name}", **facts)


async def upload(storage: GcsStorage, drop: Drop, *, skip: tuple[str, ...] = ()) -> None:
    """Upload as a partner does: the manifest last."""
    for name, data in drop.files.items():
        if name not in skip:
            await storage.write(drop.prefix + name, data, content_type="text/csv")
    manifest = json.dumps(drop.manifest()).encode()
    await storage.write(
        drop.prefix + "manifest.json", manifest, content_type="application/json", overwrite=True
    )


async def ledger_row(database: Database, drop: Drop) -> dict[str, Any] | None:
    return await database.fetch_one(
        "SELECT * FROM load_ledger WHERE load_id = %(load_id)s", {"load_id": drop.load_id}
    )


async def until(
    database: Database, drop: Drop, holds: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """The load's row as soon as something holds of it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            row = await ledger_row(database, drop)
            if row is not None and holds(row):
                return row
            await asyncio.sleep(0.02)


def told(row: dict[str, Any]) -> bool:
    """Whether the load's latest run was reported."""
    return bool(row["reported_run"] == row["run"] and row["state"] in {"reported", "failed"})


async def read_report(database: Database, drop: Drop) -> dict[str, Any]:
    text = await database.fetch_value(
        "SELECT report FROM load_report WHERE load_id = %(load_id)s ORDER BY run DESC LIMIT 1",
        {"load_id": drop.load_id},
    )
    return dict(json.loads(text))


async def keys_in_production(database: Database, drop: Drop) -> dict[str, int]:
    return {
        name: await database.fetch_value(
            f"SELECT COUNT(*) FROM {name} WHERE source_system = %(source)s",
            {"source": drop.partner},
        )
        for name in HEADERS
    }


async def test_a_drop_that_is_uploaded_is_reported(storage: GcsStorage, database: Database) -> None:
    drop = fresh_drop()
    await upload(storage, drop)
    row = await until(database, drop, told)
    assert (row["state"], row["run"]) == ("reported", 1)
    assert await keys_in_production(database, drop) == dict.fromkeys(HEADERS, 3)
    report = await read_report(database, drop)
    assert report["reconciled"] is True


async def test_a_file_that_lands_after_the_manifest_is_waited_for(
    storage: GcsStorage, database: Database
) -> None:
    drop = fresh_drop()
    await upload(storage, drop, skip=("invoices.csv",))
    await until(database, drop, lambda row: row["lease_owner"] is not None)
    name = drop.prefix + "invoices.csv"
    await storage.write(name, drop.files["invoices.csv"], content_type="text/csv")
    assert (await until(database, drop, told))["state"] == "reported"


async def test_a_flipped_byte_ends_failed_and_reported_with_production_untouched(
    storage: GcsStorage, database: Database
) -> None:
    drop = fresh_drop()
    manifest = drop.manifest()
    drop.files["customers.csv"] = drop.files["customers.csv"].replace(b"Ada", b"Bda")
    drop.manifest_changes = manifest
    await upload(storage, drop)
    row = await until(database, drop, told)
    assert (row["state"], row["failure_code"]) == ("failed", "file.checksum_mismatch")
    assert await keys_in_production(database, drop) == dict.fromkeys(HEADERS, 0)


async def test_a_body_published_by_hand_reruns_the_upserter(
    storage: GcsStorage,
    database: Database,
    stack: running.StackInfo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", stack.pubsub_emulator_host)
    drop = fresh_drop()
    await upload(storage, drop)
    await until(database, drop, told)
    before = await content(database)
    bus = PubSubBus(stack.project)
    body = json.dumps({"load_id": drop.load_id}).encode()
    await bus.publish(Topic.STAGED, body, {})
    await bus.close()
    row = await until(database, drop, lambda row: row["run"] == 2 and told(row))
    assert (row["state"], row["applied_run"], row["staged_run"]) == ("reported", 2, 1)
    assert await content(database) == before


async def held_up(database: Database, table: str) -> bool:
    """Whether some connection waits for the table."""
    waiting = await database.fetch_value(
        "SELECT COUNT(*) FROM performance_schema.processlist "
        "WHERE STATE = 'Waiting for table metadata lock' AND INFO LIKE %(table)s",
        {"table": f"%{table}%"},
    )
    return bool(waiting)


@pytest.mark.parametrize("service", sorted(IN_THE_WAY))
async def test_a_service_killed_in_mid_load_and_started_again_ends_in_the_same_content(
    service: StageName,
    storage: GcsStorage,
    database: Database,
    stack: running.StackInfo,
    state_dir: Path,
    collected: Collector,
) -> None:
    drop = fresh_drop()
    table = IN_THE_WAY[service]
    async with connect(stack.mysql_url, program_name="in the way") as blocker:
        await blocker.execute(f"LOCK TABLES {table} WRITE")
        await upload(storage, drop)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                if await held_up(database, table):
                    break
                await asyncio.sleep(0.02)
        os.kill(stack.services[service].pid, signal.SIGKILL)
        await asyncio.to_thread(started, state_dir, collected)
    row = await until(database, drop, told)
    assert (row["state"], row["run"]) == ("reported", 1)
    claims = await database.fetch_value(
        "SELECT COUNT(*) FROM load_event WHERE load_id = %(load_id)s AND stage = %(stage)s "
        "AND kind = 'claimed'",
        {"load_id": drop.load_id, "stage": service},
    )
    assert claims == 2
    assert await keys_in_production(database, drop) == dict.fromkeys(HEADERS, 3)
    report = await read_report(database, drop)
    assert report["reconciled"] is True
    assert {one["inserted"] for one in report["entities"].values()} == {3}


async def test_no_service_says_what_serves_it(stack: running.StackInfo) -> None:
    async with httpx.AsyncClient() as client:
        for service in stack.services.values():
            answer = await client.get(f"{service.url}/health/live")
            assert answer.is_success
            assert set(answer.headers) == {"date", "content-length", "content-type", *HARDENED}
