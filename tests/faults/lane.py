"""A lane: the four services and the sweep as processes of their own, on a database, a project and a
bucket of their own, for one run at a time.
"""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import httpx
from google.api_core.exceptions import NotFound
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from crossdock.stack import mysql_server, processes, storage_emulator, topology
from shared.events import SUBSCRIPTIONS, Topic
from shared.ledger.states import State
from shared.mysql.connect import Database, connect, redone
from shared.mysql.migrate import migrate
from tests.drops import Drop
from tests.faults.strike import StrikeOrder
from tests.faults.suite import Servers
from tests.faults.zygote import SWEEP, Zygote
from tests.production import content

BUCKET = "drops"
LEASE_SECONDS = 2.0
SETTINGS = {
    "CROSSDOCK_BUCKET": BUCKET,
    "CROSSDOCK_LEASE_SECONDS": str(LEASE_SECONDS),
    "CROSSDOCK_HEARTBEAT_SECONDS": "0.5",
    "CROSSDOCK_SWEEP_SECONDS": "0.5",
    "CROSSDOCK_RETRY_BASE_SECONDS": "0.1",
    "CROSSDOCK_MISSING_FILE_GRACE_SECONDS": "1",
    "CROSSDOCK_LOG_LEVEL": "debug",
}
PROGRAMS = (*SUBSCRIPTIONS, SWEEP)
QUIET_SECONDS = 40.0
STRIKE_SECONDS = 20.0
START_SECONDS = 20.0
# A woken process has one request, or one pass, to bring to its end.
LAST_WORDS_SECONDS = 30.0
POLL_SECONDS = 0.05
DECIDED = ("load_ledger", "load_file", "load_count", "load_reject", "load_report")


class NotQuietError(AssertionError):
    """Something still waits, long after it should have come to its end; the text says what."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One process of a lane; the sweep's port is 0."""

    program: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        """A service's base URL."""
        return f"http://127.0.0.1:{self.port}"

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; one that is gone gets none."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def is_gone(self) -> bool:
        """Whether the process has ended."""
        return processes.start_time(self.pid) is None


