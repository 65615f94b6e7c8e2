"""Two loads of one partner: which goes first, and what the other finds."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crossdock.pipeline import Ending, subscribe_stages
from services.upserter.classify import forget_earlier
from shared.bus.memory import MemoryBus
from shared.events import Topic
from shared.gcs_notification import notification_of
from shared.ledger.states import State
from shared.mysql.connect import Database, connect
from shared.stage import Parts
from shared.sweep import sweep
from tests.drops import ROWS, Drop, later
from tests.loads import arrival, counts, report, run
from tests.production import content, is_empty


async def test_two_loads_that_arrive_in_the_wrong_order_end_as_in_order(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    old = Drop()
    rows = dict(ROWS)
    rows["customers"] = [{**row, "city": "Later"} for row in ROWS["customers"]]
    new = Drop.of(rows, load_id="load-2", created_at=later(1))
    old.write(bucket_dir)
    new.write(bucket_dir)
    await run(parts, new)
    before = await content(database)
    await run(parts, old)
    assert counts(await report(database, "load-1"), "stale") == dict.fromkeys(ROWS, 3)
    after = await content(database)
    assert {name: after[name] for name in ROWS} == {name: before[name] for name in ROWS}
    assert (await report(database, "load-1"))["warnings"]


async def test_a_newer_load_waits_while_an_older_one_is_on_its_way(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    old = Drop()
    child = {name: rows for name, rows in ROWS.items() if name != "customers"}
    new = Drop.of(child, load_id="load-2", created_at=later(1))
    old.write(bucket_dir)
    new.write(bucket_dir)
    bus = MemoryBus()
    parts = replace(parts, bus=bus)
    await database.execute(
        "INSERT INTO load_ledger (load_id, source_system, partner, bucket, prefix, state, reached,"
        " run, owned, version, received_at, started_at, updated_at, lease_until) "
        "VALUES ('held', 'acme', 'acme', 'drops', 'imports/acme/held/', 'received', 'received', 1,"
        " TRUE, 1, NOW(6), NOW(6), NOW(6), NOW(6) + INTERVAL 1 HOUR)"
    )
    newer = await arrival(parts, new)

    subscribe_stages(bus, parts, lambda _: None)
    notification = notification_of(newer.bucket, newer.object_name, newer.generation)
    await bus.publish(Topic.ARRIVED, b"{}", notification)
    await bus.drain()
    load = await parts.ledger.read("load-2")
    assert load is not None
    assert (load.state, load.waiting_since is not None) == (State.STAGED, True)
    assert is_empty(await content(database))


async def test_a_load_that_has_waited_long_enough_goes_on_with_a_warning(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    await database.execute(
        "INSERT INTO load_ledger (load_id, source_system, partner, bucket, prefix, state, reached,"
        " run, owned, version, received_at, started_at, updated_at, lease_until) "
        "VALUES ('held', 'acme', 'acme', 'drops', 'imports/acme/held/', 'received', 'received', 1,"
        " TRUE, 1, NOW(6), NOW(6), NOW(6), NOW(6) + INTERVAL 1 HOUR)"
    )
    drop = Drop()
    drop.write(bucket_dir)
    patient = replace(parts, settings=parts.settings.model_copy(update={"order_wait_seconds": 0.5}))
    followed = await run(patient, drop)
    assert followed.ending is Ending.REPORTED
    assert any("held" in warning for warning in (await report(database))["warnings"])


async def test_a_newer_load_that_was_applied_just_before_the_gate_was_taken_is_seen(
    parts: Parts, bucket_dir: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {name: list(rows) for name, rows in ROWS.items()}
    changed["customers"] = [{**row, "city": "Elsewhere"} for row in ROWS["customers"]]
    late = Drop.of(changed, created_at=later(1))
    drops = (Drop(load_id="load-0"), late, Drop(load_id="load-2", created_at=later(2)))
    for drop in drops:
        drop.write(bucket_dir)
    before, _, newer = drops
    await run(parts, before)
    parts = replace(parts, settings=parts.settings.model_copy(update={"order_wait_seconds": 0}))

    async def forget_and_be_overtaken(*arguments: Any) -> None:
        monkeypatch.setattr("services.upserter.stage.forget_earlier", forget_earlier)
        await forget_earlier(*arguments)
        await run(parts, newer)

    monkeypatch.setattr("services.upserter.stage.forget_earlier", forget_and_be_overtaken)
    assert (await run(parts, late)).ending is Ending.REPORTED
    assert counts(await report(database, "load-2"), "unchanged") == dict.fromkeys(ROWS, 3)
    assert counts(await report(database, "load-1"), "stale") == dict.fromkeys(ROWS, 3)


async def test_a_busy_gate_makes_the_load_wait_without_a_fault(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    bus = MemoryBus()
    parts = replace(parts, bus=bus)
    subscribe_stages(bus, parts, lambda _: None)
    found = await arrival(parts, drop)
    await database.execute("INSERT INTO source_gate (source_system) VALUES ('acme')")
    async with connect(parts.ledger.url) as holder, holder.transaction():
        await holder.fetch_all("SELECT * FROM source_gate FOR UPDATE")
        notification = notification_of(found.bucket, found.object_name, found.generation)
        await bus.publish(Topic.ARRIVED, b"{}", notification)
        await bus.drain()
        load = await parts.ledger.read("load-1")
        assert load is not None
        assert (load.state, load.attempts, load.leased) == (State.STAGED, 0, False)
        assert load.waiting_since is None
    while load.due_topic is not None:
        await asyncio.sleep(0.1)
        await sweep(parts)
        await bus.drain()
        load = await parts.ledger.read("load-1")
        assert load is not None
    assert (load.state, load.run) == (State.REPORTED, 1)
