"""A database that was brought back to an earlier moment, and the bucket as it is now.

Two servers of the test's own: one is copied while it runs and goes on; the other starts from the
copy, takes the binary log up to a moment in the middle, and stands for the restored database.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from crossdock.pipeline import subscribe_stages
from crossdock.stack import mysql_server
from crossdock.stack.errors import MySQLServerMissingError
from services.validator.stage import STAGE as VALIDATOR
from shared.bus.memory import MemoryBus
from shared.bus.port import Answer, Message
from shared.events import Topic
from shared.gcs_notification import notification_of
from shared.ledger.mysql import Ledger
from shared.mysql.connect import Database, MySQLAddress, connect
from shared.mysql.migrate import migrate
from shared.partners import Partners
from shared.settings import Settings
from shared.stage import Parts, run_stage
from shared.storage.directory import DirectoryStorage
from shared.sweep import Swept, sweep
from tests.conftest import missing
from tests.drops import ROWS, Drop, later
from tests.loads import arrival, replay, run
from tests.pages import code, page, section
from tests.production import Content, content

PATIENCE_SECONDS = 30
REPLICATE = """CHANGE REPLICATION SOURCE TO SOURCE_HOST = %(host)s, SOURCE_PORT = %(port)s,
SOURCE_USER = %(user)s, SOURCE_PASSWORD = %(password)s, SOURCE_SSL = 1, SOURCE_AUTO_POSITION = 0,
SOURCE_LOG_FILE = %(from_file)s, SOURCE_LOG_POS = %(from_position)s"""
REPLICATE_UNTIL = """START REPLICA UNTIL
SOURCE_LOG_FILE = %(until_file)s, SOURCE_LOG_POS = %(until_position)s"""
UNDER_WAY = Drop("under-way", "dana")
STILL_APPLIES = "SELECT SERVICE_STATE = 'ON' FROM performance_schema.replication_applier_status"


@dataclass
class Place:
    """A database and the bucket, with the stages between them."""

    parts: Parts
    database: Database
    root: Path

    async def apply(self, drop: Drop) -> None:
        drop.write(self.root)
        await run(self.parts, drop)

    def with_stages(self) -> MemoryBus:
        """A bus of their own, as after a start: what was on the one before is gone."""
        bus = MemoryBus(max_attempts=3, backoff_seconds=0.01)
        self.parts = replace(self.parts, bus=bus)
        subscribe_stages(bus, self.parts, lambda _: None)
        return bus

    async def validate(self, drop: Drop) -> None:
        """Leave a load under way: the other stages have not had it yet."""
        drop.write(self.root)
        bus = self.with_validator_alone()
        arrived = await arrival(self.parts, drop)
        notification = notification_of(arrived.bucket, arrived.object_name, arrived.generation)
        await bus.publish(Topic.ARRIVED, b"{}", notification)
        await bus.drain()

    def with_validator_alone(self) -> MemoryBus:
        bus = MemoryBus(max_attempts=3, backoff_seconds=0.01)
        self.parts = parts = replace(self.parts, bus=bus)

        async def take(message: Message) -> Answer:
            return await run_stage(VALIDATOR, message, parts)

        bus.subscribe(Topic.ARRIVED, f"validator.{Topic.ARRIVED}", take)
        return bus

    async def states(self) -> dict[str, tuple[str, int]]:
        rows = await self.database.fetch_all("SELECT load_id, state, run FROM load_ledger")
        return {row["load_id"]: (row["state"], row["run"]) for row in rows}


@dataclass
class Loss:
    """A restored database, and what there was at the moment and before the first one was lost."""

    restored: Place
    at_the_moment: Content
    before: Content


@pytest.fixture
async def loss(stack_dir: Path, tmp_path: Path) -> AsyncIterator[Loss]:
    """Loads before a copy, between it and the moment, and after; then a restore to the moment."""
    lost_dir, restored_dir = stack_dir / "restore-lost", stack_dir / "restore-restored"
    try:
        url = started(lost_dir)
        await migrate(url)
        async with connect(url) as database:
            lost = Place(parts_on(url, tmp_path), database, tmp_path)
            await lost.apply(Drop("copied"))
            copied = await copy_while_it_runs(database, restored_dir.resolve() / "mysql" / "data")
            await lost.apply(Drop("logged", created_at=later(1), files=files_with("Ulm")))
            await lost.validate(UNDER_WAY)
            at_the_moment = await content(database)
            moment = await place(database)
            before = await live_on(lost)

        restored_url = started(restored_dir)
        async with connect(restored_url) as database:
            await take_binary_log(database, MySQLAddress.parse(url), copied, moment)
            mysql_server.stop(lost_dir)
            restored = Place(parts_on(restored_url, tmp_path), database, tmp_path)
            yield Loss(restored, at_the_moment, before)
    finally:
        for folder in (lost_dir, restored_dir):
            mysql_server.stop(folder)
            shutil.rmtree(folder, ignore_errors=True)


def started(state_dir: Path) -> str:
    try:
        return mysql_server.ensure_started(state_dir).url
    except MySQLServerMissingError as error:
        missing(str(error))


def parts_on(url: str, root: Path) -> Parts:
    settings = Settings(
        mysql_url=url,
        bucket="drops",
        lease_seconds=1,
        heartbeat_seconds=0.3,
        missing_file_grace_seconds=0,
    )
    storage = DirectoryStorage(root, settings.bucket)
    return Parts(settings, storage, MemoryBus(), Ledger(settings), Partners())


def files_with(city: str) -> dict[str, bytes]:
    """The usual files with another city in one row, and a customer more."""
    first, *others = ROWS["customers"]
    more = {"source_customer_id": f"from {city}", "city": city}
    return Drop.of({**ROWS, "customers": [{**first, "city": city}, *others, more]}).files


async def copy_while_it_runs(database: Database, data: Path) -> tuple[str, int]:
    """A copy from which a server can start, made as the page says; its place in the binary log."""
    data.parent.mkdir(parents=True)
    (block,) = code(section(page("docs/operations/restore.md"), "## Back up"), "sql")
    *copying, position = filter(None, block.replace("/backup/copy", str(data)).split(";\n"))
    for statement in copying:
        await database.execute(statement)
    return await place(database, position)


async def live_on(lost: Place) -> Content:
    """What the restored database will not know: loads, a correction, a replay, a deleted drop."""
    await run(lost.parts, UNDER_WAY)
    await lost.apply(Drop("after", created_at=later(2), files=files_with("Rom")))
    corrected = Drop("corrected", "bolt", created_at=later(3))
    await lost.apply(replace(corrected, manifest_changes={"schema_version": "v0"}))
    await lost.apply(corrected)
    await lost.apply(Drop("wrong", "bolt", manifest_changes={"schema_version": "v0"}))
    await replay(lost.parts, Topic.STAGED, "logged")
    before = await content(lost.database)
    assert await lost.states() == {
        "copied": ("reported", 1),
        "logged": ("reported", 2),
        "under-way": ("reported", 1),
        "after": ("reported", 1),
        "corrected": ("reported", 2),
        "wrong": ("failed", 1),
    }
    gone = Drop("gone", "coda", created_at=later(4))
    await lost.apply(gone)
    shutil.rmtree(lost.root / gone.prefix)
    return before


async def place(database: Database, statement: str = "SHOW BINARY LOG STATUS") -> tuple[str, int]:
    """Where the binary log ends: its file, and the bytes in it."""
    row = await database.fetch_one(statement)
    assert row is not None
    return row["File"], row["Position"]


async def until_applied(database: Database) -> None:
    while True:
        if not await database.fetch_value(STILL_APPLIES):
            return
        await asyncio.sleep(0.05)


async def take_binary_log(
    database: Database, source: MySQLAddress, since: tuple[str, int], until: tuple[str, int]
) -> None:
    """Do again what the lost server did between two positions, and nothing after them."""
    await database.execute("SET GLOBAL server_id = 2")
    account = {name: getattr(source, name) for name in ("host", "port", "user", "password")}
    start = {"from_file": since[0], "from_position": since[1]}
    await database.execute(REPLICATE, account | start)
    end = {"until_file": until[0], "until_position": until[1]}
    await database.execute(REPLICATE_UNTIL, end)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await until_applied(database)
    await database.execute("STOP REPLICA")
    await database.execute("RESET REPLICA ALL")


@pytest.mark.timeout(300)  # two servers are started
async def test_after_a_restore_the_sweep_brings_back_what_the_bucket_still_has_with_the_same_ids(
    loss: Loss,
) -> None:
    restored = loss.restored
    at_the_moment = {
        "copied": ("reported", 1),
        "logged": ("reported", 1),
        "under-way": ("validated", 1),
    }
    assert await restored.states() == at_the_moment
    assert await content(restored.database) == loss.at_the_moment != loss.before

    bus = restored.with_validator_alone()
    assert (await sweep(restored.parts)).noticed == 3
    await bus.drain()
    noticed = {"after": ("validated", 1), "corrected": ("validated", 1), "wrong": ("failed", 1)}
    assert await restored.states() == at_the_moment | noticed
    assert await content(restored.database) == loss.at_the_moment

    bus = restored.with_stages()
    at_the_end = dict.fromkeys((*at_the_moment, *noticed), ("reported", 1)) | {
        "wrong": ("failed", 1)
    }
    at_rest = Swept(woken=0, published=0, noticed=0)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await restored.states(), await sweep(restored.parts)) != (at_the_end, at_rest):
            await bus.drain()
            await asyncio.sleep(0.1)
    assert await content(restored.database) == loss.before
