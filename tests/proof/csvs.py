"""The CSV reader against MySQL and against a second reading of the rule, on seeded files.

Each case is a file of three columns, in any spelling of any text or damaged, in chunks of any size.
What the reader takes goes through the stager's own stream into a staging table, and what landed
there must be, byte for byte, what the reader and an independent reader see in the file. What it
refuses the independent reader must refuse too, with the same code and row; of some of these it is
seen that not one row lands.
"""

import asyncio
import csv
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from random import Random
from uuid import uuid4

from crossdock.stack import mysql_server
from services.stager.stage import _render
from services.stager.stream import CanonicalStream, PinnedFile
from shared.contracts.model import Contract
from shared.contracts.tables import table_statements
from shared.csv_records import fields_of
from shared.errors import Rejected
from shared.identity import hashes_of, key_prefix
from shared.mysql.connect import Database, connect
from tests.proof import mutations
from tests.proof.tally import Tally
from tests.property.test_csv_records import HEADER, LARGE_PIECES, PIECES, STARTS, reference, verdict

TOTAL = 50_000
FILES_A_CONNECTION = 500
SENT_THOUGH_REFUSED = 25  # every so many-th of the files that the reader refuses
CONTRACT = Contract.parse(
    """
    schema_version = "proof"
    [entity.notes]
    key = "id"
    id = "note_id"
    [entity.notes.columns]
    id = "text(64)!"
    name = "text(64)"
    note = "text(64)"
    """
)
NOTES = CONTRACT.entity("notes")
PREFIX = key_prefix(NOTES.name, "acme")
LOAD = _render("load_file", NOTES)
LANDED = (
    "SELECT row_no, hashed_id, CAST(id AS BINARY) AS id, CAST(name AS BINARY) AS name, "
    "CAST(note AS BINARY) AS note FROM staging_notes "
    "WHERE load_id = %(load_id)s AND run = %(run)s ORDER BY row_no"
)
WORDS = (
    "NULL",
    "\\N",
    "",
    "a",
    'say "x"',
    "1,2",
    "x\ny",
    "\r\n",
    "\r",
    "\\",
    '\\"',
    " ",
    "\t",
    "#",
)
SCRIPTS = (
    "abc XYZ019",
    "éßÿ\x85\xa0",
    "😀🚗\U0010ffff",
    "\u2028\ufeff\u0301",
    '",\n\r\\',
    "\x01\x7f",
)

Rows = list[tuple[bytes, ...]]


# --- files ----------------------------------------------------------------------------------------


def file_of(seed: int, number: int) -> list[bytes]:
    """The file of that number as chunks, the same for the same seed."""
    dice = Random(f"{seed}/csvs/{number}")
    kind = dice.random()
    if kind < 0.25:
        data = dice.choice(STARTS) + b"".join(mutations.picked(dice, PIECES, 12))
    elif kind < 0.255:
        data = dice.choice(STARTS) + b"".join(mutations.picked(dice, LARGE_PIECES, 8))
    else:
        data = spelled(dice)
    if kind > 0.65:
        changes = mutations.OF_CSV if dice.random() < 0.3 else mutations.OF_BYTES
        for change in mutations.picked(dice, changes, 3):
            data = change(dice, data)
    places = sorted(dice.randint(0, len(data)) for _ in range(dice.randrange(4)))
    return [data[start:end] for start, end in pairwise([0, *places, len(data)])]


def spelled(dice: Random) -> bytes:
    """Rows of any texts, in any spelling that the dialect allows."""
    ending = dice.choice(["\n", "\r\n"])
    rows = [[text(dice) for _ in HEADER] for _ in range(dice.randrange(8))]
    lines = [",".join(field(dice, it) for it in fields) for fields in (list(HEADER), *rows)]
    return (ending.join(lines) + dice.choice(["", ending])).encode()


def text(dice: Random) -> str:
    if dice.random() < 0.4:
        return dice.choice(WORDS)
    return "".join(dice.choice(dice.choice(SCRIPTS)) for _ in range(dice.randrange(12)))


def field(dice: Random, content: str) -> str:
    is_plain = not any(it in '",' or it < " " or it == "\x7f" for it in content)
    if is_plain and dice.random() < 0.6:
        return content
    return '"' + content.replace('"', '""') + '"'


