"""The whole local stack, as `crossdock up` starts it, with short leases."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from crossdock.stack import local, running
from crossdock.stack.errors import EmulatorMissingError, MySQLServerMissingError
from shared.mysql.connect import Database, connect
from shared.storage.gcs import GcsStorage
from tests.conftest import REPOSITORY, missing
from tests.end_to_end.courier import Courier
from tests.observability.collector import Collector, collector

SHORT = {
    "CROSSDOCK_LEASE_SECONDS": "2",
    "CROSSDOCK_HEARTBEAT_SECONDS": "0.5",
    "CROSSDOCK_SWEEP_SECONDS": "0.5",
    "CROSSDOCK_MISSING_FILE_GRACE_SECONDS": "5",
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "bad_input(line): shows this line of the bad inputs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("bad_input"):
            item.user_properties.append(("bad_input", mark.args[0]))


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


@pytest.fixture(scope="session")
def collected() -> Iterator[Collector]:
    """What the stack's processes tell of themselves; this process tells nothing."""
    with collector() as taking:
        yield taking


def started(state_dir: Path, collected: Collector) -> running.StackInfo:
    """The stack, all of it running: what an earlier test ended is started again."""
    try:
        with pytest.MonkeyPatch.context() as for_the_stack:
            for name, value in collected.environment().items():
                for_the_stack.setenv(name, value)
            return local.up(state_dir, REPOSITORY)
    except (EmulatorMissingError, MySQLServerMissingError) as error:
        missing(str(error))


@pytest.fixture
def stack(state_dir: Path, collected: Collector) -> running.StackInfo:
    """The stack before a test that may end parts of it."""
    return started(state_dir, collected)


@pytest.fixture
async def database(stack: running.StackInfo) -> AsyncIterator[Database]:
    """A look into the stack's database."""
    async with connect(stack.mysql_url, program_name="test") as opened:
        yield opened


@pytest.fixture
async def storage(
    stack: running.StackInfo, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[GcsStorage]:
    """The stack's bucket."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", stack.storage_emulator_host)
    opened = GcsStorage.connect(stack.bucket, stack.project)
    yield opened
    await opened.close()


@pytest.fixture
def courier(stack: running.StackInfo, storage: GcsStorage, database: Database) -> Courier:
    """Brings drops to the stack, one after the other."""
    return Courier(stack, storage, database)
