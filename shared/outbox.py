"""Events leave through the outbox: written with the work, published after its commit."""

import uuid
from datetime import UTC

from shared.bus.port import Bus
from shared.errors import TransientFault
from shared.events import Event, Topic
from shared.ledger.states import Load
from shared.mysql.connect import BRIEF_SILENCE_SECONDS, Database, connect
from shared.mysql.queries import load_queries
from shared.steps import passed
from shared.telemetry import tracing

SQL = load_queries("shared", "outbox.sql")


async def add(
    database: Database, load: Load, topic: Topic, run: int, *, is_published: bool = False
) -> None:
    """Write the event of a milestone into the transaction that is open.

    `is_published` is for an event whose consumer is at work already: it only waits in case that
    worker dies.
    """
    event = Event(
        event=topic,
        event_id=str(uuid.uuid4()),
        load_id=load.load_id,
        source_system=load.source_system,
        run=run,
        occurred_at=(await database.fetch_value("SELECT NOW(6)")).replace(tzinfo=UTC),
    )
    await database.execute(
        SQL["add"],
        {
            "event_id": event.event_id,
            "bucket": load.bucket,
            "load_id": load.load_id,
            "source_system": load.source_system,
            "run": run,
            "topic": topic,
            "body": event.body().decode(),
            "is_published": is_published,
            "traceparent": tracing.context_now().get(tracing.TRACEPARENT),
        },
    )


async def rearm_next(database: Database, load: Load) -> bool:
    """Send the event of the load's next stage again, if no worker has that stage in hand.

    An event that is being sent at this moment needs no second time; one that was deleted is
    written anew.
    """
    topic = load.due_topic
    if topic is None or load.leased:
        return False
    values = {"load_id": load.load_id, "run": load.run, "topic": topic}
    if await database.fetch_one(SQL["event_of"], values) is None:
        await add(database, load, topic, load.run)
        return True
    free = await database.fetch_one(SQL["free_event_of"], values)
    return free is not None and bool(await database.execute(SQL["rearm"], free))


async def publish_due(url: str, bus: Bus, bucket: str) -> int:
    """Publish every event of this bucket's loads that still waits, and return how many.

    Each is sent and marked by itself, so that no work waits for the bus longer than for one event.
    A topic that does not take one is left alone; the events of the others go out.

    Raises:
        TransientFault: the bus or the database did not answer; what is left waits for the sweep.
    """
    published = 0
    faults: dict[str, TransientFault] = {}
    async with connect(
        url, program_name="crossdock:outbox", silence_seconds=BRIEF_SILENCE_SECONDS
    ) as database:
        for row in await database.fetch_all(SQL["unpublished"], {"bucket": bucket}):
            if row["topic"] in faults:
                continue
            try:
                published += await _publish(database, bus, row["event_id"])
            except TransientFault as fault:
                faults[row["topic"]] = fault
    if faults:
        raise next(iter(faults.values()))
    return published


async def _publish(database: Database, bus: Bus, event_id: str) -> bool:
    """Publish one event, unless another process has it in hand or has published it."""
    async with database.transaction():
        row = await database.fetch_one(SQL["take"], {"event_id": event_id})
        if row is None:
            return False
        event = Event.parse(row["body"].encode())
        attributes = event.attributes() | tracing.context_of(row["traceparent"])
        await bus.publish(row["topic"], event.body(), attributes)
        passed("outbox", "event_sent", load_id=event.load_id)
        await database.execute(SQL["mark_published"], {"event_id": event_id})
    return True
