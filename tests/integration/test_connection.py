"""What a connection promises, on the real MySQL."""

import asyncio
import queue
import socket
import socketserver
import struct
import threading
import warnings
from collections.abc import Iterator
from typing import cast

import pymysql
import pytest
from pymysql.constants import CLIENT

from shared.errors import TransientFault
from shared.ledger.lease import Claim, _Heart
from shared.mysql.connect import Database, MySQLAddress, connect
from shared.mysql.tls import BlockingConnection


async def test_every_session_is_strict_and_says_its_settings(database: Database) -> None:
    row = await database.fetch_one(
        "SELECT @@sql_mode AS modes, @@transaction_isolation AS isolation, @@time_zone AS zone, "
        "@@autocommit AS autocommit, @@wait_timeout AS silence"
    )
    assert row is not None
    assert {"STRICT_ALL_TABLES", "ONLY_FULL_GROUP_BY"} <= set(row["modes"].split(","))
    assert (row["isolation"], row["zone"], row["autocommit"]) == ("READ-COMMITTED", "+00:00", 1)
    assert row["silence"] == 120


async def test_a_client_that_falls_silent_in_a_transaction_loses_its_locks(
    database: Database, database_url: str
) -> None:
    lock = "SELECT * FROM source_gate WHERE source_system = 'acme' FOR UPDATE"
    await database.execute("INSERT INTO source_gate (source_system) VALUES ('acme')")
    async with connect(database_url, silence_seconds=1) as silent:
        await silent.connection.begin()
        await silent.execute(lock)
        async with asyncio.timeout(10), database.transaction():
            assert await database.execute(lock) == 1


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("INSERT INTO source_gate (source_system) VALUES ('secret'), ('secret')", 1062),
        ("INSERT INTO source_gate (source_system, epoch) VALUES ('a', 'it''s a secret')", 1366),
    ],
)
async def test_an_error_does_not_repeat_a_rows_values(
    database: Database, statement: str, number: int
) -> None:
    with pytest.raises(pymysql.err.MySQLError) as caught:
        await database.execute(statement)
    assert caught.value.args[0] == number
    assert "secret" not in str(caught.value)


async def test_a_warning_does_not_print_a_rows_values(database: Database) -> None:
    with warnings.catch_warnings(record=True) as seen:
        await database.execute(
            "INSERT IGNORE INTO source_gate (source_system, epoch) VALUES ('a', 'secret')"
        )
    assert seen == []


async def test_a_broken_transaction_leaves_nothing_and_goes_on_with_nothing(
    database: Database,
) -> None:
    with pytest.raises(KeyError):
        async with database.transaction():
            await database.execute("INSERT INTO source_gate (source_system) VALUES ('a')")
            raise KeyError
    assert await database.fetch_value("SELECT COUNT(*) FROM source_gate") == 0


async def test_a_database_that_is_away_is_a_fault_that_may_pass() -> None:
    with pytest.raises(TransientFault, match=r"127\.0\.0\.1:1"):
        async with connect("mysql://user:password@127.0.0.1:1/nowhere"):
            pass


async def test_a_database_that_takes_connections_and_says_nothing_is_one_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.mysql.connect.CONNECT_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(TransientFault, match=r"no login within 0\.2 s"):
            async with asyncio.timeout(10), connect(f"mysql://user@127.0.0.1:{port}/nothing"):
                pass


async def test_tls_that_was_asked_for_is_not_done_without(database_url: str) -> None:
    with pytest.raises((TransientFault, pymysql.err.MySQLError)):
        async with connect(database_url + "?ssl=required"):
            pass


@pytest.fixture
def stripped_server() -> Iterator[tuple[str, "queue.Queue[bytes]"]]:
    """A MySQL whose greeting was robbed of its offer of TLS: its URL, and what clients told it."""
    offers = CLIENT.CAPABILITIES & ~CLIENT.SSL
    greeting = struct.pack(
        "<B6sI8sxHBHHB10x12sx22s", 10, b"9.7.4", 7, b"saltsalt", offers & 0xFFFF, 255, 2,
        offers >> 16, 21, b"saltsaltsalt", b"caching_sha2_password",
    )  # fmt: skip
    told: queue.Queue[bytes] = queue.Queue()

    class Greeter(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(struct.pack("<I", len(greeting)) + greeting)
            told.put(self.request.recv(4096))

    with socketserver.TCPServer(("127.0.0.1", 0), Greeter) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"mysql://user:password@127.0.0.1:{server.server_address[1]}/db", told
        server.shutdown()
        thread.join()


async def test_who_strips_tls_from_a_greeting_is_told_nothing(
    stripped_server: tuple[str, "queue.Queue[bytes]"],
) -> None:
    url, told = stripped_server
    with pytest.raises(TransientFault, match="the server offers none"):
        async with connect(url + "?ssl=required"):
            pass
    assert await asyncio.to_thread(told.get, timeout=10) == b""


def test_he_is_told_nothing_by_a_heartbeat_either(
    stripped_server: tuple[str, "queue.Queue[bytes]"],
) -> None:
    url, told = stripped_server
    nobodys = cast("Claim", None)
    heart = _Heart(nobodys, url + "?ssl=required", 2, 1, threading.Event())
    with pytest.raises(pymysql.err.OperationalError, match="the server offers none"):
        heart._connect()
    assert told.get(timeout=10) == b""


def test_without_ssl_required_the_same_server_gets_a_login(
    stripped_server: tuple[str, "queue.Queue[bytes]"],
) -> None:
    url, told = stripped_server
    with pytest.raises(pymysql.err.OperationalError, match="Lost connection"):
        BlockingConnection(**MySQLAddress.parse(url).arguments())
    assert b"caching_sha2_password" in told.get(timeout=10)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://user:secret@host/db",
        "mysql://host/db",
        "mysql://user:secret@host",
        "mysql://user:secret@host/db?ssl=maybe",
        "mysql://user:secret@host/db?compress=1",
    ],
)
def test_a_url_that_is_wrong_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        MySQLAddress.parse(url)
    assert "secret" not in str(caught.value)
