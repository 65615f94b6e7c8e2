"""A MySQL server that asks for a file of its client's gets nothing, whoever the client is."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import pymysql
import pytest
from typer.testing import CliRunner

from crossdock.cli import environment
from crossdock.cli.app import app
from crossdock.pipeline import Ending
from crossdock.stack import mysql_server
from services.stager.stage import SQL
from shared.errors import TransientFault
from shared.ledger.lease import Claim, _Heart
from shared.ledger.mysql import Ledger
from shared.mysql.connect import Database, MySQLAddress, connect
from shared.stage import Parts
from tests.drops import Drop
from tests.loads import run
from tests.rogue_mysql import WANTED, RogueProxy, RogueServer, rogue_server

PATIENCE_SECONDS = 200
REFUSED = "asked for a file that was not offered"
# Statements that other connections of a load ask, each at its own time.
BESIDE_A_LOAD = ("shared.ledger.ledger.renew_lease", "services.stager.load.load_file")
NOBODYS = cast("Claim", None)

cli = CliRunner()


@pytest.fixture
def rogue() -> Iterator[RogueServer]:
    with rogue_server() as server:
        yield server


async def rows() -> AsyncIterator[bytes]:
    yield b"1,a\n"


@pytest.mark.parametrize("patience", [0, 1, 3])
@pytest.mark.parametrize("local_infile", [False, True])
async def test_no_statement_is_answered_with_a_file(
    rogue: RogueServer, patience: int, local_infile: bool
) -> None:
    rogue.patience = patience
    with pytest.raises(TransientFault, match=REFUSED):
        async with connect(rogue.url, local_infile=local_infile) as database:
            while True:
                await database.execute("DO 0")
    assert await asyncio.to_thread(rogue.answers) == [b""]
    assert rogue.offered_files == {local_infile}


@pytest.mark.parametrize("wanted", [WANTED, b"", b"\xff", b"../etc/passwd", b"stream", b"0" * 32])
async def test_while_a_stream_is_offered_any_other_name_gets_nothing(
    rogue: RogueServer, wanted: bytes
) -> None:
    rogue.patience, rogue.wanted = 1, wanted
    with pytest.raises(TransientFault, match=REFUSED):
        async with connect(rogue.url, local_infile=True) as database:
            statement = "LOAD DATA LOCAL INFILE %(stream)s INTO TABLE t"
            await database.connection.load_stream(statement, {}, rows())
    assert await asyncio.to_thread(rogue.answers) == [b""]


async def test_a_stream_is_sent_once_and_not_again_for_a_later_statement(
    database: Database, database_url: str
) -> None:
    await database.execute("CREATE TABLE taken (row_no INT, text VARCHAR(10))")
    statement = "LOAD DATA LOCAL INFILE %(stream)s INTO TABLE taken FIELDS TERMINATED BY ','"
    async with connect(database_url, local_infile=True) as stager:
        loaded = await stager.connection.load_stream(statement, {}, rows())
        assert loaded.affected == 1
        assert await stager.fetch_value("SELECT 1") == 1
        with pytest.raises(pymysql.err.OperationalError, match=REFUSED):
            await stager.execute(statement, {"stream": "any"})
    assert await database.fetch_value("SELECT COUNT(*) FROM taken") == 1


async def test_on_any_other_connection_than_the_stagers_the_real_server_refuses_it_too(
    database_url: str,
) -> None:
    async with connect(database_url) as other:
        with pytest.raises(pymysql.err.MySQLError):
            await other.execute("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE source_gate")


# The driver behind these takes whatever answers its own first statement, SET NAMES.
def test_a_heartbeat_sends_nothing(rogue: RogueServer) -> None:
    rogue.patience = 1
    heart = _Heart(NOBODYS, rogue.url, 2, 1, threading.Event())
    with pytest.raises(pymysql.err.OperationalError, match=REFUSED):
        heart._connect()
    assert (rogue.answers(), rogue.offered_files) == ([b""], {False})


def test_nor_does_what_looks_for_the_local_server(rogue: RogueServer) -> None:
    rogue.patience = 1
    assert not mysql_server.accepts_connections(rogue.url)
    assert (rogue.answers(), rogue.offered_files) == ([b""], {False})


COMMANDS = [
    ["migrate"],
    ["status"],
    ["status", "L"],
    ["report", "L"],
    ["replay", "L", "--from", "stager"],
    ["sweep"],
    ["dead-letter", "list"],
    ["dead-letter", "redrive", "--all"],
    ["doctor"],
    ["run"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("patience", [0, 1])
def test_no_command_sends_a_file(
    rogue: RogueServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    patience: int,
) -> None:
    rogue.patience = patience
    monkeypatch.setattr(environment, "STATE_DIR", tmp_path / "no-stack")
    for name, value in {
        "CROSSDOCK_MYSQL_URL": rogue.url,
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    more = [str(Drop().write(tmp_path))] if words == ["run"] else []
    result = cli.invoke(app, [*words, *more])
    assert result.exit_code == 5, result.output
    assert "root:" not in result.output
    assert set(rogue.answers()) == {b""}
    assert rogue.offered_files == {False}


@pytest.mark.timeout(240)
async def test_a_load_whose_every_statement_is_answered_so_sends_nothing_but_its_own_files(
    parts: Parts, bucket_dir: Path
) -> None:
    """Each statement once, by whichever connection; then the load goes its way."""
    address = MySQLAddress.parse(parts.settings.mysql_url)
    proxy = RogueProxy(address.host, address.port)
    port = await proxy.start()
    url = parts.settings.mysql_url.replace(f":{address.port}/", f":{port}/")
    hasty = parts.settings.model_copy(
        update={
            "mysql_url": url,
            "heartbeat_seconds": 0.02,
            "attempts_before_attention": 10_000,
            "retry_base_seconds": 0.001,
            "retry_longest_seconds": 0.001,
            "sweep_seconds": 0.001,
        }
    )
    drop = Drop()
    drop.write(bucket_dir)
    ending = None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while ending is not Ending.REPORTED:
                with suppress(TransientFault):
                    own = replace(parts, settings=hasty, ledger=Ledger(hasty))
                    ending = (await run(own, drop)).ending
    finally:
        await proxy.close()
    assert set(proxy.sent) == {b""}
    assert len(proxy.sent) == len(proxy.asked)
    assert set(BESIDE_A_LOAD) < set(proxy.asked)
    assert len(proxy.asked) > len(SQL)


def test_what_the_driver_itself_would_have_sent(rogue: RogueServer, tmp_path: Path) -> None:
    """The server is a rogue indeed: a client that takes its word gives the file away."""
    secret = tmp_path / "secret"
    secret.write_text("hidden-value")
    rogue.patience, rogue.wanted = 1, str(secret).encode()
    arguments = MySQLAddress.parse(rogue.url).arguments() | {"read_timeout": 1, "autocommit": True}
    with closing(pymysql.Connection(**arguments, local_infile=True)) as naive:
        cursor = naive.cursor()
        with suppress(pymysql.err.OperationalError):
            cursor.execute("SELECT 1")
    assert b"hidden-value" in rogue.answers()[0]
