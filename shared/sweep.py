"""Recovery: one pass makes sure that nothing waits for ever, whatever was lost on the way."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC

import structlog

from shared import outbox
from shared.errors import TransientFault
from shared.events import Topic
from shared.gcs_notification import arrival_of, notification_of
from shared.ledger.delivery import is_due
from shared.ledger.mysql import load_of
from shared.ledger.states import Load
from shared.ledger.takeover import kill_connections
from shared.mysql.connect import BRIEF_SILENCE_SECONDS, Database, connect
from shared.mysql.queries import load_queries
from shared.stage import Parts
from shared.steps import passed
from shared.telemetry.backlog import tell_backlog

SQL = load_queries("shared", "sweep.sql")
IMPORTS = "imports/"

log = structlog.get_logger()

Tell = Callable[[Parts], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Swept:
    """What one pass did: loads woken, events published, manifests brought to notice, notices told.

    Who passes no way to tell has told nothing.
    """

    woken: int
    published: int
    noticed: int
    told: int = 0


async def sweep(parts: Parts, tell: Tell | None = None) -> Swept:
    """One pass over this bucket's loads, events and manifests, and with `tell` over its notices.

    A fault in one of them spares the others. What waits after all of it is shown in the metrics.

    Raises:
        TransientFault: the database, the bus or the bucket did not answer; the next pass goes on.
        Exception: something that nobody foresaw; the next pass goes on all the same.
    """
    faults: list[Exception] = []
    woken = await _tried(_wake_loads(parts), faults)
    published = await _tried(_publish_events(parts), faults)
    noticed = await _tried(_notice_manifests(parts), faults)
    told = await _tried(tell(parts), faults) if tell is not None else 0
    await _tried(tell_backlog(parts.ledger.url, parts.storage.bucket), faults)
    if faults:
        # A fault that may pass must not hide one that nobody foresaw.
        raise min(faults, key=lambda fault: isinstance(fault, TransientFault))
    return Swept(woken, published, noticed, told)


async def _tried(part: Awaitable[int | None], faults: list[Exception]) -> int:
    try:
        return await part or 0
    except Exception as fault:  # noqa: BLE001 - the pass raises it when every part had its turn
        faults.append(fault)
        return 0


async def _publish_events(parts: Parts) -> int:
    try:
        published = await outbox.publish_due(parts.ledger.url, parts.bus, parts.storage.bucket)
    except TransientFault as fault:
        log.warning("events.not_published", error=str(fault))
        raise
    passed("sweep", "events_published")
    return published


async def _wake_loads(parts: Parts) -> int:
    async with connect(
        parts.ledger.url, program_name="crossdock:sweep", silence_seconds=BRIEF_SILENCE_SECONDS
    ) as database:
        rows = await database.fetch_all(SQL["loads_at_rest"], {"bucket": parts.storage.bucket})
        due = [
            load
            for load, row in ((load_of(row), row) for row in rows)
            if is_due(load, row["waits_since"].replace(tzinfo=UTC), parts.settings.lease_seconds)
        ]
        # A worker frozen before its commit holds its load's row and those of the loads that it has
        # woken: all of them are ended before the first load is touched.
        left = {
            load.lease_owner
            for load in due
            if load.lease_owner and await kill_connections(database, load.lease_owner)
        }
        free = [load for load in due if load.lease_owner not in left]
        woken = sum([await _wake(database, load) for load in free])
    passed("sweep", "loads_woken")
    return woken


async def _wake(database: Database, load: Load) -> bool:
    """Send the message of one load again, unless somebody has the load in hand at this moment."""
    keys = {"load_id": load.load_id, "fence": load.fence}
    async with database.transaction():
        if await database.fetch_one(SQL["take_load"], keys) is None:
            return False
        if not await outbox.rearm_next(database, load):
            return False
        await database.execute(SQL["forget_next_attempt"], keys)
    return True


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
    passed("sweep", "manifests_noticed")
    return len(unknown) + len(waiting)
