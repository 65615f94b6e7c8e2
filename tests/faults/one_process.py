"""A lane in this process: two workers a stage, a sweep that never rests, and the real MySQL.

What goes to MySQL goes through the proxy; what the harness itself asks goes past it.
"""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pymysql

from crossdock.pipeline import STAGES
from crossdock.stack import mysql_server
from services.reporter.deliver import deliver_due
from shared.bus.memory import MemoryBus
from shared.bus.port import Answer, Message
from shared.clock import now
from shared.errors import TransientFault
from shared.events import SUBSCRIPTIONS, Event, Topic
from shared.gcs_notification import Arrival, arrival_of, notification_of
from shared.ledger.mysql import Ledger
from shared.ledger.states import Load
from shared.manifest import MANIFEST_NAME
from shared.mysql.connect import Database, MySQLAddress, connect, redone
from shared.mysql.migrate import migrate
from shared.partners import Partners
from shared.settings import Settings
from shared.stage import Parts, Stage, run_stage
from shared.storage.directory import DirectoryStorage
from shared.storage.port import ObjectInfo, Storage
from shared.sweep import sweep
from tests.drops import Drop
from tests.faults.mysql_proxy import MySQLProxy

BUCKET = "drops"
WORKERS_A_STAGE = 2
LEASE_SECONDS = 2.0
STALL_SECONDS = 3.0
QUIET_SECONDS = 60.0
POLL_SECONDS = 0.05
SWEEP_PAUSE_SECONDS = 0.3
SHORT: dict[str, Any] = {
    "lease_seconds": LEASE_SECONDS,
    "heartbeat_seconds": 0.25,
    "sweep_seconds": SWEEP_PAUSE_SECONDS,
    "retry_base_seconds": 0.1,
    "missing_file_grace_seconds": 0,
}
UNTOLD = """SELECT (SELECT COUNT(*) FROM outbox WHERE published_at IS NULL)
    + (SELECT COUNT(*) FROM notification WHERE delivered_at IS NULL)"""
# The minute for which a sender that broke off keeps a notice to itself is cut to seconds.
END_NOTICE_LEASES = """UPDATE notification SET next_attempt_at = NOW(6)
WHERE delivered_at IS NULL
    AND next_attempt_at BETWEEN NOW(6) + INTERVAL 5 SECOND AND NOW(6) + INTERVAL 55 SECOND"""
DECIDED = """SELECT object, generation FROM arrival
WHERE verdict NOT IN ('noticed', 'pending')"""
TABLES = """SELECT TABLE_NAME AS name FROM information_schema.TABLES
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE'
    AND TABLE_NAME <> 'schema_migration'"""


class NotQuietError(Exception):
    """A run did not come to its end in time; the text says what stands where."""


