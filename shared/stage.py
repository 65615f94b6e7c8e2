"""The one path that every message takes: parse, claim, run, finish, answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog
from structlog.contextvars import bound_contextvars

from shared.bus.port import Answer, Bus, Message
from shared.errors import LeaseLost, Rejected, TransientFault, Waiting
from shared.events import SUBSCRIPTIONS, Event, StageName
from shared.ledger.delivery import Delivery, Verdict
from shared.ledger.lease import Claim, kept_alive
from shared.ledger.mysql import Ledger
from shared.mysql.connect import redone
from shared.outbox import publish_due
from shared.partners import Partners
from shared.settings import Settings
from shared.steps import passed
from shared.storage.port import Storage
from shared.telemetry import tracing
from shared.telemetry.metrics import Outcome, count_rejection, count_stage

log = structlog.get_logger()

# No drop, however wrong, should come to these; they are told as the bugs that they must be.
OURS = frozenset({"reconcile.mismatch"})


@dataclass(frozen=True, slots=True)
class Parts:
    """What a stage works with."""

    settings: Settings
    storage: Storage
    bus: Bus
    ledger: Ledger
    partners: Partners


class NotAMessage(ValueError):  # noqa: N818 - a verdict on the message
    """The bytes are none of this stage's messages; nothing is written for them."""


def read_body(stage: StageName, data: bytes) -> Event:
    """The event that a message's body tells a stage of.

    Raises:
        NotAMessage: it is no event, or one that belongs to another stage.
    """
    try:
        event = Event.parse(data)
    except ValueError as error:
        raise NotAMessage("the body is no event: a JSON object with a load_id is wanted") from error
    if event.event is not None and event.event not in SUBSCRIPTIONS[stage]:
        raise NotAMessage(f"{event.event} is no message for the {stage}")
    return event


