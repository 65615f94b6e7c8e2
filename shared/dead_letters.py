"""Messages that no stage could take, and whatever else belongs to no load, kept for a person.

Pub/Sub gives a message up after some deliveries and publishes it on the topic `dead-letter`, where
the reporter takes it. What is no message at all is kept by the service at whose door it came.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC
from typing import Any

import structlog

from shared.bus.port import Answer, DeadLetter, Message
from shared.errors import TransientFault
from shared.gcs_notification import is_notification
from shared.ledger.mysql import note
from shared.letters import (
    FROM_OUTSIDE,
    Kind,
    Letter,
    delivery_marks,
    explain,
    letter_at_the_door,
    letter_in_process,
    letter_of,
)
from shared.manifest import is_load_id
from shared.mysql.connect import Database, connect, redone
from shared.mysql.queries import load_queries
from shared.stage import NotAMessage, Parts, read_body
from shared.telemetry import tracing

SQL = load_queries("shared", "dead_letters.sql")
# Events are some hundred bytes; what is larger by so much was never ours to publish again.
MOST_KEPT_BYTES = 1024 * 1024
# Of a body that was no message only the beginning is kept, and of such bodies so many a day.
MOST_KEPT_OF_A_BODY_BYTES = 4096
MOST_NEW_A_DAY = 1_000

REQUEST_SECONDS = 3.0
PROGRAM_NAME = "crossdock:letters"

log = structlog.get_logger()


def refusal_of(letter: Letter) -> str | None:
    """What its stage says of a message that it can never take; None of one that it could take."""
    if letter.stage is None:
        return None
    if letter.stage == "validator" and is_notification(letter.attributes):
        return None
    try:
        read_body(letter.stage, letter.data)
    except NotAMessage as refusal:
        return str(refusal)
    return None


async def take_letter(message: Message, parts: Parts) -> Answer:
    """Keep a message of the topic `dead-letter`; only a database that is away gives it back."""
    try:
        with tracing.taking(message):
            await keep_undelivered(letter_of(message), parts.ledger.url)
    except TransientFault as fault:
        log.warning("letter.postponed", error=str(fault))
        return Answer.RETRY
    return Answer.DONE


async def keep_undelivered(letter: Letter, mysql_url: str) -> None:
    """Find out why no stage took a message, and keep it with that reason.

    Raises:
        TransientFault: the database did not answer.
    """
    refusal = refusal_of(letter)
    if refusal is not None:
        kind = Kind.REFUSED if letter.kind is Kind.UNDELIVERED else letter.kind
        reason = f"the {letter.stage} cannot take it: {refusal}"
        await keep(replace(letter, kind=kind, reason=reason), mysql_url)
        return
    known = None
    if letter.load_id is not None and is_load_id(letter.load_id):
        marks = delivery_marks(letter.subscription, letter.published_at)
        async with connect(mysql_url, program_name=PROGRAM_NAME) as database:
            known = await database.fetch_one(
                SQL["what_is_known"], {"load_id": letter.load_id, **marks}
            )
    last_error, last_kind = (known["last_error"], known["last_kind"]) if known else (None, None)
    await keep(replace(letter, reason=explain(letter, last_error, last_kind)), mysql_url)


async def keep_in_process(dead: Iterable[DeadLetter], mysql_url: str) -> None:
    """Keep what the in-process bus gave up.

    Raises:
        TransientFault: the database did not answer.
    """
    for one in dead:
        await keep_undelivered(letter_in_process(one), mysql_url)


async def keep_request(service: str, mysql_url: str, body: bytes, why: str) -> None:
    """Keep a request to a service that was no message, if that can be done at once.

    The caller has been refused already: whatever goes wrong here is logged and no more.
    """
    letter = letter_at_the_door(service, body, why)
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            await keep(letter, mysql_url)
    except Exception as fault:  # noqa: BLE001 - the caller's answer does not depend on it
        log.warning(
            "letter.not_kept", reason=letter.reason, error=f"{type(fault).__name__}: {fault}"
        )


async def keep(letter: Letter, mysql_url: str) -> None:
    """Write a letter down, and a line into its load's history; the same delivery counts once.

    Letters from outside are kept up to MOST_NEW_A_DAY of a kind.

    Raises:
        TransientFault: the database did not answer.
    """

    async def write() -> bool:
        async with (
            connect(mysql_url, program_name=PROGRAM_NAME) as database,
            database.transaction(),
        ):
            return await _write(database, letter)

    facts = {"kind": letter.kind.value, "load_id": letter.load_id, "reason": letter.reason}
    if await redone(write):
        log.warning("letter.kept", **facts)
    else:
        log.warning("letter.not_kept", **facts, error=f"{MOST_NEW_A_DAY} of its kind are new today")


async def _write(database: Database, letter: Letter) -> bool:
    known = await database.fetch_one(SQL["lock_letter"], {"digest": letter.digest})
    came_before = known is not None and known["delivery_key"] == letter.delivery_key
    if came_before and letter.delivery_key is not None:
        return True
    if known is None and letter.kind in FROM_OUTSIDE:
        count = await database.fetch_value(SQL["count_of_a_day"], {"kind": letter.kind})
        if count >= MOST_NEW_A_DAY:
            return False
    await database.execute(SQL["keep"], _row(letter))
    if letter.load_id is not None:
        await note(database, letter.load_id, "dead_lettered", detail=letter.reason)
    return True


def _row(letter: Letter) -> dict[str, Any]:
    outside = letter.kind in FROM_OUTSIDE
    most_bytes = MOST_KEPT_OF_A_BODY_BYTES if outside else MOST_KEPT_BYTES
    moment = letter.published_at
    return {
        "kind": letter.kind,
        "digest": letter.digest,
        "subscription": letter.subscription,
        "topic": letter.topic,
        "published_at": moment and moment.astimezone(UTC).replace(tzinfo=None),
        "data": letter.data[:most_bytes],
        "size_bytes": len(letter.data),
        "attributes": json.dumps(dict(letter.attributes)),
        "reason": letter.reason,
        "load_id": letter.load_id,
        "delivery_key": letter.delivery_key,
    }
