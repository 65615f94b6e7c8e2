"""Events that cannot go out, or go out slowly, and what they must not hold up."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.upserter.stage import STAGE as UPSERTER
from services.validator.stage import STAGE as VALIDATOR
from shared.bus.memory import MemoryBus
from shared.bus.port import Answer, Message
from shared.bus.pubsub import PUBLISH_SECONDS
from shared.clock import now
from shared.errors import TransientFault, Waiting
from shared.events import Event, Topic
from shared.gcs_notification import notification_of
from shared.ledger.mysql import Ledger
from shared.ledger.states import State
from shared.mysql.connect import Database, connect
from shared.outbox import publish_due
from shared.stage import Parts, run_stage
from shared.sweep import sweep
from tests.drops import Drop
from tests.integration.test_ledger import claimed, event, finish, new_load
from tests.loads import arrival, run
from tests.upserts import family, stage

DUE = "SELECT load_id FROM outbox WHERE published_at IS NULL ORDER BY load_id"
PATIENCE_SECONDS = 10
SILENCE = """SELECT v.VARIABLE_VALUE FROM performance_schema.variables_by_thread v
JOIN performance_schema.threads t USING (THREAD_ID)
JOIN performance_schema.session_connect_attrs a ON a.PROCESSLIST_ID = t.PROCESSLIST_ID
WHERE t.PROCESSLIST_DB = DATABASE() AND a.ATTR_VALUE = 'crossdock:outbox'
    AND v.VARIABLE_NAME = 'wait_timeout'"""


class LameBus(MemoryBus):
    """A bus without some topics, which may be slow as well; `sent` is what it took."""

    def __init__(self, *lost: Topic) -> None:
        super().__init__()
        self.lost = lost
        self.sent: list[tuple[str, str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked = asyncio.Event()

    async def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        self.asked.set()
        await self.may_answer.wait()
        if topic in self.lost:
            raise TransientFault(f"topic {topic} does not exist")
        self.sent.append((topic, attributes.get("load_id", attributes.get("objectId", ""))))
        return await super().publish(topic, data, attributes)


def message(load_id: str, key: str = "1") -> Message:
    body = Event(load_id=load_id, event_id="e", run=1).body()
    return Message(body, {}, "test", key, now())


@asynccontextmanager
async def bus_in_mid_send(url: str, count: int) -> AsyncIterator[LameBus]:
    """A publisher that has an event in hand, and a bus that does not answer it yet."""
    bus = LameBus()
    bus.may_answer.clear()
    publisher = asyncio.create_task(publish_due(url, bus, "drops"))
    await bus.asked.wait()
    try:
        yield bus
    finally:
        bus.may_answer.set()
        assert await publisher == count


@pytest.fixture
async def lost_topic(parts: Parts, bucket_dir: Path, database: Database) -> LameBus:
    """A bus without the topic `reported`, for which an older load's event waits."""
    drop = Drop(load_id="told")
    drop.write(bucket_dir)
    await run(parts, drop)
    await database.execute("UPDATE outbox SET published_at = NULL WHERE topic = 'reported'")
    return LameBus(Topic.REPORTED)


async def test_a_lost_topic_holds_up_no_other_event_and_no_answer(
    parts: Parts, bucket_dir: Path, database: Database, lost_topic: LameBus
) -> None:
    drop = Drop(load_id="good", partner="other")
    drop.write(bucket_dir)
    found = await arrival(parts, drop)
    attributes = notification_of(found.bucket, found.object_name, found.generation)
    told = Message(b"{}", attributes, "test", "1", now())
    assert await run_stage(VALIDATOR, told, replace(parts, bus=lost_topic)) is Answer.DONE
    assert lost_topic.sent == [(Topic.VALIDATED, "good")]
    assert await database.fetch_all(DUE) == [{"load_id": "told"}]


async def test_a_pass_of_the_sweep_does_all_its_parts_and_then_tells_of_the_lost_topic(
    parts: Parts, bucket_dir: Path, database: Database, lost_topic: LameBus
) -> None:
    await new_load(database, State.VALIDATED, load_id="stuck")
    await database.execute(
        "UPDATE load_ledger SET updated_at = NOW(6) - INTERVAL 1 HOUR WHERE load_id = 'stuck'"
    )
    drop = Drop(load_id="unnoticed", partner="other")
    drop.write(bucket_dir)
    told = []

    async def tell(parts: Parts) -> int:
        told.append(parts)
        return 1

    with (
        capture_logs() as lines,
        pytest.raises(TransientFault, match="topic reported does not exist"),
    ):
        await sweep(replace(parts, bus=lost_topic), tell)
    assert [line["error"] for line in lines if line["event"] == "events.not_published"] == [
        "topic reported does not exist"
    ]
    assert len(told) == 1
    assert lost_topic.sent == [
        (Topic.VALIDATED, "stuck"),
        (Topic.ARRIVED, f"{drop.prefix}manifest.json"),
    ]


