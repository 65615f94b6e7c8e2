"""One drop through all four stages over the in-process bus, on the real MySQL."""

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from crossdock.pipeline import Ending, run_arrival, subscribe_stages
from shared.bus.memory import MemoryBus
from shared.events import Event, Topic
from shared.ledger.states import State
from shared.mysql.connect import Database
from shared.stage import Parts
from shared.sweep import sweep
from tests.drops import ROWS, Drop, csv_bytes, later
from tests.loads import arrival, counts, report, run
from tests.production import content, is_empty


async def test_a_good_drop_is_loaded_with_every_value_as_delivered(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    followed = await run(parts, drop)
    assert followed.ending is Ending.REPORTED
    rows = await database.fetch_all(
        "SELECT k.source_key, c.* FROM customers c "
        "JOIN crosswalk_customers k ON k.internal_id = c.customer_id ORDER BY k.source_key"
    )
    assert [row["source_key"] for row in rows] == ["C1", "C2", "c1"]
    assert [row["last_name"] for row in rows] == ["NULL", None, "line\nbreak"]
    assert [row["first_name"] for row in rows] == ["Ada", None, 'O"Hara, "Zoë"']
    assert [row["city"] for row in rows] == [None, "\\N", None]
    makes = await database.fetch_all("SELECT make FROM vehicles WHERE make IS NOT NULL")
    assert [row["make"] for row in makes] == ["🚗\r\nvan"]
    told = await report(database)
    assert told["reconciled"] is True
    assert told["state"] == "reported"
    assert counts(told, "inserted") == dict.fromkeys(ROWS, 3)
    assert counts(told, "production") == dict.fromkeys(ROWS, 3)


async def test_children_point_at_their_parents(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await run(parts, drop)
    rows = await database.fetch_all(
        "SELECT l.source_line_item_id AS line_item, k.source_key AS customer FROM line_items l "
        "JOIN invoices USING (invoice_id) JOIN vehicles USING (vehicle_id) "
        "JOIN crosswalk_customers k ON k.internal_id = customer_id ORDER BY 1"
    )
    pairs = [(row["line_item"], row["customer"]) for row in rows]
    assert pairs == [("L1", "C1"), ("L2", "c1"), ("L3", "C2")]


async def test_the_same_drop_again_changes_nothing(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    folder = drop.write(bucket_dir)
    await run(parts, drop)
    before = await content(database)
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes())
    followed = await run(parts, drop)
    assert followed.ending is Ending.REPORTED
    assert followed.load is not None
    assert followed.load.run == 1
    assert await content(database) == before
    notices = await database.fetch_all("SELECT channel FROM notification ORDER BY 1")
    assert [row["channel"] for row in notices] == ["ack", "log"]


async def test_the_same_rows_under_a_new_load_id_are_all_unchanged(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    first, second = Drop(), Drop(load_id="load-2", created_at=later(1))
    first.write(bucket_dir)
    second.write(bucket_dir)
    await run(parts, first)
    before = await content(database)
    await run(parts, second)
    told = await report(database, "load-2")
    assert counts(told, "unchanged") == dict.fromkeys(ROWS, 3)
    after = await content(database)
    assert {name: after[name] for name in ROWS} == {name: before[name] for name in ROWS}
    assert {row["last_seen_load_id"] for row in after["crosswalk_customers"]} == {"load-2"}
    assert {row["first_seen_load_id"] for row in after["crosswalk_customers"]} == {"load-1"}


async def test_a_flipped_byte_fails_the_load_and_leaves_production_alone(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    folder = drop.write(bucket_dir)
    damaged = (folder / "vehicles.csv").read_bytes().replace(b"V3", b"V4")
    (folder / "vehicles.csv").write_bytes(damaged)
    followed = await run(parts, drop)
    assert followed.ending is Ending.FAILED
    assert is_empty(await content(database))
    failure = (await report(database))["failure"]
    assert failure["code"] == "file.checksum_mismatch"
    assert failure["file"] == "vehicles.csv"
    assert hashlib.sha256(damaged).hexdigest() in failure["message"]
    assert hashlib.sha256(drop.files["vehicles.csv"]).hexdigest() in failure["message"]


async def test_a_mended_file_makes_a_new_run_that_succeeds(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    folder = drop.write(bucket_dir)
    (folder / "vehicles.csv").write_bytes(b"damaged")
    assert (await run(parts, drop)).ending is Ending.FAILED
    (folder / "vehicles.csv").write_bytes(drop.files["vehicles.csv"])
    followed = await run(parts, drop)
    assert followed.ending is Ending.REPORTED
    assert followed.load is not None
    assert (followed.load.run, followed.load.failed_run) == (2, None)
    assert (await report(database))["failure"] is None


async def test_other_bytes_under_an_applied_load_id_are_refused(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await run(parts, drop)
    before = await content(database)
    again = Drop(created_at=later(5))
    again.write(bucket_dir)
    await run(parts, again)
    assert await content(database) == before
    refused = await database.fetch_one("SELECT * FROM arrival WHERE verdict = 'refused'")
    assert refused is not None
    assert refused["failure_code"] == "manifest.load_id_reused"
    outcomes = await database.fetch_all("SELECT DISTINCT outcome FROM notification ORDER BY 1")
    assert [row["outcome"] for row in outcomes] == ["refused", "reported"]
    ledger = await parts.ledger.read("load-1")
    assert ledger is not None
    assert (ledger.state, ledger.run) == (State.REPORTED, 1)


@pytest.mark.parametrize(
    ("stage", "topic"),
    [
        ("validator", Topic.ARRIVED),
        ("stager", Topic.VALIDATED),
        ("upserter", Topic.STAGED),
        ("reporter", Topic.UPSERTED),
    ],
)
async def test_a_replay_of_any_stage_reruns_it_and_those_after_it(
    parts: Parts, bucket_dir: Path, database: Database, stage: str, topic: Topic
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    bus = MemoryBus()
    parts = replace(parts, bus=bus)
    await run_arrival(await arrival(parts, drop), parts, bus, progress=lambda _: None)
    before = await content(database)
    await bus.publish(topic, Event(load_id="load-1", reason="a drill").body(), {})
    await bus.drain()
    assert await content(database) == before
    load = await parts.ledger.read("load-1")
    assert load is not None
    assert (load.state, load.run, load.reported_run) == (State.REPORTED, 2, 2)
    history = await database.fetch_all(
        "SELECT stage, kind, detail FROM load_event WHERE run = 2 ORDER BY event_no"
    )
    assert history[0] == {"stage": stage, "kind": "replayed", "detail": "a drill"}
    told = await report(database)
    assert (told["run"], told["reconciled"]) == (2, True)
    if stage != "reporter":
        assert counts(told, "unchanged") == dict.fromkeys(ROWS, 3)


async def test_a_failed_replay_of_an_applied_load_leaves_it_as_it_was(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    folder = drop.write(bucket_dir)
    bus = MemoryBus()
    parts = replace(parts, bus=bus)
    await run_arrival(await arrival(parts, drop), parts, bus, progress=lambda _: None)
    before = await content(database)
    (folder / "vehicles.csv").unlink()
    await bus.publish(Topic.ARRIVED, b'{"load_id": "load-1"}', {})
    await bus.drain()
    assert await content(database) == before
    load = await parts.ledger.read("load-1")
    assert load is not None
    assert (load.state, load.run, load.applied_run, load.reported_run) == (State.REPORTED, 2, 1, 2)
    told = await report(database)
    assert (told["run"], told["failure"]["code"]) == (2, "file.missing")


async def test_a_manifest_whose_notification_was_lost_is_found_by_the_sweep(
    parts: Parts, bucket_dir: Path
) -> None:

    drop = Drop()
    drop.write(bucket_dir)
    bus = MemoryBus()
    parts = replace(parts, bus=bus)
    subscribe_stages(bus, parts, lambda _: None)
    assert (await sweep(parts)).noticed == 1
    await bus.drain()
    load = await parts.ledger.read("load-1")
    assert load is not None
    assert load.state is State.REPORTED
    assert (await sweep(parts)).noticed == 0


async def test_totals_and_crlf_and_a_missing_last_line_break_are_accepted(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.files["invoices.csv"] = csv_bytes("invoices", ROWS["invoices"], line_end="\r\n")
    drop.files["line_items.csv"] = drop.files["line_items.csv"].rstrip(b"\n")
    manifest = drop.manifest()
    manifest["files"][3]["totals"] = {"line_total": "4.50"}
    drop.write(bucket_dir, manifest=json.dumps(manifest).encode())
    assert (await run(parts, drop)).ending is Ending.REPORTED
    assert (await report(database))["reconciled"] is True


def test_the_drops_of_these_tests_lie_in_the_past() -> None:
    assert Drop().created_at + timedelta(days=1) < later(100_000)
