"""Letters in the database: kept once with their reason, counted, and published again."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import DeadLetterPolicy, Subscription

from crossdock.cli.letters import Redriven, redrive
from crossdock.pipeline import Ending, run_arrival
from services.upserter.stage import STAGE as UPSERTER
from services.validator.stage import STAGE as VALIDATOR
from shared import dead_letters
from shared.bus.memory import MemoryBus
from shared.bus.port import Answer, Message
from shared.clock import now
from shared.dead_letters import keep_request, take_letter
from shared.events import Event, Topic
from shared.gcs_notification import notification_of
from shared.ledger.mysql import Ledger
from shared.mysql.connect import Database
from shared.stage import Parts, run_stage
from shared.storage.directory import DirectoryStorage
from tests.drops import Drop
from tests.loads import arrival, run

EVENT = Event(event=Topic.STAGED, event_id="e", load_id="load-1", run=1)
REPLAY = Event(load_id="load-1")
SOURCE = "projects/p/subscriptions/upserter.staged"
PATIENCE_SECONDS = 20


def dead(
    data: bytes = EVENT.body(), *, message_id: str = "7", published: datetime | None = None
) -> Message:
    """What Pub/Sub publishes on `dead-letter` of a message that it gave up."""
    attributes = {
        "event": "staged",
        "CloudPubSubDeadLetterSourceDeliveryCount": "10",
        "CloudPubSubDeadLetterSourceSubscription": "upserter.staged",
        "CloudPubSubDeadLetterSourceSubscriptionProject": "p",
        "CloudPubSubDeadLetterSourceTopicPublishTime": (published or now()).isoformat(),
    }
    subscription = "projects/p/subscriptions/reporter.dead-letter"
    return Message(data, attributes, subscription, message_id, now())


async def letters(database: Database) -> list[dict[str, Any]]:
    return list(await database.fetch_all("SELECT * FROM dead_letter ORDER BY letter_no"))


async def the_letter(database: Database) -> dict[str, Any]:
    (letter,) = await letters(database)
    return letter


async def history(database: Database, kind: str) -> list[str]:
    rows = await database.fetch_all(
        "SELECT detail FROM load_event WHERE kind = %(kind)s ORDER BY event_no", {"kind": kind}
    )
    return [row["detail"] for row in rows]


async def test_a_dead_letter_is_kept_with_its_reason_there_and_in_its_loads_history(
    parts: Parts, database: Database
) -> None:
    message = dead(b'{"load_id": "load-1", "event": "upserted"}')
    assert await take_letter(message, parts) is Answer.DONE
    letter = await the_letter(database)
    reason = "the upserter cannot take it: upserted is no message for the upserter"
    assert (letter["kind"], letter["topic"], letter["reason"]) == ("refused", "staged", reason)
    assert json.loads(letter["attributes"]) == {"event": "staged"}
    assert await history(database, "dead_lettered") == [reason]


async def test_one_delivery_of_a_letter_counts_once_and_another_counts_up_and_waits_again(
    parts: Parts, database: Database
) -> None:
    message = dead()
    await take_letter(message, parts)
    bus = MemoryBus()
    number = (await the_letter(database))["letter_no"]
    assert await redrive(number, parts.ledger.url, bus) == Redriven(number, topic="staged")
    await take_letter(message, parts)
    letter = await the_letter(database)
    assert letter["times"] == 1
    assert letter["redriven_at"] is not None
    await take_letter(dead(message_id="8"), parts)
    letter = await the_letter(database)
    assert (letter["times"], letter["redriven_at"]) == (2, None)
    assert len(await history(database, "dead_lettered")) == 2


async def test_letters_that_come_at_the_same_time_are_one_letter(
    parts: Parts, database: Database
) -> None:
    messages = [dead(message_id=str(number)) for number in range(8)]
    answers = await asyncio.gather(*(take_letter(message, parts) for message in messages))
    assert set(answers) == {Answer.DONE}
    assert (await the_letter(database))["times"] == 8


async def test_a_letter_comes_again_while_the_database_is_away(parts: Parts) -> None:
    away = parts.settings.model_copy(update={"mysql_url": "mysql://u:p@127.0.0.1:1/d"})
    assert await take_letter(dead(), replace(parts, ledger=Ledger(away))) is Answer.RETRY


async def test_the_reason_of_a_letter_is_its_loads_last_fault_else_its_last_line(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await run(parts, drop)
    published = datetime(2026, 2, 1, 6, 1, 12, 345000, tzinfo=UTC)
    message = Message(EVENT.body(), {}, SOURCE, "3", published)
    assert await run_stage(UPSERTER, message, parts) is Answer.DONE
    await take_letter(dead(published=published), parts)
    assert "'duplicate'" in (await the_letter(database))["reason"]
    await database.execute("UPDATE load_ledger SET last_error = 'disk full'")
    await take_letter(dead(message_id="8"), parts)
    assert (await the_letter(database))["reason"].endswith("the load's last fault: disk full")


async def test_of_a_body_that_is_too_large_the_beginning_is_kept_and_it_is_not_published(
    parts: Parts, database: Database
) -> None:
    body = b'{"load_id": "load-1", "more": "' + b"'" * 9_000_000 + b'"}'
    assert await take_letter(dead(body), parts) is Answer.DONE
    letter = await the_letter(database)
    assert (len(letter["data"]), letter["size_bytes"]) == (1024 * 1024, len(body))
    outcome = await redrive(letter["letter_no"], parts.ledger.url, MemoryBus())
    assert outcome is not None
    assert "were kept" in (outcome.why_not or "")


async def test_requests_that_are_no_message_are_counted_and_their_number_has_an_end(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "MOST_NEW_A_DAY", 3)
    for number in (0, 1, 2, 3, 4, 0, 3):
        await keep_request("stager", database_url, b"%d" % number * 5000, "not a push envelope")
    kept = await letters(database)
    assert [(letter["data"][:1], letter["times"]) for letter in kept] == [
        (b"0", 2),
        (b"1", 1),
        (b"2", 1),
    ]
    assert {(len(letter["data"]), letter["size_bytes"]) for letter in kept} == {(4096, 5000)}


async def test_manifests_of_a_foreign_bucket_are_one_letter_and_other_notifications_none(
    parts: Parts, database: Database
) -> None:
    manifest = "imports/acme/load-1/manifest.json"
    ordinary = [
        notification_of("drops", "imports/acme/load-1/deep/manifest.json", 1),
        notification_of("drops", "imports/acme/load-1/customers.csv", 1),
        notification_of("elsewhere", "imports/acme/load-1/customers.csv", 1),
        {**notification_of("drops", manifest, 1), "eventType": "OBJECT_DELETE"},
        {**notification_of("elsewhere", manifest, 1), "eventType": "OBJECT_DELETE"},
        {"eventType": "OBJECT_FINALIZE"},
    ]
    foreign = [notification_of("elsewhere", manifest, generation) for generation in (1, 2)]
    for number, attributes in enumerate([*ordinary, *foreign]):
        message = Message(b"{}", attributes, "validator.manifest.arrived", str(number), now())
        assert await run_stage(VALIDATOR, message, parts) is Answer.DONE
    letter = await the_letter(database)
    assert (letter["kind"], letter["times"], letter["load_id"]) == ("foreign_bucket", 2, None)
    assert "'elsewhere'" in letter["reason"]
    assert await database.fetch_value("SELECT COUNT(*) FROM load_event") == 0


async def test_manifests_whose_long_names_differ_only_in_their_ends_are_a_letter_each(
    parts: Parts, database: Database
) -> None:
    load_id = "q" * 600
    names = [f"imports/acme/{load_id}{end}/manifest.json" for end in (1, 2)]
    for number, name in enumerate((*names, names[0])):
        attributes = notification_of("drops", name, 7)
        message = Message(b"{}", attributes, "validator.manifest.arrived", str(number), now())
        assert await run_stage(VALIDATOR, message, parts) is Answer.DONE
    found = [(one["kind"], one["times"]) for one in await letters(database)]
    assert found == [("refused", 2), ("refused", 1)]
    assert (await letters(database))[0]["reason"].startswith(
        "a manifest's name has 628 characters, at most 500 are taken: 'imports/acme/qqq"
    )
    assert await database.fetch_value("SELECT COUNT(*) FROM arrival") == 0


async def test_a_letter_goes_out_as_it_was_published_and_only_once(
    parts: Parts, database: Database
) -> None:
    await take_letter(dead(), parts)
    number = (await the_letter(database))["letter_no"]
    bus, got = MemoryBus(), []

    async def take(message: Message) -> Answer:
        got.append((message.data, dict(message.attributes)))
        return Answer.DONE

    bus.subscribe(Topic.STAGED, "upserter.staged", take)
    outcomes = await asyncio.gather(*(redrive(number, parts.ledger.url, bus) for _ in range(3)))
    await bus.drain()
    assert got == [(EVENT.body(), {"event": "staged"})]
    assert [one.topic for one in outcomes if one is not None and one.why_not is None] == ["staged"]
    assert await history(database, "redriven") == [f"letter {number} was published on staged again"]


async def test_a_replay_that_had_begun_its_run_before_it_died_is_not_published_again(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await run(parts, drop)
    published = datetime(2026, 2, 1, tzinfo=UTC)
    await run_stage(UPSERTER, Message(REPLAY.body(), {}, SOURCE, "3", published), parts)
    await take_letter(dead(REPLAY.body(), published=published), parts)
    number = (await the_letter(database))["letter_no"]
    outcome = await redrive(number, parts.ledger.url, MemoryBus())
    assert outcome is not None
    assert "run 2" in (outcome.why_not or "")
    # One that never came so far is done now.
    await take_letter(dead(REPLAY.body(), message_id="8"), parts)
    assert await redrive(number, parts.ledger.url, MemoryBus()) == Redriven(number, topic="staged")


async def test_what_one_process_gave_up_is_a_letter_too_and_the_load_goes_on(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    bus = MemoryBus(max_attempts=2, backoff_seconds=0.01)
    parts = replace(parts, bus=bus)
    found = await arrival(parts, drop)

    class Confused(DirectoryStorage):
        """A bucket in whose first read somebody publishes what no stage can take."""

        async def stat(self, name: str) -> Any:
            if not bus.dead_letters:
                await bus.publish(Topic.STAGED, b'{"load_id": "load-1", "run": -1}', {})
            return await super().stat(name)

    parts = replace(parts, storage=Confused(bucket_dir, parts.settings.bucket))
    followed = await run_arrival(found, parts, bus, progress=lambda _: None)
    assert followed.ending is Ending.REPORTED
    letter = await the_letter(database)
    assert (letter["kind"], letter["load_id"]) == ("in_process", "load-1")
    assert "is no event" in letter["reason"]


@pytest.fixture
def given_up(pubsub_emulator_host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Publishes on `staged`, and returns what the emulator makes of it once it has given it up."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_emulator_host)
    project = "crossdock-letters"
    topics = {name: f"projects/{project}/topics/{name}" for name in ("staged", "dead-letter")}
    paths = {
        name: f"projects/{project}/subscriptions/{name}"
        for name in ("upserter.staged", "reporter.dead-letter")
    }
    with PublisherClient() as publisher, SubscriberClient() as subscriber:
        for path in topics.values():
            publisher.create_topic(name=path)
        policy = DeadLetterPolicy(dead_letter_topic=topics["dead-letter"], max_delivery_attempts=5)
        for name, path in paths.items():
            topic = topics[name.partition(".")[2]]
            subscriber.create_subscription(
                request=Subscription(
                    name=path,
                    topic=topic,
                    dead_letter_policy=policy if name == "upserter.staged" else None,
                )
            )

        async def give_up(body: bytes, attributes: dict[str, str]) -> Message:
            publisher.publish(topics["staged"], body, **attributes).result()
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    source, letter = (
                        subscriber.pull(subscription=path, max_messages=1, return_immediately=True)
                        for path in paths.values()
                    )
                    for received in source.received_messages:
                        subscriber.modify_ack_deadline(
                            subscription=paths["upserter.staged"],
                            ack_ids=[received.ack_id],
                            ack_deadline_seconds=0,
                        )
                    for received in letter.received_messages:
                        pulled = received.message
                        return Message(
                            pulled.data,
                            dict(pulled.attributes),
                            paths["reporter.dead-letter"],
                            pulled.message_id,
                            pulled.publish_time,
                        )
                    await asyncio.sleep(0.05)

        yield give_up


async def test_what_the_emulator_says_of_a_message_that_it_gave_up_is_read(
    parts: Parts, database: Database, given_up: Any
) -> None:
    message = await given_up(EVENT.body(), EVENT.attributes())
    assert await take_letter(message, parts) is Answer.DONE
    letter = await the_letter(database)
    assert letter["subscription"] == "projects/crossdock-letters/subscriptions/upserter.staged"
    assert (letter["kind"], letter["topic"]) == ("undelivered", "staged")
    assert letter["load_id"] == "load-1"
    assert letter["reason"].startswith("delivered 5 times")
    assert json.loads(letter["attributes"]) == EVENT.attributes()
    assert letter["published_at"] <= message.published_at.replace(tzinfo=None)
