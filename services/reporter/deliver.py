"""Gives the notices that are due, each under a lease, at least once; none ever fails a load."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from shared.mysql.connect import connect
from shared.mysql.queries import load_queries
from shared.stage import Parts
from shared.steps import passed

SQL = load_queries("shared", "notices.sql")
LEASE_SECONDS = 60
LONGEST_DELAY_SECONDS = 3600

log = structlog.get_logger()


async def _to_log(notice: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    failure = body.get("failure") or {}
    write = log.warning if failure else log.info
    write(
        "load.notice",
        load_id=body["load_id"],
        outcome=notice["outcome"],
        code=failure.get("code"),
        security=failure.get("code") == "manifest.partner_mismatch",
        report=body,
    )


CHANNELS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Awaitable[None]]] = {
    "log": _to_log
}


async def deliver_due(parts: Parts) -> int:
    """Give every notice of this bucket's loads that is due, and return how many were given."""
    given = 0
    async with connect(parts.ledger.url, program_name="crossdock:notices") as database:
        while True:
            async with database.transaction():
                notice = await database.fetch_one(SQL["take_due"], {"bucket": parts.storage.bucket})
                if notice is None:
                    return given
                key = {"notification_no": notice["notification_no"]}
                await database.execute(SQL["lease"], {**key, "lease_seconds": LEASE_SECONDS})
            passed("notices", "notice_leased")
            try:
                await CHANNELS[notice["channel"]](notice, json.loads(notice["body"]))
            except Exception as error:
                log.exception("notice.not_delivered", subject=notice["subject"])
                delay = min(LONGEST_DELAY_SECONDS, 2 ** notice["attempts"])
                values = {**key, "error": str(error), "delay_seconds": delay}
                await database.execute(SQL["not_delivered"], values)
            else:
                passed("notices", "notice_given")
                await database.execute(SQL["delivered"], key)
                given += 1
