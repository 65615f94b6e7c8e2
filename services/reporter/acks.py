"""The ack: what became of a drop, put into the bucket for the partner who delivered it.

It is made from the reports as they stand when it is written, not from the notice that asks for it,
and by one worker at a time. So notices may come late, twice or out of order: the ack that stands
is that of the run which counts, and the same again gives the same bytes.
"""

import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from services.reporter.partner_view import (
    ACK_NAME,
    REJECTS_NAME,
    Told,
    ack_folder,
    ack_of,
    refusal_name,
    refusal_of,
    run_to_acknowledge,
)
from services.reporter.rejects_csv import CONTENT_TYPE, encode_header, encode_rejects
from shared.contracts.model import contract_of
from shared.gcs_notification import arrival_of
from shared.mysql.connect import Database, Row, connect
from shared.mysql.queries import load_queries
from shared.notices import Notice
from shared.stage import Parts

SQL = load_queries("services.reporter", "acks.sql")
# A page of rows as large as rows may be has some 30 MB.
ROWS_A_PAGE: Final = 20
MOST_REJECTS_BYTES: Final = 64 * 1024 * 1024


async def put_ack(notice: Notice, parts: Parts) -> None:
    """Write the ack that a notice asks for; a folder that is only read gets none.

    rejects.csv is written first and always, so that who sees ack.json finds the rows it tells of,
    and none of an earlier try.

    Raises:
        TransientFault: the database or the bucket did not answer.
    """
    if parts.storage.read_only:
        return
    if notice.outcome == "refused":
        body = notice.body
        folder = ack_folder(body["partner"], body["load_id"])
        await _write(parts, folder + refusal_name(body["generation"]), refusal_of(body))
        return
    keys = {"load_id": notice.subject}
    async with (
        connect(parts.ledger.url, program_name="crossdock:acks") as database,
        database.transaction(),
    ):
        await database.fetch_one(SQL["take_turn"], keys)
        rows = await database.fetch_all(SQL["runs_told"], keys)
        told = _of_same_folder([_told(row) for row in rows], notice.run)
        if told:
            await _put(database, run_to_acknowledge(told), parts)


async def _put(database: Database, told: Told, parts: Parts) -> None:
    folder = ack_folder(told.arrival.partner, told.arrival.load_id)
    rejects, listed = await _rejects(database, told)
    await parts.storage.write(
        folder + REJECTS_NAME, rejects, content_type=CONTENT_TYPE, overwrite=True
    )
    await _write(parts, folder + ACK_NAME, ack_of(told, listed=listed))


async def _write(parts: Parts, name: str, ack: Mapping[str, Any]) -> None:
    text = json.dumps(ack, ensure_ascii=False, indent=2) + "\n"
    await parts.storage.write(name, text.encode(), content_type="application/json", overwrite=True)


async def _rejects(database: Database, told: Told) -> tuple[bytes, int]:
    """The bytes of rejects.csv, and how many rows it lists."""
    file = io.BytesIO()
    file.write(encode_header())
    listed = 0
    async for file_name, rows in _pages(database, told):
        page = encode_rejects(file_name, rows)
        if file.tell() + len(page) > MOST_REJECTS_BYTES:
            break
        file.write(page)
        listed += len(rows)
    return file.getvalue(), listed


async def _pages(database: Database, told: Told) -> AsyncIterator[tuple[str, Sequence[Row]]]:
    """The stored rejects of a run, file by file in load order, some rows at a time."""
    if not told.report["entities"]:
        return
    for entity in contract_of(told.report["schema_version"]).entities:
        keys = {"load_id": told.arrival.load_id, "run": told.run, "entity": entity.name}
        row_no = 0
        while rows := await database.fetch_all(
            SQL["rejects_after"], {**keys, "row_no": row_no, "most": ROWS_A_PAGE}
        ):
            yield entity.file_name, rows
            row_no = rows[-1]["row_no"]


def _told(row: Row) -> Told:
    arrival = arrival_of(row["bucket"], row["object"], row["generation"])
    assert arrival is not None, "only a manifest in a drop's folder begins a run"
    return Told(
        run=row["run"],
        arrival=arrival,
        begun_run=row["begun_run"],
        told_again=bool(row["told_again"]),
        report=json.loads(row["report"]),
    )


def _of_same_folder(told: Sequence[Told], run: int) -> list[Told]:
    """The runs of the folder that a run was begun from; none if its manifest was judged anew."""
    folders = {one.run: (one.arrival.bucket, one.arrival.prefix) for one in told}
    return [one for one in told if folders[one.run] == folders.get(run)]
