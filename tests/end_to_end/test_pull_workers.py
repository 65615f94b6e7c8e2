"""The four stages as pull workers: the same way of a load, without a push and its 600 s."""

import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.api_core.exceptions import AlreadyExists
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from crossdock.stack import mysql_server
from shared.bus.pubsub import PubSubBus
from shared.events import DEAD_LETTER_SUBSCRIPTION, SUBSCRIPTIONS, TOPICS, Topic
from shared.gcs_notification import notification_of
from shared.mysql.connect import connect
from shared.mysql.migrate import migrate
from shared.storage.gcs import GcsStorage
from tests.conftest import BUCKET, REPOSITORY
from tests.drops import Drop

PROJECT = "crossdock-pull"
PATIENCE_SECONDS = 60


@pytest.fixture
async def database_url(mysql_server_url: str) -> AsyncIterator[str]:
    name = f"pull_{uuid.uuid4().hex[:8]}"
    url = mysql_server.create_database(mysql_server_url, name)
    await migrate(url)
    yield url
    mysql_server.drop_database(mysql_server_url, name)


@pytest.fixture
def environment(
    database_url: str,
    pubsub_emulator_host: str,
    storage_emulator: str,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """The settings of the workers and of this test; the subscriptions have no push endpoint."""
    given = {
        "CROSSDOCK_MYSQL_URL": database_url,
        "CROSSDOCK_PROJECT": PROJECT,
        "CROSSDOCK_BUCKET": BUCKET,
        "PUBSUB_EMULATOR_HOST": pubsub_emulator_host,
        "STORAGE_EMULATOR_HOST": storage_emulator,
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    publisher, subscriber = PublisherClient(), SubscriberClient()
    for topic in TOPICS:
        try:
            publisher.create_topic(name=f"projects/{PROJECT}/topics/{topic}")
        except AlreadyExists:
            continue
    for service, topics in SUBSCRIPTIONS.items():
        for topic in topics:
            name = f"projects/{PROJECT}/subscriptions/{service}.{topic}"
            subscriber.create_subscription(name=name, topic=f"projects/{PROJECT}/topics/{topic}")
    subscriber.create_subscription(
        name=f"projects/{PROJECT}/subscriptions/{DEAD_LETTER_SUBSCRIPTION}",
        topic=f"projects/{PROJECT}/topics/{Topic.DEAD_LETTER}",
    )
    return {**os.environ, **given}


async def test_four_pull_workers_take_a_drop_to_its_report_and_stop_when_told(
    environment: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    logs = {name: (tmp_path / f"{name}.log").open("wb") for name in SUBSCRIPTIONS}
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"services.{name}",
            cwd=REPOSITORY,
            env=environment,
            stderr=logs[name],
        )
        for name in SUBSCRIPTIONS
    ]
    try:
        drop = Drop(load_id=f"load-{uuid.uuid4().hex[:8]}", partner="pulled")
        storage = GcsStorage.connect(BUCKET, PROJECT)
        for name, data in drop.files.items():
            await storage.write(drop.prefix + name, data, content_type="text/csv")
        text = json.dumps(drop.manifest()).encode()
        written = await storage.write(
            drop.prefix + "manifest.json", text, content_type="application/json"
        )
        bus = PubSubBus(PROJECT)
        attributes = notification_of(BUCKET, written.name, written.generation)
        await bus.publish(Topic.ARRIVED, b"{}", attributes)
        await bus.close()
        await storage.close()
        async with connect(database_url) as database, asyncio.timeout(PATIENCE_SECONDS):
            state = None
            while state != "reported":
                await asyncio.sleep(0.1)
                state = await database.fetch_value("SELECT state FROM load_ledger")
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        codes = [await worker.wait() for worker in workers]
        for log in logs.values():
            log.close()
    assert codes == [0, 0, 0, 0]
