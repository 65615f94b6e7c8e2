"""A migrated database for each test, on the session's server."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crossdock.stack import mysql_server
from shared.bus.memory import MemoryBus
from shared.ledger.mysql import Ledger
from shared.mysql.connect import Database, connect
from shared.mysql.migrate import migrate
from shared.partners import Partners
from shared.settings import Settings
from shared.stage import Parts
from shared.storage.directory import DirectoryStorage


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


@pytest.fixture
def bus() -> MemoryBus:
    """The in-process bus."""
    return MemoryBus(max_attempts=3, backoff_seconds=0.01)


@pytest.fixture
def bucket_dir(tmp_path: Path) -> Path:
    """The folder that stands for the bucket `drops`."""
    folder = tmp_path / "bucket"
    folder.mkdir()
    return folder


@pytest.fixture
def parts(settings: Settings, ledger: Ledger, bus: MemoryBus, bucket_dir: Path) -> Parts:
    """The parts of a stage, all real: MySQL, a folder as the bucket, the in-process bus."""
    storage = DirectoryStorage(bucket_dir, settings.bucket)
    return Parts(settings, storage, bus, ledger, Partners())