async def read_event(stage: StageName, message: Message, _parts: Parts) -> Event | None:
    """The event that a message brings, as most stages read it.

    Raises:
        NotAMessage: its body is no event of this stage.
    """
    return read_body(stage, message.data)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: its name, what it does with a claimed load, and how it reads a message.

    `after`, where there is one, follows each message's work, before the answer; it raises nothing.
    """

    name: StageName
    run: Callable[[Claim, Parts], Awaitable[None]]
    read: Callable[[StageName, Message, Parts], Awaitable[Event | None]] = read_event
    after: Callable[[Parts], Awaitable[None]] | None = None


async def run_stage(stage: Stage, message: Message, parts: Parts) -> Answer:
    """Take one message as far as it goes and say what becomes of it.

    A fault, foreseen or not, is a reason for another delivery. So is what is no message; it comes
    again until it is a dead letter. Every other end is recorded and answered for good.
    """
    with tracing.taking(message), bound_contextvars(stage=stage.name):
        answer = await _take(stage, message, parts)
        tracing.describe(answer=answer.value)
        return answer


async def _take(stage: Stage, message: Message, parts: Parts) -> Answer:
    try:
        event = await redone(partial(stage.read, stage.name, message, parts))
        if event is None:
            return Answer.DONE
        tracing.describe(load_id=event.load_id)
        delivery = Delivery(stage.name, event, parts.storage.bucket)
        claim = await redone(partial(parts.ledger.claim, delivery, message.delivery_key))
        if claim is Verdict.GIVE_UP:
            log.error("load.needs_attention", load_id=event.load_id, stage=stage.name)
            answer = Answer.DONE
        elif isinstance(claim, Verdict):
            log.info("message.settled", load_id=event.load_id, stage=stage.name, verdict=claim)
            tracing.describe(verdict=claim)
            answer = Answer.DONE
        else:
            answer = await _run_claimed(stage, claim, parts)
    except NotAMessage as refusal:
        log.warning("message.refused", stage=stage.name, reason=str(refusal))
        return Answer.REFUSED
    except TransientFault as fault:
        log.warning("message.postponed", stage=stage.name, error=str(fault))
        tracing.mark_fault(fault)
        return Answer.RETRY
    await _publish(stage, event, parts)
    if stage.after is not None:
        await stage.after(parts)
    return answer


async def _publish(stage: Stage, event: Event, parts: Parts) -> None:
    """Send what waits in the outbox; what cannot be sent now is no reason to do the work again."""
    try:
        await publish_due(parts.ledger.url, parts.bus, parts.storage.bucket)
    except TransientFault as fault:
        log.warning(
            "events.left_to_sweep", load_id=event.load_id, stage=stage.name, error=str(fault)
        )
    else:
        passed(stage.name, "published", load_id=event.load_id)


async def _run_claimed(stage: Stage, claim: Claim, parts: Parts) -> Answer:
    load_id, begun = claim.load.load_id, time.perf_counter()
    log.info("stage.started", load_id=load_id, run=claim.run, stage=stage.name, fence=claim.fence)
    passed(stage.name, "claimed", load_id=load_id)
    with (
        tracing.span(f"run {stage.name}", load_id=load_id, run=claim.run, fence=claim.fence),
        bound_contextvars(load_id=load_id, run=claim.run),
    ):
        outcome = await _work(stage, claim, parts)
        tracing.describe(outcome=outcome)
    count_stage(stage.name, outcome, time.perf_counter() - begun)
    return Answer.RETRY if outcome is Outcome.POSTPONED else Answer.DONE


async def _work(stage: Stage, claim: Claim, parts: Parts) -> Outcome:
    facts = {"load_id": claim.load.load_id, "run": claim.run, "stage": stage.name}
    settings = parts.settings
    try:
        async with kept_alive(
            claim,
            parts.ledger.url,
            lease_seconds=settings.lease_seconds,
            heartbeat_seconds=settings.heartbeat_seconds,
        ):
            await parts.ledger.end_predecessor(claim)
            passed(stage.name, "predecessor_ended", load_id=claim.load.load_id)
            await redone(partial(stage.run, claim, parts))
    except asyncio.CancelledError:
        # In a thread of its own: this event loop is about to end.
        await asyncio.to_thread(asyncio.run, parts.ledger.release(claim))
        log.warning("stage.released", **facts)
        raise
    except LeaseLost as lost:
        log.warning("stage.lease_lost", **facts, error=str(lost))
        return Outcome.LEASE_LOST
    except Waiting as waiting:
        await redone(partial(parts.ledger.wait, claim, waiting))
        log.info("stage.waiting", **facts, reason=waiting.reason)
        return Outcome.WAITING
    except Rejected as rejected:
        return await _reject(claim, rejected, parts)
    except Exception as fault:  # noqa: BLE001 - a bug must not end the process, nor the load
        return await _postpone(claim, fault, parts)
    log.info("stage.finished", **facts)
    return Outcome.FINISHED


async def _reject(claim: Claim, rejected: Rejected, parts: Parts) -> Outcome:
    failure = rejected.failure
    try:
        await redone(partial(parts.ledger.fail, claim, failure))
    except LeaseLost:
        return Outcome.LEASE_LOST
    except Exception as fault:  # noqa: BLE001 - as above
        return await _postpone(claim, fault, parts)
    passed(claim.stage, "rejected", load_id=claim.load.load_id)
    _say_rejected(claim, rejected)
    tracing.describe(code=failure.code)
    count_rejection(claim.stage, failure.code)
    return Outcome.REJECTED


def _say_rejected(claim: Claim, rejected: Rejected) -> None:
    failure = rejected.failure
    facts = {
        "load_id": claim.load.load_id,
        "run": claim.run,
        "stage": claim.stage,
        "code": failure.code,
        "file": failure.file,
        "row": failure.row,
        "column": failure.column,
    }
    if failure.code in OURS:
        log.error("load.rejected", **facts, exc_info=rejected)
    else:
        log.info("load.rejected", **facts)


async def _postpone(claim: Claim, fault: Exception, parts: Parts) -> Outcome:
    facts = {"load_id": claim.load.load_id, "run": claim.run, "stage": claim.stage}
    if isinstance(fault, TransientFault):
        log.warning("stage.postponed", **facts, error=str(fault))
    else:
        log.error("stage.postponed", **facts, exc_info=fault)
    tracing.mark_fault(fault)
    if await redone(partial(parts.ledger.postpone, claim, fault)):
        attempts = claim.load.attempts + 1
        log.error("load.needs_attention", **facts, attempts=attempts)
    return Outcome.POSTPONED
