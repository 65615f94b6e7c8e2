"""What a server or its operator has set for everyone does not reach the project's sessions."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit, urlunsplit

import pytest
from pymysql.cursors import DictCursor

from crossdock.pipeline import Ending
from shared.ledger.delivery import Verdict
from shared.ledger.lease import Claim, _Heart, kept_alive
from shared.ledger.mysql import Ledger
from shared.ledger.states import State
from shared.mysql.connect import Database, connect
from shared.stage import Parts
from tests.drops import ROWS, Drop
from tests.faults.one_process import LameStorage
from tests.integration.test_ledger import claimed, event, new_load
from tests.loads import report, run

LEASE_SECONDS = 2.0
SQL_MODE = (
    "ONLY_FULL_GROUP_BY,STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION"
)


@asynccontextmanager
async def server_defaults(database: Database, **values: object) -> AsyncIterator[None]:
    """Until leaving, every new session begins with these."""
    before = {name: await database.fetch_value(f"SELECT @@GLOBAL.{name}") for name in values}
    try:
        for name, value in values.items():
            await database.execute(f"SET GLOBAL {name} = %(value)s", {"value": value})
        yield
    finally:
        for name, value in before.items():
            await database.execute(f"SET GLOBAL {name} = %(value)s", {"value": value})


@pytest.mark.parametrize("zone", ["-05:00", "+05:30"])
async def test_a_heartbeat_counts_a_lease_as_long_as_the_claim_did_wherever_the_server_stands(
    ledger: Ledger, database: Database, zone: str
) -> None:
    lease = "SELECT lease_until FROM load_ledger"
    seconds_left = "SELECT TIMESTAMPDIFF(MICROSECOND, NOW(6), lease_until) / 1e6 FROM load_ledger"
    await new_load(database, State.VALIDATED)
    async with server_defaults(database, time_zone=zone):
        claim = await claimed(ledger, event("stager"))
        granted = await database.fetch_value(lease)
        alive = kept_alive(claim, ledger.url, lease_seconds=LEASE_SECONDS, heartbeat_seconds=0.05)
        async with alive, asyncio.timeout(20):
            while await database.fetch_value(lease) == granted:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
            assert await ledger.claim(event("stager"), None) is Verdict.BUSY
            assert 0 < await database.fetch_value(seconds_left) <= LEASE_SECONDS


@dataclass(frozen=True, slots=True)
class Variable:
    """One that a server may have set oddly for everyone, and what a session of ours has."""

    odd: object
    ours: object


VARIABLES = {
    "sql_mode": Variable("ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES", SQL_MODE),
    "time_zone": Variable("-05:00", "+00:00"),
    "transaction_isolation": Variable("SERIALIZABLE", "READ-COMMITTED"),
    "transaction_read_only": Variable(1, 0),
    "completion_type": Variable("CHAIN", "NO_CHAIN"),
    "default_storage_engine": Variable("MyISAM", "InnoDB"),
    "foreign_key_checks": Variable(0, 1),
    "unique_checks": Variable(0, 1),
    "sql_notes": Variable(0, 1),
    "sql_safe_updates": Variable(1, 0),
    "sql_big_selects": Variable(0, 1),
    "max_join_size": Variable(1, 1),
    "sql_select_limit": Variable(1, 2**64 - 1),
    "group_concat_max_len": Variable(4, 65536),
    "max_execution_time": Variable(1, 0),
    "innodb_lock_wait_timeout": Variable(1, 20),
    "lock_wait_timeout": Variable(1, 60),
    "net_read_timeout": Variable(1, 120),
    "wait_timeout": Variable(1, 120),
}
OURS = {name: variable.ours for name, variable in VARIABLES.items()}
READ_THEM = "SELECT " + ", ".join(f"@@SESSION.{name} AS {name}" for name in VARIABLES)


@pytest.fixture
async def odd_server(database: Database) -> AsyncIterator[None]:
    odd = {name: variable.odd for name, variable in VARIABLES.items()}
    async with server_defaults(database, **odd):
        yield


@pytest.mark.usefixtures("odd_server")
async def test_a_session_begins_as_the_project_wants_it(database_url: str) -> None:
    async with connect(database_url) as own:
        assert await own.fetch_one(READ_THEM) == OURS


@pytest.mark.usefixtures("odd_server")
def test_a_heartbeats_session_does_too(database_url: str) -> None:
    nobodys = cast("Claim", None)
    heart = _Heart(nobodys, database_url, 2, 1, threading.Event())
    with heart._connect() as connection, connection.cursor(DictCursor) as cursor:
        cursor.execute(READ_THEM)
        assert cursor.fetchone() == OURS


@pytest.mark.usefixtures("odd_server")
async def test_a_load_goes_through_a_server_with_odd_defaults(
    parts: Parts, database: Database, bucket_dir: Path
) -> None:
    copies = [{"source_customer_id": "copied"}] * 5
    drop = Drop.of({**ROWS, "customers": [*ROWS["customers"], *copies]})
    drop.write(bucket_dir)
    storage = LameStorage(bucket_dir, parts.storage.bucket)
    storage.held_seconds = {"vehicles.csv": 1.5}  # longer than this server waits for a file
    followed = await run(replace(parts, storage=storage), drop)
    assert followed.ending is Ending.REPORTED
    assert (await report(database))["reconciled"] is True
    rejects = await database.fetch_all("SELECT message FROM load_reject ORDER BY row_no")
    assert "5, 6, 7, 8" in rejects[0]["message"]


async def test_an_account_that_may_do_no_more_than_its_work_can_make_these_settings(
    database: Database, database_url: str
) -> None:
    parts = urlsplit(database_url)
    account = f"plain_{parts.path[-8:]}"
    await database.execute(f"CREATE USER {account} IDENTIFIED BY 'plain'")
    try:
        await database.execute(f"GRANT SELECT ON {parts.path[1:]}.* TO {account}")
        netloc = f"{account}:plain@{parts.hostname}:{parts.port}"
        async with connect(urlunsplit(parts._replace(netloc=netloc))) as own:
            assert await own.fetch_value("SELECT @@time_zone") == "+00:00"
    finally:
        await database.execute(f"DROP USER {account}")
