"""Which letters wait for a person: read here for every place that counts or lists them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from shared.gcs_notification import is_notification
from shared.ledger.mysql import load_of
from shared.letters import DAYS_OF_WAITING, Kind, Standing, is_overtaken, standing
from shared.manifest import is_load_id
from shared.mysql.connect import Database, Row
from shared.mysql.queries import load_queries

SQL = load_queries("shared", "dead_letters.sql")
LEDGER = load_queries("shared.ledger", "ledger.sql")
# Enough of a body to know the event that it is.
MOST_READ_BYTES = 8_000


@dataclass(frozen=True, slots=True)
class WaitingLetters:
    """The letters that wait for a person: what a stage could take, by number, and how many else."""

    undelivered: tuple[int, ...]
    others: int

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.undelivered) + self.others


async def read_waiting_letters(database: Database) -> WaitingLetters:
    """The letters that somebody has to care for.

    Raises:
        TransientFault: the database did not answer.
    """
    values = {"days": DAYS_OF_WAITING, "most_bytes": MOST_READ_BYTES}
    rows = [
        row
        for row in await database.fetch_all(SQL["letters_that_may_wait"], values)
        if await standing_of(database, row) is Standing.WAITS
    ]
    undelivered = tuple(row["letter_no"] for row in rows if row["kind"] == Kind.UNDELIVERED)
    return WaitingLetters(undelivered, len(rows) - len(undelivered))


async def standing_of(database: Database, row: Row) -> Standing:
    """How a letter stands, by its row with the beginning of its body and the moment of reading.

    Raises:
        TransientFault: the database did not answer.
    """
    attributes: dict[str, str] = json.loads(row["attributes"])
    load_id, load = row["load_id"], None
    if load_id is not None and is_load_id(load_id):
        found = await database.fetch_one(LEDGER["read_load"], {"load_id": load_id})
        load = None if found is None else load_of(found)
    return standing(
        Kind(row["kind"]),
        is_redriven=row["redriven_at"] is not None,
        is_overtaken=is_overtaken(
            row["topic"],
            row["beginning"],
            attributes,
            load,
            is_arrival_decided=await _is_decided(database, attributes),
        ),
        waited=row["now"] - row["last_seen"],
    )


async def _is_decided(database: Database, attributes: Mapping[str, str]) -> bool:
    if not is_notification(attributes):
        return False
    names = {"bucket": "bucketId", "object": "objectId", "generation": "objectGeneration"}
    keys = {key: attributes.get(name) for key, name in names.items()}
    return bool(await database.fetch_value(SQL["is_decided"], keys))
