"""`crossdock status`: what wants a look comes first, and what has no load is told too."""

import asyncio
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType
from typer.testing import CliRunner, Result

from crossdock.cli import environment
from crossdock.cli.app import app
from crossdock.cli.ledger_view import MOST_LOADS, describe_load
from crossdock.cli.status_tables import render_list, render_load
from services.stager.stage import STAGE as STAGER
from shared.bus.port import Answer, Message
from shared.clock import now
from shared.events import Event
from shared.ledger.mysql import note
from shared.mysql.connect import Database
from shared.stage import Parts, run_stage
from tests.drops import ROWS, Drop, csv_bytes, later
from tests.loads import run

NEWER = MOST_LOADS + 5
ADD_LOAD = """INSERT INTO load_ledger (load_id, source_system, partner, bucket, prefix, state, run,
    owned, failed_run, failure_code, failure_message, reported_run, needs_attention, received_at,
    started_at, updated_at)
VALUES (%(load_id)s, 'acme', 'acme', 'drops', 'imports/acme/L/', %(state)s, 1, TRUE,
    %(failed_run)s, IF(%(failed_run)s IS NULL, NULL, 'manifest.schema'), '', %(reported_run)s,
    %(needs_attention)s, NOW(6) - INTERVAL %(age)s MINUTE, NOW(6), NOW(6))"""


@pytest.fixture(autouse=True)
def command_line(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CROSSDOCK_MYSQL_URL", database_url)
    monkeypatch.setattr(environment, "STATE_DIR", tmp_path / "no-stack")


async def crossdock(*words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, list(words))


async def add_load(database: Database, load_id: str, state: str, age: int, **facts: Any) -> None:
    values = {"failed_run": None, "reported_run": None, "needs_attention": False, **facts}
    await database.execute(ADD_LOAD, {**values, "load_id": load_id, "state": state, "age": age})


def on_a_narrow_terminal(parts: Iterable[RenderableType]) -> str:
    output = io.StringIO()
    console = Console(file=output, width=80, highlight=False)
    for part in parts:
        console.print(part, markup=False)
    return output.getvalue()


async def test_no_number_of_newer_loads_hides_one_that_wants_a_look(database: Database) -> None:
    for number in range(NEWER):
        await add_load(database, f"new-{number}", "reported", number, reported_run=1)
    await add_load(database, "told", "failed", 5_000, failed_run=1, reported_run=1)
    await add_load(database, "untold", "failed", 5_000, failed_run=1)
    await add_load(database, "unfinished", "upserted", 5_000)
    await add_load(database, "stuck", "staged", 5_000, needs_attention=True)

    listed = json.loads((await crossdock("status", "--json")).stdout)
    names = [load["load_id"] for load in listed["loads"]]
    assert names[:5] == ["stuck", "unfinished", "untold", "new-0", "new-1"]
    assert (listed["total"], len(names), listed["not_shown"]) == (NEWER + 4, MOST_LOADS, 9)
    assert listed["needs_attention"] == 1
    assert listed["states"] == {
        "received": 0,
        "validated": 0,
        "staged": 1,
        "upserted": 1,
        "reported": NEWER,
        "failed": 2,
    }
    shown = (await crossdock("status")).stdout
    totals = f"loads: {NEWER + 4}; 1 staged, 1 upserted, {NEWER} reported, 2 failed"
    assert shown.startswith(f"{totals}; needing attention: 1\n")
    assert "and 9 more that are not shown" in shown


async def test_messages_for_a_load_that_does_not_exist_are_counted_and_found_by_its_name(
    parts: Parts, database: Database
) -> None:
    listed = (await crossdock("status")).stdout
    assert "do not exist" not in listed
    event = Event(load_id="nope", event_id="e", run=1)
    message = Message(event.body(), {}, "stager.manifest.validated", "1", now())
    assert await run_stage(STAGER, message, parts) is Answer.DONE
    await note(database, "nope", "dead_lettered", detail="delivered\x1b 10 times")
    assert (
        "messages for loads that do not exist, in 24 hours: 1 "
        in (await crossdock("status")).stdout
    )
    asked = await crossdock("status", "nope")
    assert asked.exit_code == 4
    _, head, first, second = asked.stderr.splitlines()
    assert head == "What came in its name:"
    assert first.endswith("Z  stager  unknown_load")
    assert second.endswith("Z  dead_lettered  delivered\N{REPLACEMENT CHARACTER} 10 times")
    await database.execute("UPDATE load_event SET happened_at = NOW(6) - INTERVAL 25 HOUR")
    assert "do not exist" not in (await crossdock("status")).stdout


@pytest.mark.parametrize("name", ["no load id", "\udcff", "x" * 5_000])
async def test_a_name_that_can_be_no_loads_is_looked_for_too(database: Database, name: str) -> None:
    await note(database, "no load id", "unknown_load")
    asked = await crossdock("status", name)
    assert asked.exit_code == 4
    assert ("unknown_load" in asked.stderr) == (name == "no load id")


async def test_a_manifest_that_was_refused_is_told_with_its_code_and_its_name(
    parts: Parts, bucket_dir: Path
) -> None:
    for drop in (Drop(), Drop(created_at=later(1))):
        drop.write(bucket_dir)
        await run(parts, drop)
    load = await describe_load(parts.settings.mysql_url, "load-1")
    refused = next(line for line in load["history"] if line["kind"] == "arrival_refused")
    manifest = "imports/acme/load-1/manifest.json at generation "
    assert refused["detail"].startswith(f"manifest.load_id_reused: {manifest}")
    shown = (await crossdock("status", "load-1")).stdout
    _, _, table = shown.partition("Manifests that were refused")
    table, _, _ = table.partition("History")
    assert "imports/acme/load-1/manifest.json" in table
    assert "manifest.load_id_reused" in table


async def test_eighty_columns_show_every_time_and_every_state_whole(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop(load_id="2026-02-01_" + "long-name_" * 4)
    wrong = {"source_customer_id": "X", "country": "too long"}
    drop.files["customers.csv"] = csv_bytes("customers", [*ROWS["customers"], wrong])
    for created_at in (drop.created_at, later(1)):
        drop.created_at = created_at
        drop.write(bucket_dir)
        await run(parts, drop)
    await database.execute("UPDATE load_event SET detail = REPEAT('detail ', 20)")
    url = parts.settings.mysql_url
    document = await describe_load(url, drop.load_id)
    listed = json.loads((await crossdock("status", "--json")).stdout)
    for text in (
        on_a_narrow_terminal(render_list(listed)),
        on_a_narrow_terminal(render_load(document)),
    ):
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= 80
        assert document["received_at"][:19].replace("T", " ") in text
        assert "reported" in text
    for line in document["history"]:
        assert f"{line['at'][:19].replace('T', ' ')} " in text
        assert f" {line['kind']} " in text
