"""Messages that come twice, answers that are lost, faults in the middle: the same in the end."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pymysql
import pytest

from crossdock.pipeline import STAGES
from services.stager.stage import STAGE as STAGER
from services.upserter.stage import STAGE as UPSERTER
from shared.bus.memory import MemoryBus
from shared.bus.port import Answer, Handler, Message
from shared.events import SUBSCRIPTIONS, Topic
from shared.gcs_notification import notification_of
from shared.ledger.lease import Claim
from shared.ledger.states import State
from shared.mysql.connect import Database
from shared.stage import Parts, Stage, run_stage
from shared.sweep import sweep
from tests.drops import HEADERS, Drop, later
from tests.faults.chaos import duplicating, failing_randomly
from tests.production import content

PATIENCE_SECONDS = 60


def subscribe(
    parts: Parts, bus: MemoryBus, wrap: Callable[[Handler], Handler], *stages: Stage
) -> None:
    """The stages on the bus, each behind a handler that misbehaves."""

    async def take(stage: Stage, message: Message) -> Answer:
        return await run_stage(stage, message, parts)

    for stage in stages or STAGES:
        handler = wrap(partial(take, stage))
        for topic in SUBSCRIPTIONS[stage.name]:
            bus.subscribe(topic, f"{stage.name}.{topic}", handler)


async def notify(parts: Parts, bus: MemoryBus, drop: Drop) -> None:
    manifest = await parts.storage.stat(drop.prefix + "manifest.json")
    assert manifest is not None
    attributes = notification_of("drops", manifest.name, manifest.generation)
    await bus.publish(Topic.ARRIVED, b"{}", attributes)


async def follow(parts: Parts, bus: MemoryBus, *load_ids: str) -> None:
    """Deliver and sweep until every load is at its end, as the running system does."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            await bus.drain()
            loads = [await parts.ledger.read(load_id) for load_id in load_ids]
            if all(load is not None and load.due_topic is None for load in loads):
                return
            await asyncio.sleep(0.1)
            await sweep(parts)


async def assert_loaded_once(database: Database) -> None:
    for name in HEADERS:
        assert await database.fetch_value(f"SELECT COUNT(*) FROM {name}") == 3
    inserted = await database.fetch_value("SELECT SUM(inserted) FROM load_count")
    assert inserted == 3 * len(HEADERS)
    notices = "SELECT COUNT(*) FROM notification WHERE channel = 'log'"
    assert await database.fetch_value(notices) == 1


