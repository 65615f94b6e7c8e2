"""Notices as rows: written in the transaction of what they tell of, given after its commit."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shared.errors import Failure
from shared.gcs_notification import Arrival
from shared.mysql.connect import Database
from shared.mysql.queries import load_queries

SQL = load_queries("shared", "notices.sql")


async def add(
    database: Database,
    channels: Sequence[str],
    *,
    subject: str,
    run: int,
    outcome: str,
    bucket: str,
    body: Mapping[str, Any],
) -> None:
    """Write a notice for each channel into the transaction that is open."""
    for channel in channels:
        await database.execute(
            SQL["add"],
            {
                "subject": subject,
                "run": run,
                "channel": channel,
                "outcome": outcome,
                "bucket": bucket,
                "body": json.dumps(body),
            },
        )


async def add_refusal(
    database: Database, channels: Sequence[str], arrival: Arrival, failure: Failure
) -> None:
    """Write the notices of a manifest that can have no ledger row of its own."""
    body = {
        "load_id": arrival.load_id,
        "partner": arrival.partner,
        "object": arrival.object_name,
        "generation": str(arrival.generation),
        "failure": failure.to_json(),
    }
    await add(
        database,
        channels,
        subject=arrival.object_name[:500],
        run=arrival.generation,
        outcome="refused",
        bucket=arrival.bucket,
        body=body,
    )