# --- readings -------------------------------------------------------------------------------------


def by_python(data: bytes) -> Rows:
    """The rows of a good file by the csv module."""
    rows = csv.reader(io.StringIO(data.decode(), newline=""), strict=True)
    return [tuple(it.encode() for it in fields) for fields in rows][1:]


async def landed(database: Database, run: int, chunks: list[bytes], rows: int) -> Rows:
    """What MySQL has of a file that the stager's stream brought."""
    data = b"".join(chunks)
    sha256 = hashlib.sha256(data).hexdigest()
    stream = CanonicalStream(
        NOTES, PinnedFile("notes", "customers.csv", 1, len(data), rows, sha256), "acme"
    )
    keys = {"load_id": "proof", "run": run}
    loaded = await database.connection.load_stream(LOAD, keys, stream.lines(as_stream(chunks)))
    stream.verify()
    assert (loaded.records, loaded.skipped, loaded.warnings) == (rows, 0, 0)
    found = await database.fetch_all(LANDED, keys)
    assert [row["row_no"] for row in found] == list(range(1, rows + 1))
    hashes = [row["hashed_id"] for row in found]
    assert hashes == hashes_of(PREFIX, [row["id"] for row in found])
    return [tuple(row[name] for name in HEADER) for row in found]


async def as_stream(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def difference_of_good(
    database: Database, run: int, chunks: list[bytes], records: list[bytes]
) -> str | None:
    """Where our rows, Python's and MySQL's differ; None where they do not."""
    ours = [tuple(it.encode() for it in fields_of(record)) for record in records]
    in_mysql = await landed(database, run, chunks, len(records))
    if in_mysql != ours:
        return f"landed {in_mysql!r:.300}, read {ours!r:.300}"
    python = by_python(b"".join(chunks))
    return None if python == ours else f"Python {python!r:.300}, read {ours!r:.300}"


async def difference_of_refused(url: str, run: int, chunks: list[bytes]) -> str | None:
    """What lands of a refused file that is sent all the same: it must be nothing."""
    keys = {"load_id": "proof", "run": run}
    async with connect(url, local_infile=True) as database:
        try:
            await landed(database, run, chunks, 0)
        except Rejected:
            pass
        else:
            return "the stager's stream took a file that the reader refused"
    async with connect(url) as database:
        found = await database.fetch_all(LANDED, keys)
    return f"{len(found)} rows landed of a refused file" if found else None


# --- all of them ----------------------------------------------------------------------------------


def compare(server_url: str, seed: int, numbers: range) -> Tally:
    """Read the files of these numbers in three ways, on a database of their own."""
    return asyncio.run(_compare(server_url, seed, numbers))


async def _compare(server_url: str, seed: int, numbers: range) -> Tally:
    tally = Tally()
    async with staging(server_url) as url:
        for start in range(0, len(numbers), FILES_A_CONNECTION):
            async with connect(url, local_infile=True) as database, database.transaction():
                for number in numbers[start : start + FILES_A_CONNECTION]:
                    outcome, differs = await judge(database, url, seed, number)
                    where = f"seed {seed}, file {number}: "
                    tally.add(outcome, None if differs is None else where + differs)
                await database.roll_back()
    return tally


async def judge(database: Database, url: str, seed: int, number: int) -> tuple[str, str | None]:
    """The reader's verdict on one file, and where another reading differs."""
    chunks = file_of(seed, number)
    found, _ = verdict(chunks)
    second = reference(b"".join(chunks))
    if found != second:
        return "differs", f"read {found!r:.300}, the second reading says {second!r:.300}"
    if isinstance(found, list):
        return "taken", await difference_of_good(database, number, chunks, found)
    if number % SENT_THOUGH_REFUSED:
        return found[0], None
    return found[0], await difference_of_refused(url, number, chunks)


@asynccontextmanager
async def staging(server_url: str) -> AsyncIterator[str]:
    """A database with the staging table of `notes`; it goes when this is left."""
    name = f"proof_{uuid4().hex[:12]}"
    url = mysql_server.create_database(server_url, name)
    try:
        async with connect(url) as database:
            await database.execute(table_statements(CONTRACT)["staging_notes"])
        yield url
    finally:
        mysql_server.drop_database(server_url, name)
