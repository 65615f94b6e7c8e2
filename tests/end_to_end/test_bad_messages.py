"""Lines 61 to 64 of the table of bad inputs: messages that nobody should have sent."""

import base64
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import DeadLetterPolicy, PushConfig, RetryPolicy, Subscription

from crossdock.stack import running
from services.validator.stage import STAGE as VALIDATOR
from shared.bus.pubsub import PubSubBus
from shared.events import Event, StageName, Topic
from shared.gcs_notification import notification_of
from shared.mysql.connect import Database
from tests.end_to_end.courier import (
    Courier,
    a_drop,
    assert_failed,
    assert_reported,
    assert_unchanged,
    broken,
)
from tests.end_to_end.outcomes import outcome_of
from tests.end_to_end.serving import served
from tests.unit.test_push_token import ACCOUNT, AUDIENCE, Certificates, SigningKey

PATIENCE_SECONDS = 60
SHORT = timedelta(milliseconds=100)
# All that tells of loads; what is no message at all may be kept as a letter beside it.
RECORDS = ("load_ledger", "arrival", "load_event", "outbox", "notification", "load_report")


async def records(database: Database) -> dict[str, int]:
    """How many rows there are that tell of loads."""
    return {table: await database.fetch_value(f"SELECT COUNT(*) FROM {table}") for table in RECORDS}


def envelope(data: bytes, **attributes: str) -> bytes:
    """A push with a message that was never delivered before."""
    message = {
        "data": base64.b64encode(data).decode(),
        "attributes": attributes,
        "messageId": uuid.uuid4().hex,
        "publishTime": "2026-01-02T03:04:05Z",
    }
    return json.dumps({"message": message, "subscription": "projects/p/subscriptions/s"}).encode()


async def push(
    stack: running.StackInfo, service: StageName, body: bytes, **headers: str
) -> httpx.Response:
    """What a service answers to a push."""
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        url = f"{stack.services[service].url}/pubsub/push"
        return await client.post(url, content=body, headers=headers)


async def kinds(database: Database, load_id: str) -> list[str]:
    rows = await database.fetch_all(
        "SELECT kind FROM load_event WHERE load_id = %(load_id)s ORDER BY event_no",
        {"load_id": load_id},
    )
    return [row["kind"] for row in rows]


OUT_OF_TURN: tuple[tuple[StageName, int, str], ...] = (
    ("upserter", 1, "older_run"),
    ("stager", 3, "too_early"),
    ("upserter", 2, "duplicate"),
)


@pytest.mark.bad_input(61)
async def test_a_message_out_of_turn_is_recorded_acknowledged_and_does_nothing(
    courier: Courier,
) -> None:
    delivery = a_drop()
    bad = broken(delivery)
    good = bad.drop.files["customers.csv"].replace(b"Bda", b"Ada")
    assert_failed(await courier.bring(bad), "file.checksum_mismatch")
    await courier.write(delivery, "customers.csv", good)
    again = await courier.write(delivery, "manifest.json", delivery.manifest)
    before = await courier.follow(delivery, again)
    assert_reported(before, run=2)
    load_id, stack = delivery.drop.load_id, courier.stack
    for service, run, kind in OUT_OF_TURN:
        event = Event(load_id=load_id, event_id=f"{service}-{run}", run=run)
        answer = await push(stack, service, envelope(event.body()))
        assert answer.status_code == 204
        assert (await kinds(courier.database, load_id))[-1] == kind
    after = await outcome_of(courier.database, delivery)
    assert_unchanged(before, after)


@pytest.mark.bad_input(61)
@pytest.mark.parametrize("load_id", ["nobody-knows-it", "load-１", "x" * 200, "a b"])  # noqa: RUF001
async def test_a_message_for_an_unknown_load_is_recorded_and_acknowledged(
    courier: Courier, load_id: str
) -> None:
    before = await records(courier.database)
    answer = await push(courier.stack, "upserter", envelope(Event(load_id=load_id).body()))
    assert answer.status_code == 204
    assert (await kinds(courier.database, load_id))[-1] == "unknown_load"
    after = await records(courier.database)
    assert after == before | {"load_event": before["load_event"] + 1}


@pytest.mark.bad_input(61)
async def test_a_message_for_a_stage_that_is_not_yet_reached_is_recorded_and_acknowledged(
    courier: Courier,
) -> None:
    delivery = a_drop()
    async with courier.held_at("load_file"):
        await courier.leave(delivery)
        await courier.wait_until_held("services.validator.validator.add_file")
        event = Event(load_id=delivery.drop.load_id, event_id="too-early", run=1)
        answer = await push(courier.stack, "upserter", envelope(event.body()))
    assert answer.status_code == 204
    found = await courier.storage.stat(delivery.manifest_name)
    assert found is not None
    assert_reported(await courier.follow(delivery, found.generation))
    assert (await kinds(courier.database, delivery.drop.load_id)).count("too_early") == 1


NO_MESSAGES: dict[str, tuple[StageName, bytes]] = {
    "no body": ("validator", b""),
    "no JSON": ("stager", b"load-1"),
    "no envelope": ("upserter", b'{"load_id": "load-1"}'),
    "no message": ("reporter", b'{"message": null, "subscription": "s"}'),
    "no base64": ("stager", envelope(b"{}").replace(b'"data": "e30="', b'"data": "?"')),
    "a body that is no JSON": ("upserter", envelope(b"load-1")),
    "a body without load_id": ("stager", envelope(b'{"run": 1}')),
    "another stage's event": ("upserter", envelope(b'{"load_id": "x", "event": "upserted"}')),
    "an event of no topic": ("reporter", envelope(b'{"load_id": "x", "event": "undone"}')),
}


