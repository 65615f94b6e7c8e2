"""Two replicas of each service and of the sweep side by side, behind a door that takes turns."""

import asyncio
import json
import socket
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response

from crossdock.stack import mysql_server, processes, topology
from crossdock.stack import storage_emulator as emulator
from shared.bus.pubsub import PubSubBus
from shared.events import SUBSCRIPTIONS, Topic
from shared.gcs_notification import notification_of
from shared.mysql.connect import Database, connect
from shared.mysql.migrate import migrate
from shared.storage.gcs import GcsStorage
from tests.drops import Drop
from tests.faults.oracles import ORACLES, FinishedRun, production_as_clean_run
from tests.faults.schedule_loads import DROPS
from tests.faults.zygote import SWEEP, Zygote

PROJECT = BUCKET = "crossdock-replicas"
REPLICAS = 2
PATIENCE_SECONDS = 120
pytestmark = pytest.mark.timeout(3 * PATIENCE_SECONDS)
MOVING = """SELECT (SELECT COUNT(*) FROM load_ledger WHERE state = 'reported') < %(loads)s
    OR EXISTS (SELECT 1 FROM outbox WHERE published_at IS NULL)
    OR EXISTS (SELECT 1 FROM load_ledger WHERE lease_owner IS NOT NULL)
    OR EXISTS (SELECT 1 FROM notification WHERE delivered_at IS NULL)"""
# A clean run beside this one costs as much again; the fault suite's many workers have one.
CHECKED = tuple(oracle for oracle in ORACLES if oracle is not production_as_clean_run)
TIMES_TOLD = """SELECT load_id, 'report' AS what, COUNT(*) AS times FROM load_report
    GROUP BY load_id
UNION ALL SELECT load_id, topic, COUNT(*) FROM outbox GROUP BY load_id, topic
UNION ALL SELECT load_id, CONCAT(stage, ' ', kind), COUNT(*) FROM load_event
    WHERE kind = 'finished' GROUP BY load_id, stage, kind
UNION ALL SELECT subject, channel, COUNT(*) FROM notification GROUP BY subject, channel"""
ONCE = {
    "report",
    *(Topic.ARRIVED, Topic.VALIDATED, Topic.STAGED, Topic.UPSERTED, Topic.REPORTED),
    *(f"{stage} finished" for stage in SUBSCRIPTIONS),
    *("ack", "log"),
}


@asynccontextmanager
async def in_turns(replicas: Mapping[str, list[int]]) -> AsyncIterator[str]:
    """A door before all services: each request goes to the next replica of its service."""
    turns = {service: cycle(ports) for service, ports in replicas.items()}
    door = FastAPI()
    async with httpx.AsyncClient(timeout=None) as client:

        @door.post("/{service}/{path:path}")
        async def hand_on(service: str, path: str, request: Request) -> Response:
            url = f"http://127.0.0.1:{next(turns[service])}/{path}"
            answer = await client.post(url, content=await request.body())
            return Response(answer.content, answer.status_code)

        server = uvicorn.Server(uvicorn.Config(door, log_level="warning"))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                await serving


@pytest.fixture
async def environment(
    mysql_server_url: str,
    pubsub_emulator_host: str,
    storage_emulator: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[dict[str, str]]:
    """The settings of every replica, with a database, a project and a bucket of their own."""
    name = f"replicas_{uuid.uuid4().hex[:8]}"
    url = mysql_server.create_database(mysql_server_url, name)
    await migrate(url)
    given = {
        "CROSSDOCK_MYSQL_URL": url,
        "CROSSDOCK_PROJECT": PROJECT,
        "CROSSDOCK_BUCKET": BUCKET,
        "CROSSDOCK_SWEEP_SECONDS": "0.5",
        "PUBSUB_EMULATOR_HOST": pubsub_emulator_host,
        "STORAGE_EMULATOR_HOST": storage_emulator,
    }
    for setting, value in given.items():
        monkeypatch.setenv(setting, value)
    emulator.create_bucket(storage_emulator, BUCKET, PROJECT)
    topology.create_topics(pubsub_emulator_host, PROJECT)
    yield given
    mysql_server.drop_database(mysql_server_url, name)


async def begin(
    zygote: Zygote, environment: Mapping[str, str], folder: Path
) -> dict[str, list[int]]:
    """Start every replica; gives the ports of each service's once all of them listen."""
    ports: dict[str, list[int]] = {service: [] for service in SUBSCRIPTIONS}
    taken: set[int] = set()
    for number in range(REPLICAS):
        await zygote.fork(f"{SWEEP}-{number}", SWEEP, 0, folder, environment)
        for service in SUBSCRIPTIONS:
            port = processes.usable_port(taken=taken)
            taken.add(port)
            ports[service].append(port)
            await zygote.fork(f"{service}-{number}", service, port, folder, environment)
    async with httpx.AsyncClient() as client, asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*(until_ready(client, port) for port in taken))
    return ports


async def until_ready(client: httpx.AsyncClient, port: int) -> None:
    while True:
        with suppress(httpx.TransportError):
            if (await client.get(f"http://127.0.0.1:{port}/health/ready")).is_success:
                return
        await asyncio.sleep(0.05)


async def upload(storage: GcsStorage, bus: PubSubBus, drop: Drop) -> None:
    """The drop into the bucket, and the news of its manifest."""
    for name, data in drop.files.items():
        await storage.write(drop.prefix + name, data, content_type="text/csv")
    text, name = json.dumps(drop.manifest()).encode(), f"{drop.prefix}manifest.json"
    written = await storage.write(name, text, content_type="application/json")
    await bus.publish(Topic.ARRIVED, b"{}", notification_of(BUCKET, name, written.generation))


async def come_to_rest(database: Database) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if not await database.fetch_value(MOVING, {"loads": len(DROPS)}):
                return
            await asyncio.sleep(0.1)


async def test_loads_that_come_at_once_to_replicas_side_by_side_are_each_reported_once(
    environment: dict[str, str],
    mysql_server_url: str,
    pubsub_emulator_host: str,
    tmp_path: Path,
) -> None:
    zygote = await Zygote.start()
    storage, bus = GcsStorage.connect(BUCKET, PROJECT), PubSubBus(PROJECT)
    try:
        ports = await begin(zygote, environment, tmp_path)
        async with in_turns(ports) as door, connect(environment["CROSSDOCK_MYSQL_URL"]) as database:
            urls = {service: f"{door}/{service}" for service in ports}
            await asyncio.to_thread(
                topology.subscribe_services, pubsub_emulator_host, PROJECT, urls
            )
            await asyncio.gather(*(upload(storage, bus, drop) for drop in DROPS))
            await come_to_rest(database)
            told = await database.fetch_all(TIMES_TOLD)
    finally:
        zygote.end()
        await storage.close()
        await bus.close()
    assert {row["times"] for row in told} == {1}
    for drop in DROPS:
        assert {row["what"] for row in told if row["load_id"] == drop.load_id} == ONCE
    for name in (f"{service}-{number}" for service in ports for number in range(REPLICAS)):
        assert b"stage.finished" in (tmp_path / f"{name}.log").read_bytes(), f"{name} had no work"
    expected = {drop.load_id: "reported" for drop in DROPS}
    run = FinishedRun(
        environment["CROSSDOCK_MYSQL_URL"], mysql_server_url, tuple(DROPS), BUCKET, expected
    )
    async with connect(run.database_url) as database:
        against = {one.__name__: await one(run, database) for one in CHECKED}
    assert not any(against.values()), against