@dataclass(slots=True)
class Lane:
    """What one run needs; `environment` is what its processes are started with."""

    servers: Servers
    folder: Path
    zygote: Zygote
    project: str
    database_url: str
    storage_url: str
    environment: dict[str, str]
    workers: dict[str, Worker] = field(default_factory=dict)
    former: list[Worker] = field(default_factory=list)

    @property
    def order(self) -> StrikeOrder:
        """The strike that its processes wait for."""
        return StrikeOrder(self.folder)

    def database(self) -> AbstractAsyncContextManager[Database]:
        """A connection to look at the database with."""
        return connect(self.database_url, program_name="lane")

    async def begin(self) -> None:
        """A first day: no message, object or row of an earlier run, and all processes new."""
        await self.end_processes()
        self.order.withdraw()
        await asyncio.to_thread(self._unsubscribe)
        objects = self.folder / "storage" / "objects" / BUCKET
        for entry in objects.iterdir():
            shutil.rmtree(entry)
        await redone(self._delete_rows)  # a statement of a process that was killed may still run
        await self.start(*PROGRAMS)
        await self.subscribe()

    async def start(self, *programs: str) -> None:
        """Start processes anew, services on the ports that they had, and wait until they listen."""

        async def one(program: str) -> None:
            known = self.workers.get(program)
            port = known.port if known else 0 if program == SWEEP else processes.usable_port()
            self.workers[program] = await self._fork(program, port)

        await asyncio.gather(*map(one, programs))

    async def take_over(self, program: str) -> Worker:
        """Let another process stand in for a worker, which is left as it is and given back."""
        known = self.workers[program]
        self.former.append(known)
        port = 0 if program == SWEEP else processes.usable_port()
        self.workers[program] = await self._fork(program, port)
        if program != SWEEP:
            await self.subscribe(program)
        return known

    async def subscribe(self, *programs: str) -> None:
        """Point the pushes at the services as they stand: at all, or at those that are named."""
        wanted = programs or tuple(SUBSCRIPTIONS)
        urls = {program: self.workers[program].url for program in wanted}
        await asyncio.to_thread(
            topology.subscribe_services, self.servers.pubsub_host, self.project, urls
        )

    async def upload(self, drop: Drop) -> None:
        """Upload as a partner does: the manifest last."""
        files = {**drop.files, "manifest.json": json.dumps(drop.manifest()).encode()}
        for name, data in files.items():
            await self.put(drop.prefix + name, data)

    async def put(self, name: str, data: bytes) -> None:
        """Store one object, over one that has its name."""
        url = f"{self.storage_url}/upload/storage/v1/b/{BUCKET}/o?uploadType=media"
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{url}&name={quote(name, safe='')}", content=data)
        answer.raise_for_status()

    async def until_struck(self) -> str | None:
        """The program that the strike hit, and None if it never came."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STRIKE_SECONDS):
                while True:
                    struck = self.order.struck()
                    if struck is not None:
                        return struck
                    await asyncio.sleep(POLL_SECONDS)
        return None

    async def until_gone(self, worker: Worker) -> None:
        """Wait until a process has ended.

        Raises:
            NotQuietError: it goes on.
        """
        await _until(worker.is_gone, LAST_WORDS_SECONDS, lambda: f"{worker.program} goes on and on")

    async def until_at_end(self, loads: int) -> None:
        """Wait until so many loads are there, each of them at its end and told of.

        Raises:
            NotQuietError: one is not.
        """
        await self._until_rows(_NOT_AT_END, loads)

    async def until_quiet(self, loads: int) -> None:
        """Wait until so many loads are at their end, and nothing is on its way any more.

        Raises:
            NotQuietError: something is.
        """
        await self._until_rows(f"{_NOT_AT_END} UNION ALL {_ON_ITS_WAY}", loads)

    async def until_state(self, load_id: str, state: State) -> None:
        """Wait until a load has come to a state.

        Raises:
            NotQuietError: it does not come there.
        """
        query = "SELECT state FROM load_ledger WHERE load_id = %(load_id)s"
        async with self.database() as database:

            async def is_there() -> bool:
                found = await database.fetch_value(query, {"load_id": load_id})
                return bool(found == state)

            await _until(is_there, QUIET_SECONDS, lambda: f"{load_id} is not yet {state}")

    async def decided(self) -> dict[str, list[dict[str, Any]]]:
        """What no zombie may change: production, and every decision on a load."""
        async with self.database() as database:
            tables = await content(database)
            for table in DECIDED:
                rows = await database.fetch_all(f"SELECT * FROM {table} ORDER BY 1, 2, 3")
                tables[table] = [dict(row) for row in rows]
            return tables

    async def let_notice_leases_run_out(self) -> None:
        """Bring the hour nearer at which a notice that was not given is tried again."""
        sooner = "UPDATE notification SET next_attempt_at = NOW(6) WHERE delivered_at IS NULL"
        async with self.database() as database:
            await redone(lambda: database.execute(sooner))

    async def end_processes(self) -> None:
        """End all processes of the lane by kill -9."""
        ending = [*self.workers.values(), *self.former]
        for worker in ending:
            worker.signal(signal.SIGKILL)
        for worker in ending:
            await self.until_gone(worker)
        self.former.clear()

    async def _fork(self, program: str, port: int) -> Worker:
        pid = await self.zygote.fork(program, program, port, self.folder, self.environment)
        worker = Worker(program, port, pid)
        if program != SWEEP:
            await _until_listening(worker)
        return worker

    def _unsubscribe(self) -> None:
        with grpc.insecure_channel(self.servers.pubsub_host) as channel:
            client = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
            for service, topics in SUBSCRIPTIONS.items():
                for topic in topics:
                    name = f"projects/{self.project}/subscriptions/{service}.{topic}"
                    with suppress(NotFound):
                        client.delete_subscription(subscription=name)

    async def _delete_rows(self) -> None:
        async with self.database() as database:
            tables = await database.fetch_all(
                "SELECT TABLE_NAME AS t FROM information_schema.TABLES "
                "WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' "
                "AND TABLE_NAME <> 'schema_migration'"
            )
            await database.execute("SET SESSION foreign_key_checks = 0")
            async with database.transaction():
                for row in tables:
                    await database.execute(f"DELETE FROM `{row['t']}`")

    async def _until_rows(self, unfinished: str, loads: int) -> None:
        left: list[str] = []
        async with self.database() as database:

            async def is_done() -> bool:
                left[:] = await _unfinished(database, unfinished, loads)
                return not left

            def what_is_left() -> str:
                gone = [f"{one.program} is gone" for one in self.workers.values() if one.is_gone()]
                return "; ".join([*left, *gone])

            await _until(is_done, QUIET_SECONDS, what_is_left)


_NOT_AT_END = (
    "SELECT CONCAT(load_id, ' is ', state, ' in run ', run, ', attempts ', attempts, ', lease ', "
    "COALESCE(lease_owner, 'free'), ', last error ', COALESCE(last_error, 'none')) AS told "
    "FROM load_ledger WHERE lease_owner IS NOT NULL OR NOT "
    "(state IN ('reported', 'failed') AND COALESCE(reported_run, 0) = run)"
)
_ON_ITS_WAY = (
    "SELECT CONCAT('event ', topic, ' of ', load_id, ' is not published') FROM outbox "
    "WHERE published_at IS NULL UNION ALL "
    "SELECT CONCAT('notice of ', subject, ' by ', channel, ' is not given') FROM notification "
    "WHERE delivered_at IS NULL UNION ALL "
    "SELECT CONCAT('arrival ', object, ' is ', verdict) FROM arrival "
    "WHERE verdict IN ('noticed', 'pending')"
)

_ARRIVALS = "SELECT CONCAT('arrival ', object, ' is ', verdict) AS told FROM arrival"


async def _unfinished(database: Database, query: str, loads: int) -> list[str]:
    # Counted first: a load that comes in between is among the unfinished then.
    known = await database.fetch_value("SELECT COUNT(*) FROM load_ledger")
    told = [str(row["told"]) for row in await database.fetch_all(query)]
    if known == loads:
        return told
    arrivals = [str(row["told"]) for row in await database.fetch_all(_ARRIVALS)]
    return [f"{known} of {loads} loads are known", *arrivals, *told]


async def _until(
    holds: Callable[[], Any], seconds: float, what_is_wrong: Callable[[], str]
) -> None:
    try:
        async with asyncio.timeout(seconds):
            while True:
                held = holds()
                if await held if asyncio.iscoroutine(held) else held:
                    return
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise NotQuietError(f"after {seconds:.0f} s: {what_is_wrong()}") from None


async def _until_listening(worker: Worker) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", worker.port)
            except ConnectionRefusedError:
                if worker.is_gone():
                    raise NotQuietError(f"{worker.program} ended while it started") from None
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


@asynccontextmanager
async def open_lane(
    servers: Servers, number: int, settings: Mapping[str, str] = SETTINGS
) -> AsyncIterator[Lane]:
    """A lane with everything but its processes, which `begin` starts; nothing of it is left."""
    name = f"lane_{os.getpid()}_{number}"
    project, folder = name.replace("_", "-"), servers.folder / name
    folder.mkdir(parents=True)
    database_url = await asyncio.to_thread(mysql_server.create_database, servers.mysql_url, name)
    await migrate(database_url)
    await asyncio.to_thread(topology.create_topics, servers.pubsub_host, project)
    notified = storage_emulator.Notifications(servers.pubsub_host, project, Topic.ARRIVED)
    storage = await asyncio.to_thread(storage_emulator.ensure_started, folder, notified)
    storage_emulator.create_bucket(storage.url, BUCKET, project)
    environment = {
        **settings,
        "CROSSDOCK_MYSQL_URL": database_url,
        "CROSSDOCK_PROJECT": project,
        "PUBSUB_EMULATOR_HOST": servers.pubsub_host,
        "STORAGE_EMULATOR_HOST": storage.url,
    }
    zygote = await Zygote.start()
    lane = Lane(servers, folder, zygote, project, database_url, storage.url, environment)
    try:
        yield lane
    finally:
        zygote.end()
        storage_emulator.stop(folder)
        mysql_server.drop_database(servers.mysql_url, name)
