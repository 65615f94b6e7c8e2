"""Events leave through the outbox: written with the work, published after its commit."""

import uuid
from datetime import UTC

from shared.bus.port import Bus
from shared.events import Event, Topic
from shared.ledger.states import Load
from shared.mysql.connect import Database, connect
from shared.mysql.queries import load_queries
from shared.steps import passed
from shared.telemetry import tracing

SQL = load_queries("shared", "outbox.sql")
BATCH_EVENTS = 50


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
    """Send the event of the load's next stage again, if no worker has that stage in hand."""
    topic = load.due_topic
    if topic is None or load.leased:
        return False
    values = {"load_id": load.load_id, "run": load.run, "topic": topic}
    return bool(await database.execute(SQL["rearm"], values))


async def publish_due(url: str, bus: Bus, bucket: str) -> int:
    """Publish every event of this bucket's loads that still waits, and return how many.

    Raises:
        TransientFault: the bus or the database did not answer; what is left waits for the sweep.
    """
    published = 0
    async with connect(url, program_name="crossdock:outbox") as database:
        while True:
            async with database.transaction():
                rows = await database.fetch_all(
                    SQL["unpublished"], {"bucket": bucket, "most": BATCH_EVENTS}
                )
                for row in rows:
                    event = Event.parse(row["body"].encode())
                    attributes = event.attributes() | tracing.context_of(row["traceparent"])
                    await bus.publish(row["topic"], event.body(), attributes)
                    passed("outbox", "event_sent", load_id=event.load_id)
                    await database.execute(SQL["mark_published"], {"event_id": row["event_id"]})
            published += len(rows)
            if len(rows) < BATCH_EVENTS:
                return published
