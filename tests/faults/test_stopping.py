"""A process that is told to stop: it claims no more, and what it cannot finish it gives back."""

import asyncio
import base64
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from crossdock.stack import processes
from services.stager.stage import STAGE as STAGER
from services.upserter.stage import STAGE as UPSERTER
from services.validator.stage import STAGE as VALIDATOR
from shared.bus.memory import MemoryBus
from shared.bus.port import Message
from shared.clock import now
from shared.events import Topic
from shared.ledger.lease import Claim
from shared.ledger.states import Load
from shared.mysql.connect import Database, connect
from shared.stage import Parts, run_stage
from tests.conftest import REPOSITORY
from tests.drops import Drop
from tests.faults.test_bad_days import notify, subscribe

PATIENCE_SECONDS = 30
LONG = {"CROSSDOCK_LEASE_SECONDS": "60", "CROSSDOCK_HEARTBEAT_SECONDS": "15"}


async def staged(parts: Parts, bus: MemoryBus, bucket_dir: Path) -> Drop:
    """A load that stands before the upserter, whose message nobody has taken."""
    drop = Drop()
    drop.write(bucket_dir)
    subscribe(parts, bus, lambda handler: handler, VALIDATOR, STAGER)
    await notify(parts, bus, drop)
    await bus.drain()
    return drop


async def read(parts: Parts, load_id: str) -> Load:
    load = await parts.ledger.read(load_id)
    assert load is not None
    return load


async def test_a_stage_that_is_cancelled_gives_its_load_back_at_once_and_blames_nobody(
    parts: Parts, bus: MemoryBus, bucket_dir: Path, database: Database
) -> None:
    drop = await staged(parts, bus, bucket_dir)
    reached = asyncio.Event()

    async def stuck(claim: Claim, parts: Parts) -> None:
        async with parts.ledger.connect(claim) as own, own.transaction():
            await own.execute("UPDATE source_gate SET epoch = epoch + 1")
            reached.set()
            await own.execute("DO SLEEP(60)")

    text = f'{{"load_id": "{drop.load_id}", "run": 1, "event_id": "e"}}'.encode()
    message = Message(text, {}, "upserter.staged", "1", now())
    work = asyncio.create_task(run_stage(replace(UPSERTER, run=stuck), message, parts))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await reached.wait()
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
    load = await read(parts, drop.load_id)
    assert (load.lease_owner, load.leased, load.attempts) == (None, False, 0)
    still_there = await database.fetch_value(
        "SELECT COUNT(*) FROM performance_schema.processlist WHERE INFO = 'DO SLEEP(60)'"
    )
    assert still_there == 0
    subscribe(parts, bus, lambda handler: handler, UPSERTER)
    await bus.publish(Topic.STAGED, text, {})
    await bus.drain()
    assert (await read(parts, drop.load_id)).applied_run == 1


async def held_up(database: Database, process: Process) -> None:
    """Until the process waits for the table that is in its way."""
    waiting = (
        "SELECT COUNT(*) FROM performance_schema.processlist "
        "WHERE STATE = 'Waiting for table metadata lock'"
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await database.fetch_value(waiting):
            assert process.returncode is None
            await asyncio.sleep(0.05)


def push_of(drop: Drop) -> dict[str, Any]:
    body = {"load_id": drop.load_id, "run": 1, "event_id": "e"}
    return {
        "message": {
            "data": base64.b64encode(json.dumps(body).encode()).decode(),
            "messageId": "1",
            "publishTime": now().isoformat(),
        },
        "subscription": "projects/none/subscriptions/stager.manifest.validated",
    }


async def test_a_service_that_is_told_to_stop_gives_back_what_it_cannot_finish_in_time(
    parts: Parts, bus: MemoryBus, bucket_dir: Path, database: Database, database_url: str
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    subscribe(parts, bus, lambda handler: handler, VALIDATOR)
    await notify(parts, bus, drop)
    await bus.drain()
    nowhere = {"PUBSUB_EMULATOR_HOST": "127.0.0.1:9", "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9"}
    environment = {
        **os.environ,
        **LONG,
        **nowhere,
        "CROSSDOCK_MYSQL_URL": database_url,
        "CROSSDOCK_BUCKET": parts.storage.bucket,
    }
    port = processes.usable_port(None)
    serve = ["-m", "uvicorn", "services.stager.app:app", "--port", str(port)]
    async with connect(database_url, program_name="in the way") as blocker:
        await blocker.execute("LOCK TABLES load_file WRITE")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *serve,
            "--timeout-graceful-shutdown",
            "1",
            cwd=REPOSITORY,
            env=environment,
            stderr=asyncio.subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{port}/pubsub/push"
        push = asyncio.create_task(until_it_listens(url, push_of(drop)))
        await held_up(database, process)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await process.wait()
            with suppress(httpx.HTTPError):
                assert (await push).status_code >= 500
    load = await read(parts, drop.load_id)
    assert (load.state, load.lease_owner, load.attempts) == ("validated", None, 0)


async def until_it_listens(url: str, body: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        while True:
            try:
                return await client.post(url, json=body)
            except httpx.ConnectError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("begun_by", "told"),
    [
        ((), signal.SIGTERM),
        ((), signal.SIGINT),
        (("sh", "-c", 'trap "" INT; exec "$@"', "sh"), signal.SIGTERM),
    ],
    ids=["SIGTERM", "SIGINT", "SIGTERM in the background"],
)
async def test_a_run_of_a_folder_that_is_told_to_stop_leaves_a_load_that_can_go_on_at_once(
    parts: Parts,
    bucket_dir: Path,
    database: Database,
    database_url: str,
    begun_by: tuple[str, ...],
    told: signal.Signals,
) -> None:
    folder = Drop().write(bucket_dir)
    environment = {**os.environ, **LONG, "CROSSDOCK_MYSQL_URL": database_url}
    command = (*begun_by, sys.executable, "-m", "crossdock", "run", str(folder), "--json")
    async with connect(database_url, program_name="in the way") as blocker:
        await blocker.execute("LOCK TABLES staging_invoices WRITE")
        process = await asyncio.create_subprocess_exec(
            *command, cwd=REPOSITORY, env=environment, stderr=asyncio.subprocess.DEVNULL
        )
        await held_up(database, process)
        process.send_signal(told)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await process.wait()
    load = await read(parts, "load-1")
    assert (load.lease_owner, load.leased) == (None, False)
    again = await asyncio.create_subprocess_exec(
        *command, cwd=REPOSITORY, env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await again.wait() == 0
    assert (await read(parts, "load-1")).state == "reported"
