"""Deliveries uploaded to the stack's bucket, followed to their end, and what became of each."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from google.cloud.storage import Bucket, Client

from crossdock.stack import running
from shared.contracts.model import contracts
from shared.contracts.tables import Names
from shared.mysql.connect import Database, Row
from tests.end_to_end.bad_inputs import Delivery

REQUESTS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that the database holds of one delivery.

    Attributes:
        delivery: what was uploaded.
        load: its row in the ledger; None where its folder can have none.
        arrivals: every generation of its manifest, the oldest first.
        notices: those of the load, or else of its manifest.
        rejects: of the load, by entity and row_no.
        standing: the rows of production and crosswalks, by table, that are its partner's or that
            the load wrote.
    """

    delivery: Delivery
    load: Row | None
    arrivals: Sequence[Row]
    notices: Sequence[Row]
    rejects: Mapping[tuple[str, int], Row]
    standing: Mapping[str, Sequence[Row]]

    @property
    def told(self) -> dict[str, Any]:
        """What the notices say: the report, or the refusal of a manifest."""
        return dict(json.loads(self.notices[-1]["body"]))

    @property
    def failure(self) -> dict[str, Any]:
        """The failure that is told of; empty where there is none."""
        return self.told.get("failure") or {}

    def counts(self, name: str) -> dict[str, int | None]:
        """One count of each entity's rows, as it is reported."""
        return {entity: counts[name] for entity, counts in self.told["entities"].items()}


def upload(stack: running.StackInfo, deliveries: Iterable[Delivery]) -> None:
    """Upload drops side by side, the manifest of each last."""
    bucket = Client(project=stack.project).bucket(stack.bucket)
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        for done in [pool.submit(_upload, bucket, delivery) for delivery in deliveries]:
            done.result()


def _upload(bucket: Bucket, delivery: Delivery) -> None:
    for name, data in delivery.drop.files.items():
        blob = bucket.blob(delivery.drop.prefix + name)
        if name == delivery.encoded:
            blob.content_encoding = "gzip"
        blob.upload_from_string(data, content_type="text/csv")
    manifest = bucket.blob(delivery.manifest_name)
    manifest.upload_from_string(delivery.manifest, content_type="application/json")


def read_acks(stack: running.StackInfo) -> dict[str, dict[str, Any]]:
    """What partners find in the bucket, by the object's name."""
    client = Client(project=stack.project)
    blobs = client.list_blobs(stack.bucket, prefix="acks/")
    names = [blob.name for blob in blobs if blob.name.endswith(".json")]
    bucket = client.bucket(stack.bucket)
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        acks = pool.map(lambda name: json.loads(bucket.blob(name).download_as_bytes()), names)
        return dict(zip(names, acks, strict=True))


async def followed(
    database: Database, deliveries: Mapping[str, Delivery], *, patience_seconds: float
) -> dict[str, Outcome]:
    """The outcome of every delivery, once all of them are at their end and were told of.

    Raises:
        TimeoutError: some never came to their end; the text names them.
    """
    waiting = set(deliveries)
    try:
        async with asyncio.timeout(patience_seconds):
            while waiting:
                await asyncio.sleep(0.1)
                ended = await _ended(database)
                waiting = {name for name in waiting if deliveries[name].manifest_name not in ended}
    except TimeoutError as error:
        raise TimeoutError(f"never came to their end: {sorted(waiting)}") from error
    return {name: await outcome_of(database, each) for name, each in deliveries.items()}


async def _ended(database: Database) -> set[str]:
    """The manifests about which there is nothing left to decide, to do or to tell."""
    rows = await database.fetch_all(
        "SELECT object FROM arrival a LEFT JOIN load_ledger l USING (load_id) "
        "WHERE verdict NOT IN ('noticed', 'pending') "
        "AND (verdict = 'refused' OR l.reported_run = l.run) AND NOT EXISTS "
        "(SELECT 1 FROM notification n WHERE delivered_at IS NULL "
        "AND n.subject IN (a.object, a.load_id))"
    )
    return {row["object"] for row in rows}


async def outcome_of(database: Database, delivery: Delivery) -> Outcome:
    """What the database holds of a delivery now."""
    load_id = delivery.drop.load_id
    keys = {
        "load_id": load_id if load_id.isascii() else "",  # the columns take nothing else
        "partner": delivery.drop.partner if delivery.drop.partner.isascii() else "",
        "object": delivery.manifest_name,
    }
    rejects = await database.fetch_all(
        "SELECT * FROM load_reject WHERE load_id = %(load_id)s ORDER BY entity, row_no", keys
    )
    return Outcome(
        delivery=delivery,
        load=await database.fetch_one(
            "SELECT * FROM load_ledger WHERE load_id = %(load_id)s AND partner = %(partner)s", keys
        ),
        arrivals=await database.fetch_all(
            "SELECT * FROM arrival WHERE object = %(object)s ORDER BY generation", keys
        ),
        notices=await database.fetch_all(
            "SELECT * FROM notification WHERE subject IN (%(load_id)s, %(object)s) "
            "ORDER BY notification_no",
            keys,
        ),
        rejects={(row["entity"], row["row_no"]): row for row in rejects},
        standing={table: await _standing(database, table, keys) for table in _tables()},
    )


def _tables() -> list[str]:
    tables = []
    for entity in contracts()["v1"].entities:
        names = Names.of(entity)
        tables += [names.production, *([names.crosswalk] if entity.has_children else [])]
    return tables


async def _standing(database: Database, table: str, keys: Mapping[str, str]) -> Sequence[Row]:
    first = "first_seen_load_id" if table.startswith("crosswalk") else "first_load_id"
    last = "last_seen_load_id" if table.startswith("crosswalk") else "last_load_id"
    return await database.fetch_all(
        f"SELECT * FROM {table} WHERE source_system = %(partner)s "
        f"OR %(load_id)s IN ({first}, {last}) ORDER BY 1, 2",
        keys,
    )


def assert_told_once(notices: Sequence[Row], outcome: str) -> None:
    """One notice, given, on each channel that there is."""
    channels = [notice["channel"] for notice in notices]
    assert {"log", "ack"} <= set(channels)
    assert len(channels) == len(set(channels))
    assert {notice["outcome"] for notice in notices} == {outcome}
    assert all(notice["delivered_at"] is not None for notice in notices)
