"""A message that Pub/Sub gave up: the reporter keeps it, an operator sees it and sends it again."""

import asyncio
import json
import uuid
from typing import Any

import httpx
import pytest
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import DeadLetterPolicy, Subscription
from typer.testing import CliRunner

from crossdock.cli.app import app
from crossdock.stack import running
from shared.events import Event, Topic
from shared.mysql.connect import Database

PATIENCE_SECONDS = 30


async def until_found(database: Database, query: str, load_id: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            row = await database.fetch_one(query, {"load_id": load_id})
            if row is not None:
                return row
            await asyncio.sleep(0.05)


async def crossdock(*words: str) -> str:
    result = await asyncio.to_thread(CliRunner().invoke, app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def give_up(project: str, event: Event) -> None:
    """Publish an event where nobody takes it, and refuse it until Pub/Sub gives it up.

    The topic is the test's own, and its subscription has no retry policy, so that this is quick.
    """
    name = f"nobody-{uuid.uuid4().hex[:8]}"
    topic, path = f"projects/{project}/topics/{name}", f"projects/{project}/subscriptions/{name}"
    policy = DeadLetterPolicy(
        dead_letter_topic=f"projects/{project}/topics/{Topic.DEAD_LETTER}", max_delivery_attempts=5
    )
    with PublisherClient() as publisher, SubscriberClient() as subscriber:
        publisher.create_topic(name=topic)
        subscriber.create_subscription(
            request=Subscription(name=path, topic=topic, dead_letter_policy=policy)
        )
        publisher.publish(topic, event.body(), **event.attributes()).result()
        for _ in range(policy.max_delivery_attempts):
            pulled = subscriber.pull(subscription=path, max_messages=1, timeout=PATIENCE_SECONDS)
            (received,) = pulled.received_messages
            subscriber.modify_ack_deadline(
                subscription=path, ack_ids=[received.ack_id], ack_deadline_seconds=0
            )
        # The emulator counts what was refused when it is asked for more.
        subscriber.pull(subscription=path, max_messages=1, return_immediately=True)


async def test_a_message_that_was_given_up_is_seen_and_published_again(
    stack: running.StackInfo, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    load_id = f"load-{uuid.uuid4().hex[:8]}"
    event = Event(event=Topic.STAGED, event_id=str(uuid.uuid4()), load_id=load_id, run=1)
    await asyncio.to_thread(give_up, stack.project, event)
    row = await until_found(
        database, "SELECT letter_no FROM dead_letter WHERE load_id = %(load_id)s", load_id
    )
    listed = json.loads(await crossdock("dead-letter", "list", "--json"))["letters"]
    (letter,) = [one for one in listed if one["letter"] == row["letter_no"]]
    assert (letter["kind"], letter["topic"], letter["times"]) == ("undelivered", "staged", 1)
    assert letter["reason"].startswith("delivered 5 times")

    said = await crossdock("dead-letter", "redrive", str(letter["letter"]))
    assert said == f"letter {letter['letter']}: published on staged\n"
    await until_found(
        database,
        "SELECT kind FROM load_event WHERE load_id = %(load_id)s AND stage = 'upserter' "
        "AND kind = 'unknown_load'",
        load_id,
    )
    rows = await database.fetch_all(
        "SELECT kind FROM load_event WHERE load_id = %(load_id)s ORDER BY event_no",
        {"load_id": load_id},
    )
    assert sorted(row["kind"] for row in rows) == ["dead_lettered", "redriven", "unknown_load"]


async def test_a_request_that_is_no_message_is_refused_and_seen(
    stack: running.StackInfo, database: Database
) -> None:
    body = uuid.uuid4().hex.encode()
    async with httpx.AsyncClient() as client:
        for path in ("/pubsub/push", "/pubsub/dead-letter"):
            answer = await client.post(stack.services["reporter"].url + path, content=body)
            assert answer.status_code == 400
    rows = await database.fetch_all(
        "SELECT kind, times FROM dead_letter WHERE data = %(data)s", {"data": body}
    )
    assert rows == [{"kind": "no_envelope", "times": 2}]
