"""Letters as an operator sees them, and what publishes one again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from crossdock.cli.ledger_view import time_text
from shared.bus.port import Bus
from shared.errors import shown
from shared.ledger.mysql import note
from shared.letters import Kind, Standing, delivery_marks
from shared.mysql.connect import Database, Row, connect
from shared.mysql.queries import load_queries
from shared.waiting_letters import (
    MOST_READ_BYTES,
    WaitingLetters,
    read_waiting_letters,
    standing_of,
)

SQL = load_queries("crossdock.cli", "dead_letter.sql")
MOST_LETTERS = 100

INSTEAD: Mapping[Kind, str] = {
    Kind.IN_PROCESS: "it was a message inside `crossdock run`; run that again",
    Kind.NO_ENVELOPE: "it was no message; who sent it must send a push envelope",
    Kind.FOREIGN_BUCKET: "it tells of another bucket; mend that bucket's notifications",
}
# Google's client has arguments of these names and can publish no attribute that is called so.
UNPUBLISHABLE = frozenset({"topic", "data", "ordering_key", "retry", "timeout"})

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of one letter: the topic that it was published on, or why it was not."""

    letter: int
    topic: str | None = None
    why_not: str | None = None


async def list_letters(mysql_url: str) -> Document:
    """The letters that came last.

    Raises:
        TransientFault: the database did not answer.
    """
    values = {"most": MOST_LETTERS, "most_bytes": MOST_READ_BYTES}
    async with connect(mysql_url) as database:
        rows = await database.fetch_all(SQL["list_letters"], values)
        total = await database.fetch_value(SQL["count_letters"])
        letters = [letter_document(row, await standing_of(database, row)) for row in rows]
    return {"total": total, "letters": letters}


async def waiting_letters(mysql_url: str) -> WaitingLetters:
    """The letters that somebody has to care for.

    Raises:
        TransientFault: the database did not answer.
    """
    async with connect(mysql_url) as database:
        return await read_waiting_letters(database)


async def redrive(letter_no: int, mysql_url: str, bus: Bus) -> Redriven | None:
    """Publish a letter on its topic again and mark it, or say why not; None if there is none.

    If its mark is lost after it went out, it may go out twice: as messages do.

    Raises:
        TransientFault: the database or the bus did not answer.
    """
    async with connect(mysql_url) as database, database.transaction():
        row = await database.fetch_one(SQL["lock_letter"], {"letter_no": letter_no})
        if row is None:
            return None
        why_not = why_not_redriven(row, await _replayed_run(database, row))
        if why_not is not None:
            return Redriven(letter_no, why_not=why_not)
        topic = row["topic"]
        await bus.publish(topic, row["data"], json.loads(row["attributes"]))
        await database.execute(SQL["mark_redriven"], {"letter_no": letter_no})
        if row["load_id"] is not None:
            detail = f"letter {letter_no} was published on {topic} again"
            await note(database, row["load_id"], "redriven", detail=detail)
    return Redriven(letter_no, topic=topic)


def why_not_redriven(row: Mapping[str, Any], replayed_run: int | None) -> str | None:
    """Why a letter is not published again, and what to do instead; None if it is.

    Args:
        row: the letter.
        replayed_run: the run that its message began before it died, if it began one.
    """
    kept, size = len(row["data"]), row["size_bytes"]
    instead = INSTEAD.get(Kind(row["kind"]))
    names = set(json.loads(row["attributes"]))
    reasons = (
        (instead is not None, instead),
        (
            row["redriven_at"] is not None,
            f"it was published at {time_text(row['redriven_at'])}, and has not died since",
        ),
        (row["topic"] is None, "which topic it came from is not known; publish it by hand"),
        (size > kept, f"only the first {kept} of its {size} bytes were kept"),
        (UNPUBLISHABLE & names, "its attributes cannot be published from here; do it by hand"),
        (
            replayed_run is not None,
            f"it has begun run {replayed_run} already; `crossdock replay` begins another",
        ),
    )
    return next((reason for holds, reason in reasons if holds), None)


def letter_document(row: Row, stands: Standing) -> Document:
    """One letter as a list shows it, with the beginning of its body."""
    source = row["subscription"]
    return {
        "letter": row["letter_no"],
        "kind": row["kind"],
        "standing": stands.value,
        "source": source and source.rpartition("/")[2],
        "topic": row["topic"],
        "load_id": row["load_id"],
        "load_state": row["load_state"],
        "reason": row["reason"],
        "times": row["times"],
        "body": shown(row["beginning"].decode(errors="replace")),
        "bytes": row["size_bytes"],
        "published_at": time_text(row["published_at"]),
        "first_seen": time_text(row["first_seen"]),
        "last_seen": time_text(row["last_seen"]),
        "redriven_at": time_text(row["redriven_at"]),
    }


async def _replayed_run(database: Database, row: Row) -> int | None:
    if row["load_id"] is None or row["published_at"] is None:
        return None
    marks = delivery_marks(row["subscription"], row["published_at"].replace(tzinfo=UTC))
    keys = {"load_id": row["load_id"], **marks}
    run: int | None = await database.fetch_value(SQL["replayed_as"], keys)
    return run