@dataclass
class OneProcess:
    """One run after the other, each on empty tables and in an empty bucket.

    Attributes:
        database: past the proxy, to look and to prepare.
        database_url: past the proxy.
        proxied_url: through it.
        proxy: what stands between the services and MySQL.
        root: the folder that stands for the bucket.
        accounts: the database's URL, past the proxy, under the account of each program; programs
            without one work under the administrator's.
    """

    database: Database
    database_url: str
    proxied_url: str
    proxy: MySQLProxy
    root: Path
    accounts: Mapping[str, str] = field(default_factory=dict)

    def url_of(self, program: str) -> str:
        """The database past the proxy, as the program sees it."""
        return self.accounts.get(program, self.database_url)

    @asynccontextmanager
    async def day(
        self, settings: Mapping[str, float], storage: Storage | None = None
    ) -> AsyncIterator["Day"]:
        """The services at work on nothing yet.

        `settings` differ from the usual ones; `storage` is the bucket as the services see it, by
        default a folder.
        """
        await redone(self._clear)
        kept = storage or LameStorage(self.root, BUCKET)
        made = Settings(mysql_url=self.proxied_url, bucket=kept.bucket, **{**SHORT, **settings})
        bus = MemoryBus(max_attempts=5, backoff_seconds=0.05)
        parts = Parts(made, kept, bus, Ledger(made), Partners())
        day = Day(
            self, parts, bus, Ledger(made.model_copy(update={"mysql_url": self.database_url}))
        )
        at_work = [asyncio.create_task(day.serve_for_ever())]
        at_work.append(asyncio.create_task(day.sweep_for_ever()))
        try:
            yield day
        finally:
            await _end(at_work)

    async def _clear(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        async with self.database.transaction():
            await self.database.execute("SET foreign_key_checks = 0")
            for table in await self.database.fetch_all(TABLES):
                await self.database.execute(f"DELETE FROM `{table['name']}`")
            await self.database.execute("SET foreign_key_checks = 1")


@asynccontextmanager
async def open_one_process(server_url: str) -> AsyncIterator[OneProcess]:
    """A lane on a new database of the server; the database goes with it."""
    name = f"faults_{uuid4().hex[:12]}"
    url = mysql_server.create_database(server_url, name)
    try:
        await migrate(url)
        async with on_database(url, {}) as lane:
            yield lane
    finally:
        mysql_server.drop_database(server_url, name)


@asynccontextmanager
async def on_database(url: str, accounts: Mapping[str, str]) -> AsyncIterator[OneProcess]:
    """A lane on this database, which is migrated; `accounts` are as OneProcess has them."""
    address = MySQLAddress.parse(url)
    proxy = MySQLProxy(address.host, address.port, url, stall_seconds=STALL_SECONDS)
    try:
        proxied = _with_port(url, await proxy.start())
        with tempfile.TemporaryDirectory(prefix="crossdock-faults-") as folder:
            async with connect(url, program_name="harness") as database:
                await database.execute("SET SESSION wait_timeout = 28800")  # it may wait its turn
                yield OneProcess(database, url, proxied, proxy, Path(folder) / "bucket", accounts)
    finally:
        await proxy.close()


class LameStorage(DirectoryStorage):
    """A folder that is slow with the files in `held_seconds`, and may take nothing."""

    held_seconds: Mapping[str, float] = {}
    holds = False
    refuses_writes = False
    refusals = 0

    async def read(self, name: str, generation: int) -> AsyncIterator[bytes]:
        if held_seconds := self.held_seconds.get(name.rpartition("/")[2]):
            self.holds = True
            await asyncio.sleep(held_seconds)
            self.holds = False
        async for chunk in super().read(name, generation):
            yield chunk

    async def write(
        self, name: str, source: bytes | Path, *, content_type: str, overwrite: bool = False
    ) -> ObjectInfo:
        if self.refuses_writes:
            self.refusals += 1
            raise TransientFault("no room")
        return await super().write(name, source, content_type=content_type, overwrite=overwrite)


@dataclass
class Day:
    """One run: what arrives, and the way to its quiet end. `ledger` looks past the proxy."""

    lane: OneProcess
    parts: Parts
    bus: MemoryBus
    ledger: Ledger
    drops: list[Drop] = field(default_factory=list)
    manifests: set[tuple[str, int]] = field(default_factory=set)
    opened: set[str] = field(default_factory=set)

    @property
    def database(self) -> Database:
        """Past the proxy."""
        return self.lane.database

    def open(self, *stages: Stage) -> None:
        """Let stages take their messages, each by several workers; all where none is named."""
        for stage in stages or STAGES:
            if stage.name in self.opened:
                continue
            self.opened.add(stage.name)
            for number in range(WORKERS_A_STAGE):

                async def take(message: Message, stage: Stage = stage, own: int = number) -> Answer:
                    if int(message.message_id, 16) % WORKERS_A_STAGE != own:
                        return Answer.DONE  # another worker's
                    return await run_stage(stage, message, self.parts_of(stage.name))

                for topic in SUBSCRIPTIONS[stage.name]:
                    self.bus.subscribe(topic, f"{stage.name}.{topic}", take)

    def parts_of(self, program: str) -> Parts:
        """The parts under the account of a program, if it has one."""
        if program not in self.lane.accounts:
            return self.parts
        port = MySQLAddress.parse(self.lane.proxied_url).port
        url = _with_port(self.lane.url_of(program), port)
        settings = self.parts.settings.model_copy(update={"mysql_url": url})
        return replace(self.parts, settings=settings, ledger=Ledger(settings))

    async def put(self, drop: Drop, *, manifest: bytes | None = None) -> Arrival:
        """Upload a drop of which the bucket does not tell."""
        if manifest is None:
            self.drops.append(drop)
            manifest = json.dumps(drop.manifest()).encode()
        for name, data in drop.files.items():
            await self._write(drop.prefix + name, data)
        found = await self._write(drop.prefix + MANIFEST_NAME, manifest)
        self.manifests.add((found.name, found.generation))
        arrival = arrival_of(self.parts.storage.bucket, found.name, found.generation)
        assert arrival is not None
        return arrival

    async def arrive(self, drop: Drop, *, manifest: bytes | None = None) -> None:
        """Upload a drop, and let the bucket tell of it."""
        await self.tell_of(await self.put(drop, manifest=manifest))

    async def tell_of(self, arrival: Arrival) -> None:
        """Let the bucket tell of what was uploaded."""
        notification = notification_of(arrival.bucket, arrival.object_name, arrival.generation)
        await self.bus.publish(Topic.ARRIVED, b"{}", notification)

    async def _write(self, name: str, data: bytes) -> ObjectInfo:
        storage = self.parts.storage
        return await storage.write(name, data, content_type="text/plain", overwrite=True)

    async def deliver(self, stage: Stage, event: Event) -> None:
        """Bring one message to a stage past the bus, as often as it asks for it again."""
        topic = SUBSCRIPTIONS[stage.name][0]
        message = Message(event.body(), {}, f"{stage.name}.{topic}", uuid4().hex, now())
        async with asyncio.timeout(QUIET_SECONDS):
            while True:
                parts = self.parts_of(stage.name)
                if await run_stage(stage, message, parts) is Answer.DONE:
                    return
                await asyncio.sleep(POLL_SECONDS)

    async def settle(self, *load_ids: str) -> None:
        """Wait until these loads are at their end.

        Raises:
            NotQuietError: they are not, QUIET_SECONDS later.
        """

        async def are_settled() -> bool:
            loads = [await self.ledger.read(load_id) for load_id in load_ids]
            return all(load is not None and _is_settled(load) for load in loads)

        await self.until(are_settled, "settled")

    async def end(self) -> None:
        """The same for every load, with every manifest decided and every outcome told.

        Raises:
            NotQuietError: it is not so, QUIET_SECONDS later.
        """

        async def are_decided() -> bool:
            decided = await self.database.fetch_all(DECIDED)
            return self.manifests <= {(row["object"], row["generation"]) for row in decided}

        async def is_told() -> bool:
            with suppress(pymysql.err.OperationalError):  # a sender met it; there is a next time
                await self.database.execute(END_NOTICE_LEASES)
            return not await self.database.fetch_value(UNTOLD)

        await self.until(are_decided, "decided")
        await self.settle(*(drop.load_id for drop in self.drops))
        await self.until(is_told, "told")

    async def until_row(self, condition: str) -> None:
        """Wait until a load of the ledger is so; `condition` is SQL.

        Raises:
            NotQuietError: none is, QUIET_SECONDS later.
        """

        async def is_so() -> bool:
            question = f"SELECT COUNT(*) FROM load_ledger WHERE {condition}"
            return bool(await self.database.fetch_value(question))

        await self.until(is_so, condition)

    async def until(self, reached: Callable[[], Awaitable[bool]], wanted: str) -> None:
        """Wait until something is reached.

        Raises:
            NotQuietError: it is not, QUIET_SECONDS later.
        """
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                while True:
                    if await reached():
                        return
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise NotQuietError(f"not {wanted}: {await self._standing()}") from None

    async def serve_for_ever(self) -> None:
        """Bring the messages to the workers."""
        while True:
            await self.bus.drain()
            await asyncio.sleep(POLL_SECONDS)

    async def sweep_for_ever(self) -> None:
        """What the scheduler does; a pass that breaks off is followed by the next."""
        while True:
            with suppress(TransientFault):
                await sweep(self.parts_of("reporter"))
                await deliver_due(self.parts_of("reporter"))
            await asyncio.sleep(SWEEP_PAUSE_SECONDS)

    async def _standing(self) -> list[dict[str, Any]]:
        rows = await self.database.fetch_all(
            "SELECT load_id, state, run, fence, attempts, lease_owner, lease_until, "
            "next_attempt_at, needs_attention, last_error, failure_code FROM load_ledger"
        )
        return [dict(row) for row in rows]


async def _end(tasks: Sequence["asyncio.Task[None]"]) -> None:
    """Cancel what goes on for ever, and raise what it broke off with.

    A cancellation that comes as a connection opens is lost in `wait_for` before Python 3.12.
    """
    going_on = set(tasks)
    while going_on:
        for task in going_on:
            task.cancel()
        _, going_on = await asyncio.wait(going_on, timeout=POLL_SECONDS)
    for task in tasks:
        if not task.cancelled():
            task.result()


def _is_settled(load: Load) -> bool:
    return load.due_topic is None and not load.leased and not load.needs_attention


def _with_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    account = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{account}@127.0.0.1:{port}"))
