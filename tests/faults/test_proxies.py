"""The proxies themselves: they must strike what they are told to, and nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import aiomysql
import httpx
import pymysql
import pytest

from crossdock.stack import mysql_server
from shared.errors import TransientFault
from shared.mysql.connect import Database, connect
from shared.mysql.queries import load_queries
from tests.conftest import BUCKET
from tests.faults.gcs_proxy import GcsProxy, ReadFault, ReadFaultKind, read_name
from tests.faults.mysql_proxy import (
    MySQLProxy,
    StatementFault,
    StatementFaultKind,
    statement_name,
)
from tests.faults.statements_matrix import NOT_ON_A_LOADS_WAY, STATEMENTS_MATRIX, statements

STALL_SECONDS = 0.5
NAMED = "INSERT /* tests.add */ INTO kept (value) VALUES (%(value)s)"


@dataclass
class Bench:
    """A table, and the way to it through the proxy; `database` looks past it."""

    proxy: MySQLProxy
    url: str
    database: Database

    async def kept(self) -> list[int]:
        rows = await self.database.fetch_all("SELECT value FROM kept ORDER BY value")
        return [row["value"] for row in rows]


@pytest.fixture
async def bench(mysql_server_url: str) -> AsyncIterator[Bench]:
    name = f"test_{uuid4().hex[:12]}"
    database_url = mysql_server.create_database(mysql_server_url, name)
    parts = urlsplit(database_url)
    assert parts.hostname
    assert parts.port
    proxy = MySQLProxy(parts.hostname, parts.port, database_url, stall_seconds=STALL_SECONDS)
    account = parts.netloc.rpartition("@")[0]
    url = urlunsplit(parts._replace(netloc=f"{account}@127.0.0.1:{await proxy.start()}"))
    async with connect(database_url, program_name="test") as database:
        await database.execute("CREATE TABLE kept (value BIGINT PRIMARY KEY)")
        yield Bench(proxy, url, database)
    await proxy.close()
    mysql_server.drop_database(mysql_server_url, name)


async def add_two(bench: Bench) -> None:
    """One transaction of two rows; a fault at its second statement has a first to undo."""
    async with connect(bench.url) as database, database.transaction():
        await database.execute("INSERT INTO kept (value) VALUES (1)")
        await database.execute(NAMED, {"value": 2})


def strike(bench: Bench, kind: StatementFaultKind, name: str = "tests.add") -> None:
    bench.proxy.arm(StatementFault(name, kind))


def number_of(fault: pytest.ExceptionInfo[TransientFault]) -> int:
    cause = fault.value.__cause__
    assert isinstance(cause, pymysql.err.OperationalError)
    return int(cause.args[0])


async def test_what_is_not_struck_passes_and_is_counted_by_name(bench: Bench) -> None:
    bench.proxy.arm(StatementFault("tests.add", StatementFaultKind.CUT_BEFORE, occurrence=2))
    await add_two(bench)
    assert await bench.kept() == [1, 2]
    assert not bench.proxy.struck
    seen = bench.proxy.seen
    assert (seen["tests.add"], seen["INSERT INTO"], seen["BEGIN"], seen["COMMIT"]) == (1, 1, 1, 1)


@pytest.mark.parametrize("kind", [StatementFaultKind.CUT_BEFORE, StatementFaultKind.CUT_AFTER])
async def test_a_cut_inside_a_transaction_undoes_it(bench: Bench, kind: StatementFaultKind) -> None:
    strike(bench, kind)
    with pytest.raises(TransientFault):
        await add_two(bench)
    assert bench.proxy.struck
    await assert_undone(bench)


async def assert_undone(bench: Bench) -> None:
    """The server rolls back once it sees that the client has gone; then the keys are free."""
    async with asyncio.timeout(5):
        await bench.database.execute("INSERT INTO kept (value) VALUES (1), (2)")


async def test_a_commit_cut_before_it_is_sent_never_was(bench: Bench) -> None:
    strike(bench, StatementFaultKind.CUT_BEFORE, "COMMIT")
    with pytest.raises(TransientFault):
        await add_two(bench)
    await assert_undone(bench)


async def test_a_commit_cut_after_it_ran_stands(bench: Bench) -> None:
    strike(bench, StatementFaultKind.CUT_AFTER, "COMMIT")
    with pytest.raises(TransientFault):
        await add_two(bench)
    assert await bench.kept() == [1, 2]


async def test_an_answer_that_stalls_comes_late_and_whole(bench: Bench) -> None:
    strike(bench, StatementFaultKind.STALL)
    began = time.monotonic()
    await add_two(bench)
    assert time.monotonic() - began >= STALL_SECONDS
    assert await bench.kept() == [1, 2]


async def test_a_lock_timeout_leaves_the_earlier_statements_in_the_transaction(
    bench: Bench,
) -> None:
    strike(bench, StatementFaultKind.LOCK_TIMEOUT)
    async with connect(bench.url) as database:
        await database.connection.begin()
        await database.execute("INSERT INTO kept (value) VALUES (1)")
        with pytest.raises(pymysql.err.OperationalError) as fault:
            await database.execute(NAMED, {"value": 2})
        await database.connection.commit()
    assert fault.value.args[0] == 1205
    assert await bench.kept() == [1]


async def test_a_deadlock_takes_the_whole_transaction(bench: Bench) -> None:
    strike(bench, StatementFaultKind.DEADLOCK)
    async with connect(bench.url) as database:
        await database.connection.begin()
        await database.execute("INSERT INTO kept (value) VALUES (1)")
        with pytest.raises(pymysql.err.OperationalError) as fault:
            await database.execute(NAMED, {"value": 2})
        await database.connection.commit()
    assert fault.value.args[0] == 1213
    assert await bench.kept() == []


async def test_a_kill_ends_a_statement_on_its_way_and_its_connection(bench: Bench) -> None:
    strike(bench, StatementFaultKind.KILL, "SELECT SLEEP")
    began = time.monotonic()
    with pytest.raises(TransientFault) as fault:
        async with connect(bench.url) as database:
            await database.fetch_value("SELECT SLEEP(20)")
            await database.fetch_value("SELECT 1")
    assert time.monotonic() - began < 10
    assert number_of(fault) in {2013, 1317, 1053}
    assert bench.proxy.struck


async def test_a_kill_needs_an_account_that_may() -> None:
    proxy = MySQLProxy("127.0.0.1", 1)
    with pytest.raises(ValueError, match="administrator"):
        proxy.arm(StatementFault("COMMIT", StatementFaultKind.KILL))


async def stream(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def load(database: Database) -> int:
    statement = "LOAD /* tests.load */ DATA LOCAL INFILE %(stream)s INTO TABLE kept"
    rows = [b"%d\n" % number for number in range(20_000)]
    loaded = await database.connection.load_stream(statement, {}, stream(rows))
    return loaded.records


@pytest.mark.parametrize(
    ("kind", "loaded"),
    [(None, 20_000), (StatementFaultKind.CUT_AFTER, 20_000), (StatementFaultKind.CUT_BEFORE, 0)],
)
async def test_a_stream_of_rows_passes_and_can_be_cut(
    bench: Bench, kind: StatementFaultKind | None, loaded: int
) -> None:
    if kind is not None:
        strike(bench, kind, "tests.load")
    async with connect(bench.url, local_infile=True) as database:
        if kind is None:
            assert await load(database) == loaded
        else:
            with pytest.raises(pymysql.err.OperationalError):
                await load(database)
    assert len(await bench.kept()) == loaded


async def test_answers_of_any_size_pass_whole(bench: Bench) -> None:
    async with connect(bench.url) as database:
        rows = await database.fetch_all(
            "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) "
            "SELECT i, REPEAT('x', 2000) AS text FROM n"
        )
        empty = await database.fetch_all("SELECT value FROM kept")
        large = await database.fetch_value("SELECT REPEAT('x', 17000000)")
        with pytest.raises(aiomysql.ProgrammingError):
            await database.fetch_all("SELECT * FROM nowhere")
        await database.execute("CREATE PROCEDURE told() SELECT 3")
        told = await database.fetch_value("CALL told()")
        still = await database.fetch_value("SELECT 7")
    assert [row["i"] for row in rows] == list(range(1, 901))
    assert (list(empty), len(large), told, still) == ([], 17_000_000, 3, 7)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b"SELECT /* shared.sweep.loads_at_rest */ l.*", "shared.sweep.loads_at_rest"),
        (b"COMMIT", "COMMIT"),
        (b"SET NAMES utf8mb4", "SET NAMES"),
        (b"SELECT NOW(6)", "SELECT NOW"),
        (b"SELECT @@warning_count", "SELECT @@WARNING_COUNT"),
        (b"KILL CONNECTION 7", "KILL CONNECTION"),
    ],
)
def test_a_statement_is_known_by_its_name_or_its_first_words(text: bytes, name: str) -> None:
    assert statement_name(text) == name


def test_the_statements_of_the_matrix_are_those_of_the_sql_files() -> None:
    names = statements()
    assert len(names) == len(set(names))
    for package, file_name in (("shared.ledger", "ledger.sql"), ("services.upserter", "gate.sql")):
        room = f"{package}.{file_name.removesuffix('.sql')}"
        assert {f"{room}.{name}" for name in load_queries(package, file_name)} <= set(names)
    assert all(NOT_ON_A_LOADS_WAY.values()), "each with its reason"
    cases = [case.id for case in STATEMENTS_MATRIX.cases(1)]
    assert len(cases) == len(set(cases)) >= len(names) * len(StatementFaultKind)


@dataclass
class Reads:
    """The storage emulator behind the proxy, with one object in the bucket."""

    proxy: GcsProxy
    client: httpx.AsyncClient
    object_name: str

    async def media(self) -> httpx.Response:
        path = f"/download/storage/v1/b/{BUCKET}/o/{self.object_name}"
        return await self.client.get(path, params={"alt": "media"})

    async def generation(self) -> str:
        answer = await self.client.get(f"/storage/v1/b/{BUCKET}/o/{self.object_name}")
        return str(answer.json()["generation"])


@pytest.fixture
async def reads(storage_emulator: str) -> AsyncIterator[Reads]:
    host, _, port = urlsplit(storage_emulator).netloc.partition(":")
    proxy = GcsProxy(host, int(port))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{await proxy.start()}") as client:
        await client.post(
            f"/upload/storage/v1/b/{BUCKET}/o",
            params={"uploadType": "media", "name": "struck.csv"},
            content=b"a,b\n" * 1000,
        )
        yield Reads(proxy, client, "struck.csv")
    await proxy.close()


async def test_reads_pass_and_are_counted_by_what_they_ask_for(reads: Reads) -> None:
    assert (await reads.media()).content == b"a,b\n" * 1000
    await reads.generation()
    await reads.client.get(f"/storage/v1/b/{BUCKET}/o", params={"prefix": "struck"})
    assert reads.proxy.seen == {"media struck.csv": 1, "stat struck.csv": 1, "list struck": 1}
    assert not reads.proxy.struck


async def test_a_refusal_comes_as_often_as_it_was_asked_for(reads: Reads) -> None:
    fault = ReadFault("media struck.csv", ReadFaultKind.UNAVAILABLE, occurrence=2, times=2)
    reads.proxy.arm(fault)
    assert [(await reads.media()).status_code for _ in range(4)] == [200, 503, 503, 200]


@pytest.mark.parametrize("kind", [ReadFaultKind.SHORT, ReadFaultKind.RESET])
async def test_an_answer_breaks_off_half_way(reads: Reads, kind: ReadFaultKind) -> None:
    reads.proxy.arm(ReadFault("media struck.csv", kind))
    with pytest.raises(httpx.TransportError) as broken:
        await reads.media()
    assert isinstance(broken.value, httpx.ReadError) is (kind is ReadFaultKind.RESET)
    assert (await reads.media()).status_code == 200


@pytest.mark.parametrize(
    ("kind", "is_same"), [(ReadFaultKind.SAME_BYTES, True), (ReadFaultKind.OTHER_BYTES, False)]
)
async def test_an_object_is_replaced_just_before_it_is_read(
    reads: Reads, kind: ReadFaultKind, is_same: bool
) -> None:
    before, bytes_before = await reads.generation(), (await reads.media()).content
    reads.proxy.arm(ReadFault("media struck.csv", kind))
    assert ((await reads.media()).content == bytes_before) is is_same
    assert await reads.generation() != before
    assert reads.proxy.struck


@pytest.mark.parametrize(
    ("method", "target", "name"),
    [
        ("GET", "/storage/v1/b/drops/o?prefix=imports%2Fp%2F&alt=json", "list imports/p/"),
        ("GET", "/storage/v1/b/drops/o/imports%2Fp%2Fa.csv?generation=1", "stat imports/p/a.csv"),
        ("GET", "/download/storage/v1/b/drops/o/a%20b?alt=media", "media a b"),
        ("POST", "/upload/storage/v1/b/drops/o?name=a", None),
        ("GET", "/storage/v1/b/drops", None),
    ],
)
def test_a_read_is_known_by_its_address(method: str, target: str, name: str | None) -> None:
    assert read_name(method, target) == name
