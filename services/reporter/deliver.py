"""Gives the notices that are due, each under a lease, at least once; none ever fails a load.

The channels go side by side, each one notice after the other, so that a channel that is slow or
dead holds up nobody but itself.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from services.reporter.acks import put_ack
from shared.errors import TransientFault
from shared.mysql.connect import Database, connect
from shared.mysql.queries import load_queries
from shared.notices import NotDelivered, Notice
from shared.stage import Parts
from shared.steps import passed
from shared.telemetry import tracing

SQL = load_queries("shared", "notices.sql")
PROGRAM_NAME = "crossdock:notices"

# A send ends before its lease does, so that no two sweeps give the same notice.
LEASE_SECONDS = 60
SEND_SECONDS = 30.0
# A channel with a long queue goes on in the next pass: the sweep has loads to look after, too.
PASS_SECONDS = 20.0
# A message's answer does not wait longer for the channels; the sweep sees to what is left.
SOON_SECONDS = 3.0
LONGEST_DELAY_SECONDS = 3600.0

log = structlog.get_logger()

Channel = Callable[[Notice, Parts], Awaitable[None]]


async def to_log(notice: Notice, _parts: Parts) -> None:
    """Write a notice as a line of the log; a warning only where somebody spoke for another."""
    write = log.warning if notice.is_security_event else log.info
    write(
        "load.notice",
        load_id=notice.body["load_id"],
        outcome=notice.outcome,
        code=notice.failure["code"] if notice.failure else None,
        security=notice.is_security_event,
        report=notice.body,
    )


# The packages for chat and mail are imported with the first notice that goes there: where neither
# is set, a run by hand would spend a tenth of a second on them for nothing.
async def to_teams(notice: Notice, parts: Parts) -> None:
    """Post a notice as a card."""
    from services.reporter.teams import post_card  # noqa: PLC0415

    await post_card(notice, parts)


async def to_mail(notice: Notice, parts: Parts) -> None:
    """Send a notice by mail."""
    from services.reporter.email_notice import send_mail  # noqa: PLC0415

    await send_mail(notice, parts)


CHANNELS: Final[Mapping[str, Channel]] = {
    "log": to_log,
    "ack": put_ack,
    "teams": to_teams,
    "email": to_mail,
}


async def deliver_due(parts: Parts) -> int:
    """Give the notices of this bucket's loads that are due, and return how many were given.

    A channel's pass ends with its first fault; what is left is for the next pass.

    Raises:
        TransientFault: the database did not answer.
    """
    async with connect(parts.ledger.url, program_name=PROGRAM_NAME) as database:
        rows = await database.fetch_all(SQL["channels_due"], {"bucket": parts.storage.bucket})
    due = {row["channel"] for row in rows} & set(parts.settings.notice_channels)
    passes = [_deliver_channel(channel, parts) for channel in sorted(due)]
    given = 0
    for outcome in await asyncio.gather(*passes, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
        given += outcome
    return given


async def deliver_soon(parts: Parts, *, within_seconds: float = SOON_SECONDS) -> None:
    """Give what is due without waiting for the sweep, nor for long.

    A channel that takes longer goes on by itself as long as the process may; whatever does not come
    to its end is due again when its lease is over.
    """
    delivery = asyncio.create_task(_deliver_by_itself(parts))
    _under_way.add(delivery)
    delivery.add_done_callback(_under_way.discard)
    await asyncio.wait({delivery}, timeout=within_seconds)


# The event loop itself holds a task only weakly.
_under_way: Final[set[asyncio.Task[None]]] = set()


async def _deliver_by_itself(parts: Parts) -> None:
    try:
        await deliver_due(parts)
    except TransientFault as fault:
        log.warning("notices.left_to_sweep", error=str(fault))
    except Exception:
        log.exception("notices.left_to_sweep")


async def _deliver_channel(channel: str, parts: Parts) -> int:
    clock = asyncio.get_running_loop()
    end = clock.time() + PASS_SECONDS
    given = 0
    async with connect(parts.ledger.url, program_name=PROGRAM_NAME) as database:
        while clock.time() < end:
            notice = await _lease_next(database, channel, parts.storage.bucket)
            if notice is None or not await _give(database, channel, notice, parts):
                break
            given += 1
    return given


async def _lease_next(database: Database, channel: str, bucket: str) -> Notice | None:
    while True:
        row = await database.fetch_one(SQL["next_due"], {"bucket": bucket, "channel": channel})
        if row is None:
            return None
        keys = {"notification_no": row["notification_no"], "attempts": row["attempts"]}
        if await database.execute(SQL["lease"], {**keys, "lease_seconds": LEASE_SECONDS}):
            break
    passed("notices", "notice_leased")
    return Notice(
        number=row["notification_no"],
        subject=row["subject"],
        run=row["run"],
        outcome=row["outcome"],
        attempts=row["attempts"] + 1,
        body=json.loads(row["body"]),
        traceparent=row["traceparent"],
    )


async def _give(database: Database, channel: str, notice: Notice, parts: Parts) -> bool:
    keys = {"notification_no": notice.number, "attempts": notice.attempts}
    try:
        with tracing.span(f"deliver {channel}", parent=notice.traceparent):
            await _send(channel, notice, parts)
    except Exception as error:  # noqa: BLE001 - no notice fails a load
        _say_not_delivered(channel, notice, error)
        delay = delay_seconds(notice.attempts, parts.settings.retry_base_seconds)
        reason = str(error) or type(error).__name__
        await database.execute(
            SQL["not_delivered"], {**keys, "error": reason, "delay_seconds": delay}
        )
        return False
    passed("notices", "notice_given")
    await database.execute(SQL["delivered"], keys)
    return True


def _say_not_delivered(channel: str, notice: Notice, error: Exception) -> None:
    facts = {
        "channel": channel,
        "subject": notice.subject,
        "run": notice.run,
        "attempts": notice.attempts,
    }
    if isinstance(error, NotDelivered | TransientFault):
        log.warning("notice.not_delivered", **facts, error=str(error))
    else:
        log.error("notice.not_delivered", **facts, exc_info=error)


async def _send(channel: str, notice: Notice, parts: Parts) -> None:
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await CHANNELS[channel](notice, parts)
    except TimeoutError as error:
        raise NotDelivered(f"no answer within {SEND_SECONDS:.0f} s") from error


def delay_seconds(attempts: int, base_seconds: float) -> float:
    """How long to wait after so many attempts: twice as long each time, at most an hour."""
    return min(LONGEST_DELAY_SECONDS, base_seconds * 2.0 ** min(attempts - 1, 30))
