"""A migrated database for each test, on the session's server."""

import uuid
from collections.abc import AsyncIterator

import pytest

from crossdock.stack import mysql_server
from shared.ledger.mysql import Ledger
from shared.mysql.connect import Database, connect
from shared.mysql.migrate import migrate
from shared.settings import Settings


@pytest.fixture
async def database_url(mysql_server_url: str) -> AsyncIterator[str]:
    """The URL of an empty, migrated database of the test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    url = mysql_server.create_database(mysql_server_url, name)
    await migrate(url)
    try:
        yield url
    finally:
        mysql_server.drop_database(mysql_server_url, name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A connection to the test's database, to look and to prepare."""
    async with connect(database_url, program_name="test") as opened:
        yield opened


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings as in production, only quicker."""
    return Settings(
        mysql_url=database_url,
        bucket="drops",
        lease_seconds=2,
        heartbeat_seconds=0.5,
        sweep_seconds=0.5,
        retry_base_seconds=0.1,
        missing_file_grace_seconds=0,
    )


@pytest.fixture
def ledger(settings: Settings) -> Ledger:
    """The ledger on the test's database."""
    return Ledger(settings)
