"""Eight loads of four partners by four workers at once: processes of their own on real parts."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from pathlib import Path

import pytest
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from crossdock.stack import storage_emulator as emulator
from crossdock.stack import topology
from shared.cloud_parts import close_parts, connect_parts
from shared.events import SUBSCRIPTIONS, Topic
from shared.gcs_notification import notification_of
from shared.mysql.connect import connect
from shared.settings import load_settings
from shared.stage import Parts
from shared.sweep import sweep
from tests.conftest import REPOSITORY
from tests.drops import Drop
from tests.faults.oracles import FinishedRun, violations
from tests.faults.schedule_loads import DROPS, drop_of, family

PROJECT = BUCKET = "crossdock-many"
WORKERS = 4
PATIENCE_SECONDS = 90
EIGHT = (
    *DROPS,
    *(drop_of(f"{name}-new", name, 1, family("A"), family("B")) for name in ("hal", "ono")),
)
MOVING = """SELECT (SELECT COUNT(*) FROM load_ledger WHERE state = 'reported') < %(loads)s
    OR EXISTS (SELECT 1 FROM outbox WHERE published_at IS NULL)
    OR EXISTS (SELECT 1 FROM arrival WHERE verdict IN ('noticed', 'pending'))
    OR EXISTS (SELECT 1 FROM load_ledger WHERE lease_owner IS NOT NULL)"""


@pytest.fixture
def environment(
    database_url: str,
    pubsub_emulator_host: str,
    storage_emulator: str,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """The settings of the workers and of this test, and what they pull from."""
    given = {
        "CROSSDOCK_MYSQL_URL": database_url,
        "CROSSDOCK_PROJECT": PROJECT,
        "CROSSDOCK_BUCKET": BUCKET,
        "CROSSDOCK_SWEEP_SECONDS": "0.5",
        "PUBSUB_EMULATOR_HOST": pubsub_emulator_host,
        "STORAGE_EMULATOR_HOST": storage_emulator,
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    emulator.create_bucket(storage_emulator, BUCKET, PROJECT)
    topology.create_topics(pubsub_emulator_host, PROJECT)
    with SubscriberClient() as subscriber:
        for service, topics in SUBSCRIPTIONS.items():
            for topic in topics:
                name = f"projects/{PROJECT}/subscriptions/{service}.{topic}"
                path = PublisherClient.topic_path(PROJECT, topic)
                subscriber.create_subscription(name=name, topic=path)
    return {**os.environ, **given}


async def begin(environment: dict[str, str], log: Path) -> Process:
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.any_stage_worker"),
            cwd=REPOSITORY,
            env=environment,
            stderr=output,
        )


async def upload(parts: Parts, drop: Drop) -> None:
    """The drop into the bucket, and twice the news of its manifest."""
    for name, data in drop.files.items():
        await parts.storage.write(drop.prefix + name, data, content_type="text/csv")
    text = json.dumps(drop.manifest()).encode()
    name = f"{drop.prefix}manifest.json"
    written = await parts.storage.write(name, text, content_type="application/json")
    for _ in range(2):
        attributes = notification_of(BUCKET, name, written.generation)
        await parts.bus.publish(Topic.ARRIVED, b"{}", attributes)


async def come_to_rest(parts: Parts, workers: Sequence[Process]) -> None:
    """Sweep until all loads are reported and nothing moves any more."""
    async with (
        connect(parts.ledger.url, program_name="test") as database,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        while await database.fetch_value(MOVING, {"loads": len(EIGHT)}):
            assert all(worker.returncode is None for worker in workers)
            await asyncio.sleep(0.5)
            await sweep(parts)


async def test_eight_loads_by_four_workers_at_once_end_as_on_a_quiet_day(
    environment: dict[str, str], database_url: str, mysql_server_url: str, tmp_path: Path
) -> None:
    workers = [await begin(environment, tmp_path / f"{number}.log") for number in range(WORKERS)]
    parts = connect_parts(load_settings())
    try:
        await asyncio.gather(*(upload(parts, drop) for drop in EIGHT))
        await come_to_rest(parts, workers)
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        codes = [await worker.wait() for worker in workers]
        await close_parts(parts)
    assert codes == [0] * WORKERS
    logs = [(tmp_path / f"{number}.log").read_bytes() for number in range(WORKERS)]
    assert sum(b"stage.finished" in log for log in logs) > 1, "the work was shared"
    expected = {drop.load_id: "reported" for drop in EIGHT}
    run = FinishedRun(database_url, mysql_server_url, EIGHT, BUCKET, expected)
    assert await violations(run) == []