async def test_a_bug_in_a_pass_of_the_sweep_is_not_hidden_by_a_fault_that_may_pass(
    parts: Parts, lost_topic: LameBus
) -> None:
    async def broken(_parts: Parts) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await sweep(replace(parts, bus=lost_topic), broken)


async def test_an_upsert_does_not_wait_for_the_bus_to_take_the_event_of_a_load_that_it_wakes(
    parts: Parts, database: Database
) -> None:
    await stage(database, "newer", 9, family("1"))
    newer = await claimed(parts.ledger, event("upserter", load_id="newer"))
    await parts.ledger.wait(newer, Waiting("older goes first", older="older"))
    await stage(database, "older", 1, family("2"))
    await database.execute(
        "INSERT INTO outbox (event_id, bucket, load_id, source_system, run, topic, body, "
        "created_at) VALUES ('e', 'drops', 'newer', 'acme', 1, 'staged', %(body)s, NOW(6))",
        {"body": Event(load_id="newer", event_id="e", run=1).body().decode()},
    )
    async with bus_in_mid_send(parts.ledger.url, count=1):
        async with asyncio.timeout(PATIENCE_SECONDS):
            quick = replace(parts, bus=MemoryBus())
            assert await run_stage(UPSERTER, message("older"), quick) is Answer.DONE
    waked = await parts.ledger.read("newer")
    assert waked is not None
    assert waked.next_attempt_at is not None
    assert waked.next_attempt_at <= waked.now
    assert (await sweep(parts)).woken == 1


async def test_two_that_publish_at_once_send_each_event_once(
    ledger: Ledger, database: Database
) -> None:
    for name in ("L", "M"):
        await new_load(database, State.VALIDATED, load_id=name, version=ord(name))
        await finish(ledger, await claimed(ledger, event("stager", load_id=name)))
    async with bus_in_mid_send(ledger.url, count=1):
        other = LameBus()
        assert await publish_due(ledger.url, other, "drops") == 1
        assert other.sent == [(Topic.STAGED, "M")]
    assert not await database.fetch_all(DUE)


async def test_a_process_that_froze_holds_its_event_hardly_longer_than_the_bus_may_take(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.VALIDATED)
    await finish(ledger, await claimed(ledger, event("stager")))
    async with bus_in_mid_send(ledger.url, count=1):
        seconds = await database.fetch_value(SILENCE)
    assert PUBLISH_SECONDS < int(seconds) <= PUBLISH_SECONDS + PATIENCE_SECONDS


async def test_a_load_whose_event_was_deleted_is_woken_with_a_new_one(
    parts: Parts, database: Database
) -> None:
    await new_load(database, State.VALIDATED)
    await finish(parts.ledger, await claimed(parts.ledger, event("stager")))
    await database.execute("DELETE FROM outbox")
    bus = LameBus()
    assert (await sweep(replace(parts, bus=bus))).woken == 0
    await database.execute("UPDATE load_ledger SET updated_at = NOW(6) - INTERVAL 1 HOUR")
    assert (await sweep(replace(parts, bus=bus))).woken == 1
    assert bus.sent == [(Topic.STAGED, "L")]


async def test_a_frozen_worker_does_not_keep_the_sweep_from_the_loads_that_it_has_locked(
    parts: Parts, database: Database
) -> None:
    for name, version in (("A", 2), ("L", 1)):
        await new_load(database, State.STAGED, load_id=name, version=version)
        await database.execute(
            "INSERT INTO outbox (event_id, bucket, load_id, source_system, run, topic, body, "
            "created_at, published_at) VALUES (%(name)s, 'drops', %(name)s, 'acme', 1, 'staged', "
            "%(body)s, NOW(6), NOW(6) - INTERVAL 1 HOUR)",
            {"name": name, "body": Event(load_id=name, event_id=name, run=1).body().decode()},
        )
    frozen = await claimed(parts.ledger, event("upserter"))
    await database.execute("UPDATE load_ledger SET lease_until = NOW(6) WHERE load_id = 'L'")
    async with connect(parts.ledger.url, program_name=frozen.program_name) as own:
        await own.connection.begin()
        await own.execute("UPDATE load_ledger SET next_attempt_at = NOW(6)")
        await own.execute("UPDATE outbox SET published_at = NULL WHERE load_id = 'A'")
        async with asyncio.timeout(PATIENCE_SECONDS):
            bus, woken = LameBus(), 0
            while woken < 2:
                woken += (await sweep(replace(parts, bus=bus))).woken
    assert sorted(bus.sent) == [(Topic.STAGED, "A"), (Topic.STAGED, "L")]
