"""The four stages in one process: the same code over the in-process bus, followed to its end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from services.reporter.deliver import deliver_due
from services.reporter.stage import STAGE as REPORTER
from services.stager.stage import STAGE as STAGER
from services.upserter.stage import STAGE as UPSERTER
from services.validator.admission import look_again
from services.validator.stage import STAGE as VALIDATOR
from shared.bus.memory import MemoryBus
from shared.bus.port import Answer, Message
from shared.dead_letters import keep_in_process
from shared.events import SUBSCRIPTIONS, Event, Topic
from shared.gcs_notification import Arrival, notification_of
from shared.ledger.states import Load, State
from shared.stage import Parts, Stage, run_stage
from shared.sweep import sweep

STAGES: tuple[Stage, ...] = (VALIDATOR, STAGER, UPSERTER, REPORTER)
PAUSE_SECONDS = 0.2

Progress = Callable[[str], None]


class Ending(Enum):
    """How a load that was followed came out."""

    REPORTED = "reported"
    FAILED = "failed"
    REFUSED = "refused"
    HELD_ELSEWHERE = "held_elsewhere"
    NEEDS_ATTENTION = "needs_attention"


@dataclass(frozen=True, slots=True)
class Followed:
    """A load after it was followed, and how it ended; no load where its manifest was refused."""

    ending: Ending
    load: Load | None


def subscribe_stages(bus: MemoryBus, parts: Parts, progress: Progress) -> None:
    """Let each stage take its topics' messages from the in-process bus."""
    for stage in STAGES:

        async def take(message: Message, stage: Stage = stage) -> Answer:
            progress(f"{stage.name} …")
            return await run_stage(stage, message, parts)

        for topic in SUBSCRIPTIONS[stage.name]:
            bus.subscribe(topic, f"{stage.name}.{topic}", take)


async def run_arrival(
    arrival: Arrival, parts: Parts, bus: MemoryBus, *, progress: Progress
) -> Followed:
    """Take a manifest through all four stages, or go on where an earlier process stopped.

    A load that failed runs again from the start, for its files may have been mended meanwhile; one
    that needs attention gets it, at the stage that it waits for; one that was reported is left as
    it is.

    Raises:
        TransientFault: the database or the bucket did not answer.
    """
    before = await parts.ledger.read(arrival.load_id)
    await look_again(arrival, parts)
    subscribe_stages(bus, parts, progress)
    notification = notification_of(arrival.bucket, arrival.object_name, arrival.generation)
    await bus.publish(Topic.ARRIVED, b"{}", notification)
    await bus.drain()
    load = await parts.ledger.read(arrival.load_id)
    if load is not None and before is not None and load.run == before.run:
        topic = _topic_of_replay(before)
        if topic is not None:
            await bus.publish(topic, Event(load_id=load.load_id).body(), {})
            await bus.drain()
    followed = await _follow(arrival, parts, bus)
    await keep_in_process(bus.dead_letters, parts.ledger.url)
    return followed


def _topic_of_replay(load: Load) -> Topic | None:
    """The message that moves a load on which no event of its own would move; None for others."""
    if load.state is State.FAILED and load.has_reached(State.RECEIVED):
        return Topic.ARRIVED
    return load.due_topic if load.needs_attention else None


async def _follow(arrival: Arrival, parts: Parts, bus: MemoryBus) -> Followed:
    while True:
        load = await parts.ledger.read(arrival.load_id)
        if load is None or load.partner != arrival.partner:
            await deliver_due(parts)
            return Followed(Ending.REFUSED, None)
        if load.bucket != arrival.bucket and load.in_flight:
            return Followed(Ending.HELD_ELSEWHERE, load)
        if load.needs_attention:
            return Followed(Ending.NEEDS_ATTENTION, load)
        if load.due_topic is None:
            await deliver_due(parts)
            failed = load.failed_run == load.run
            return Followed(Ending.FAILED if failed else Ending.REPORTED, load)
        if load.leased:
            return Followed(Ending.HELD_ELSEWHERE, load)
        await asyncio.sleep(_pause_seconds(load))
        await sweep(parts)
        await bus.drain()


def _pause_seconds(load: Load) -> float:
    if load.next_attempt_at is None:
        return PAUSE_SECONDS
    return max(PAUSE_SECONDS, (load.next_attempt_at - load.now) / timedelta(seconds=1))