@pytest.mark.bad_input(62)
@pytest.mark.parametrize("what", NO_MESSAGES)
async def test_what_is_no_message_of_the_stage_is_answered_with_400_and_writes_nothing(
    courier: Courier, what: str
) -> None:
    service, body = NO_MESSAGES[what]
    before = await records(courier.database)
    answer = await push(courier.stack, service, body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert await records(courier.database) == before


@pytest.mark.bad_input(62)
async def test_a_message_that_no_stage_can_take_ends_as_a_dead_letter(
    courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", courier.stack.pubsub_emulator_host)
    before = await records(courier.database)
    body = f"no event {uuid.uuid4()}".encode()
    with impatient_topic(courier.stack) as topic:
        bus = PubSubBus(courier.stack.project)
        await bus.publish(topic, body, {})
        await bus.close()
        await courier.wait_until(
            "SELECT COUNT(*) FROM dead_letter WHERE data = %(body)s", body=body
        )
    assert await records(courier.database) == before


@contextmanager
def impatient_topic(stack: running.StackInfo) -> Iterator[str]:
    """A topic whose messages the upserter gets, and which gives them up within moments."""
    topic = f"impatient-{uuid.uuid4().hex[:10]}"
    publisher, subscriber = PublisherClient(), SubscriberClient()
    full = f"projects/{stack.project}/topics/{topic}"
    publisher.create_topic(name=full)
    subscription = Subscription(
        name=f"projects/{stack.project}/subscriptions/{topic}",
        topic=full,
        push_config=PushConfig(push_endpoint=f"{stack.services['upserter'].url}/pubsub/push"),
        retry_policy=RetryPolicy(minimum_backoff=SHORT, maximum_backoff=SHORT),
        dead_letter_policy=DeadLetterPolicy(
            dead_letter_topic=f"projects/{stack.project}/topics/{Topic.DEAD_LETTER}",
            max_delivery_attempts=5,
        ),
    )
    subscriber.create_subscription(request=subscription)
    try:
        yield topic
    finally:
        subscriber.delete_subscription(subscription=subscription.name)
        publisher.delete_topic(topic=full)


@pytest.mark.bad_input(63)
async def test_a_push_without_a_valid_token_is_turned_away_and_writes_nothing(
    courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = SigningKey.create("key-1")
    monkeypatch.setattr("shared.push.HttpRequest", lambda: Certificates.of(key))
    settings = {
        **courier.stack.environment(),
        "CROSSDOCK_PUSH_AUDIENCE": AUDIENCE,
        "CROSSDOCK_PUSH_SERVICE_ACCOUNT": ACCOUNT,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    body = envelope(Event(load_id=f"pushed-{uuid.uuid4().hex}").body())
    refused: dict[str | None, int] = {
        None: 401,
        "Basic dTpw": 401,
        "Bearer no-token": 403,
        f"Bearer {SigningKey.create('key-1').sign()}": 403,
        f"Bearer {key.sign(aud='https://another.example')}": 403,
        f"Bearer {key.sign(email='someone@x.example')}": 403,
        f"Bearer {key.sign(exp=1)}": 403,
    }
    before = await records(courier.database)
    async with served(VALIDATOR) as url, httpx.AsyncClient(base_url=url) as client:
        for token, status in refused.items():
            headers = {"Authorization": token} if token else {}
            answer = await client.post("/pubsub/push", content=body, headers=headers)
            assert answer.status_code == status
        assert await records(courier.database) == before
        headers = {"Authorization": f"Bearer {key.sign()}"}
        answer = await client.post("/pubsub/push", content=body, headers=headers)
    assert answer.status_code == 204
    assert await records(courier.database) == before | {"load_event": before["load_event"] + 1}


def of_something_else(stack: running.StackInfo) -> dict[str, dict[str, str]]:
    """Notifications that tell of no manifest of this bucket."""
    ours = notification_of(stack.bucket, "imports/a/b/manifest.json", 1)
    return {
        "another prefix": {**ours, "objectId": "exports/a/b/manifest.json"},
        "a nested path": {**ours, "objectId": "imports/a/b/c/manifest.json"},
        "no folder": {**ours, "objectId": "imports/manifest.json"},
        "another file": {**ours, "objectId": "imports/a/b/customers.csv"},
        "a deletion": {**ours, "eventType": "OBJECT_DELETE"},
        "an update": {**ours, "eventType": "OBJECT_METADATA_UPDATE"},
        "an archived object": {**ours, "eventType": "OBJECT_ARCHIVE"},
        "another bucket": {**ours, "bucketId": "another"},
        "no generation": {**ours, "objectGeneration": ""},
    }


@pytest.mark.bad_input(64)
async def test_a_notification_of_anything_else_is_acknowledged_and_ignored(
    courier: Courier,
) -> None:
    before = await records(courier.database)
    answers: dict[str, Any] = {
        what: (await push(courier.stack, "validator", envelope(b"{}", **attributes))).status_code
        for what, attributes in of_something_else(courier.stack).items()
    }
    assert set(answers.values()) == {204}, answers
    assert await records(courier.database) == before