async def test_a_bus_that_delivers_everything_twice_loads_once(
    parts: Parts, bus: MemoryBus, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    subscribe(parts, bus, duplicating)
    await notify(parts, bus, drop)
    await follow(parts, bus, drop.load_id)
    await assert_loaded_once(database)


@pytest.mark.parametrize("seed", range(4))
async def test_a_bus_that_loses_messages_and_answers_loads_once(
    parts: Parts, bus: MemoryBus, bucket_dir: Path, database: Database, seed: int
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    subscribe(parts, bus, lambda handler: duplicating(failing_randomly(handler, seed)))
    await notify(parts, bus, drop)
    await follow(parts, bus, drop.load_id)
    await assert_loaded_once(database)


async def test_loads_of_several_partners_side_by_side_do_not_disturb_each_other(
    parts: Parts, bus: MemoryBus, bucket_dir: Path, database: Database
) -> None:
    drops = [Drop(load_id=f"load-{name}", partner=name) for name in ("acme", "globex", "initech")]
    for drop in drops:
        drop.write(bucket_dir)
    for _ in drops:
        subscribe(parts, bus, lambda handler: handler)
    for drop in drops:
        await notify(parts, bus, drop)
    await follow(parts, bus, *(drop.load_id for drop in drops))
    assert await database.fetch_value("SELECT COUNT(*) FROM customers") == 9


async def test_two_loads_of_one_partner_that_race_end_in_the_content_of_the_newer(
    parts: Parts, bus: MemoryBus, bucket_dir: Path, database: Database
) -> None:
    newer = Drop(load_id="load-2", created_at=later(1))
    newer.files["customers.csv"] = newer.files["customers.csv"].replace(b"Ada", b"Eda")
    for drop in (newer, Drop()):
        drop.write(bucket_dir)
        await notify(parts, bus, drop)
    for _ in range(2):
        subscribe(parts, bus, lambda handler: handler)
    await notify(parts, bus, newer)
    await notify(parts, bus, Drop())
    await follow(parts, bus, "load-1", "load-2")
    names = await database.fetch_all(
        "SELECT first_name, last_load_id FROM customers WHERE last_name = 'NULL'"
    )
    assert names == [{"first_name": "Eda", "last_load_id": "load-2"}]


class Fails:
    """A stage that breaks off at its first attempts, as a fault of the infrastructure does."""

    def __init__(self, stage: Stage, times: int, fault: Exception) -> None:
        self.stage, self.times, self.fault = stage, times, fault

    def broken(self) -> Stage:
        async def run(claim: Claim, parts: Parts) -> None:
            if self.times:
                self.times -= 1
                raise self.fault
            await self.stage.run(claim, parts)

        return replace(self.stage, run=run)


@pytest.mark.parametrize("stage", [STAGER, UPSERTER])
@pytest.mark.parametrize(
    "fault",
    [
        pymysql.err.OperationalError(2013, "Lost connection"),
        OSError("no space left on device"),
        KeyError("a bug"),
    ],
)
async def test_a_fault_is_tried_again_and_never_blamed_on_the_partner(
    parts: Parts,
    bus: MemoryBus,
    bucket_dir: Path,
    database: Database,
    stage: Stage,
    fault: Exception,
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    others = [one for one in STAGES if one.name != stage.name]
    subscribe(parts, bus, lambda handler: handler, *others, Fails(stage, 2, fault).broken())
    await notify(parts, bus, drop)
    await follow(parts, bus, drop.load_id)
    await assert_loaded_once(database)
    postponed = await database.fetch_all("SELECT detail FROM load_event WHERE kind = 'postponed'")
    assert len(postponed) == 2
    assert all(type(fault).__name__ in row["detail"] for row in postponed)


@pytest.mark.parametrize("stage", [STAGER, UPSERTER])
@pytest.mark.parametrize("number", [1205, 1213])
async def test_a_lock_conflict_makes_the_stage_begin_anew_at_once(
    parts: Parts, bus: MemoryBus, bucket_dir: Path, database: Database, stage: Stage, number: int
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    conflict = pymysql.err.OperationalError(number, "try restarting transaction")
    broken = Fails(stage, 2, conflict)
    others = [one for one in STAGES if one.name != stage.name]
    subscribe(parts, bus, lambda handler: handler, *others, broken.broken())
    await notify(parts, bus, drop)
    await follow(parts, bus, drop.load_id)
    assert broken.times == 0
    await assert_loaded_once(database)
    kinds = await database.fetch_all("SELECT kind FROM load_event")
    assert "postponed" not in {row["kind"] for row in kinds}


async def test_a_bug_does_not_go_round_for_ever(
    parts: Parts, bus: MemoryBus, bucket_dir: Path
) -> None:
    settings = parts.settings.model_copy(update={"attempts_before_attention": 3})
    ledger = type(parts.ledger)(settings)
    parts = replace(parts, settings=settings, ledger=ledger)
    drop = Drop()
    drop.write(bucket_dir)
    broken = Fails(STAGER, 1000, KeyError("a bug"))
    others = [one for one in STAGES if one.name != "stager"]
    subscribe(parts, bus, lambda handler: handler, *others, broken.broken())
    await notify(parts, bus, drop)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            await bus.drain()
            load = await parts.ledger.read(drop.load_id)
            assert load is not None
            if load.needs_attention:
                break
            await asyncio.sleep(0.1)
            await sweep(parts)
    assert (load.state, load.attempts) == (State.VALIDATED, 3)
    assert (await sweep(parts)).woken == 0
    broken.times = 0
    await bus.publish(Topic.VALIDATED, b'{"load_id": "load-1"}', {})
    await follow(parts, bus, drop.load_id)
    mended = await parts.ledger.read(drop.load_id)
    assert mended is not None
    assert (mended.state, mended.needs_attention) == (State.REPORTED, False)


async def test_whatever_happened_before_the_content_is_that_of_a_quiet_day(
    parts: Parts, bus: MemoryBus, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    subscribe(parts, bus, lambda handler: handler)
    await notify(parts, bus, drop)
    await follow(parts, bus, drop.load_id)
    quiet = await content(database)
    for topic in (Topic.ARRIVED, Topic.VALIDATED, Topic.STAGED):
        subscribe(parts, bus, duplicating)
        await bus.publish(topic, b'{"load_id": "load-1"}', {})
        await follow(parts, bus, drop.load_id)
        assert await content(database) == quiet
