"""The whole local stack, as `crossdock up` starts it, with short leases."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from crossdock.stack import local
from crossdock.stack.errors import EmulatorMissingError, MySQLServerMissingError
from shared.mysql.connect import Database, connect
from shared.storage.gcs import GcsStorage
from tests.conftest import REPOSITORY, missing

SHORT = {
    "CROSSDOCK_LEASE_SECONDS": "2",
    "CROSSDOCK_HEARTBEAT_SECONDS": "0.5",
    "CROSSDOCK_SWEEP_SECONDS": "0.5",
    "CROSSDOCK_MISSING_FILE_GRACE_SECONDS": "5",
}


@pytest.fixture(scope="session")
def state_dir(stack_dir: Path) -> Iterator[Path]:
    """The state folder of the stack under test; nothing of it runs on afterwards."""
    folder = stack_dir / "end-to-end"
    before = {name: os.environ.get(name) for name in SHORT}
    os.environ.update(SHORT)
    try:
        yield folder
    finally:
        local.down(folder, purge=True)
        shutil.rmtree(folder, ignore_errors=True)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@pytest.fixture
def stack(state_dir: Path) -> local.StackInfo:
    """The stack, all of it running: what an earlier test ended is started again."""
    try:
        return local.up(state_dir, REPOSITORY)
    except (EmulatorMissingError, MySQLServerMissingError) as error:
        missing(str(error))


@pytest.fixture
async def database(stack: local.StackInfo) -> AsyncIterator[Database]:
    """A look into the stack's database."""
    async with connect(stack.mysql_url, program_name="test") as opened:
        yield opened


@pytest.fixture
async def storage(
    stack: local.StackInfo, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[GcsStorage]:
    """The stack's bucket."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", stack.storage_emulator_host)
    opened = GcsStorage.connect(stack.bucket, stack.project)
    yield opened
    await opened.close()
