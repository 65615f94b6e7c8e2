"""Running a drop through all four stages, and reading what was told of it."""

import json
from dataclasses import replace
from typing import Any

from crossdock.pipeline import Followed, run_arrival, subscribe_stages
from shared.bus.memory import MemoryBus
from shared.events import Event, Topic
from shared.gcs_notification import Arrival, arrival_of
from shared.mysql.connect import Database
from shared.stage import Parts
from tests.drops import Drop


async def arrival(parts: Parts, drop: Drop) -> Arrival:
    found = await parts.storage.stat(drop.prefix + "manifest.json")
    assert found is not None
    read = arrival_of(parts.storage.bucket, found.name, found.generation)
    assert read is not None
    return read


async def run(parts: Parts, drop: Drop) -> Followed:
    """What `crossdock run` does with a drop that lies in the bucket."""
    bus = MemoryBus(max_attempts=3, backoff_seconds=0.01)
    return await run_arrival(
        await arrival(parts, drop), replace(parts, bus=bus), bus, progress=lambda _: None
    )


async def replay(parts: Parts, topic: Topic, load_id: str) -> None:
    """What a message by hand does: the stage that takes the topic, and those after it, again."""
    bus = MemoryBus(max_attempts=3, backoff_seconds=0.01)
    subscribe_stages(bus, replace(parts, bus=bus), lambda _: None)
    await bus.publish(topic, Event(load_id=load_id).body(), {})
    await bus.drain()


async def report(database: Database, load_id: str = "load-1") -> dict[str, Any]:
    text = await database.fetch_value(
        "SELECT report FROM load_report WHERE load_id = %(load_id)s ORDER BY run DESC LIMIT 1",
        {"load_id": load_id},
    )
    return dict(json.loads(text))


def counts(told: dict[str, Any], name: str) -> dict[str, int]:
    """Of each entity, one count."""
    return {entity: numbers[name] for entity, numbers in told["entities"].items()}
