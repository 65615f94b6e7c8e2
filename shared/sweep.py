"""Recovery: one pass makes sure that nothing waits for ever, whatever was lost on the way."""

from dataclasses import dataclass
from datetime import UTC

from shared import outbox
from shared.events import Topic
from shared.gcs_notification import arrival_of, notification_of
from shared.ledger.delivery import is_due
from shared.ledger.mysql import load_of
from shared.ledger.takeover import kill_connections
from shared.mysql.connect import connect
from shared.mysql.queries import load_queries
from shared.stage import Parts
from shared.steps import passed

SQL = load_queries("shared", "sweep.sql")
IMPORTS = "imports/"


@dataclass(frozen=True, slots=True)
class Swept:
    """What one pass did: loads woken, events published, manifests brought to notice."""

    woken: int
    published: int
    noticed: int


async def sweep(parts: Parts) -> Swept:
    """One pass over this bucket's loads, events and manifests.

    Raises:
        TransientFault: the database, the bus or the bucket did not answer; the next pass goes on.
    """
    woken = await _wake_loads(parts)
    passed("sweep", "loads_woken")
    published = await outbox.publish_due(parts.ledger.url, parts.bus, parts.storage.bucket)
    passed("sweep", "events_published")
    noticed = await _notice_manifests(parts)
    passed("sweep", "manifests_noticed")
    return Swept(woken, published, noticed)


async def _wake_loads(parts: Parts) -> int:
    woken = 0
    async with connect(parts.ledger.url, program_name="crossdock:sweep") as database:
        rows = await database.fetch_all(SQL["loads_at_rest"], {"bucket": parts.storage.bucket})
        for row in rows:
            load, published_at = load_of(row), row["published_at"].replace(tzinfo=UTC)
            if not is_due(load, published_at, parts.settings.lease_seconds):
                continue
            # A worker frozen before its commit would hold the load's row against everyone.
            if load.lease_owner and await kill_connections(database, load.lease_owner):
                continue
            async with database.transaction():
                if await outbox.rearm_next(database, load):
                    keys = {"load_id": load.load_id, "fence": load.fence}
                    await database.execute(SQL["forget_next_attempt"], keys)
                    woken += 1
    return woken


async def _notice_manifests(parts: Parts) -> int:
    bucket = parts.storage.bucket
    keys = {"bucket": bucket, "lease_seconds": parts.settings.lease_seconds}
    async with connect(parts.ledger.url, program_name="crossdock:sweep") as database:
        known = {
            (row["object"], row["generation"])
            for row in await database.fetch_all(SQL["known_generations"], keys)
        }
        waiting = [
            (row["object"], row["generation"])
            for row in await database.fetch_all(SQL["arrivals_to_look_at"], keys)
        ]
    live = [(item.name, item.generation) for item in await parts.storage.list_objects(IMPORTS)]
    unknown = [key for key in live if arrival_of(bucket, *key) is not None and key not in known]
    for object_name, generation in (*unknown, *waiting):
        attributes = notification_of(bucket, object_name, generation)
        await parts.bus.publish(Topic.ARRIVED, b"{}", attributes)
    return len(unknown) + len(waiting)
