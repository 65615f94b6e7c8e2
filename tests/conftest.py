"""The real parts that tests run against: MySQL, the Pub/Sub emulator, the storage emulator.

Each is started once a test session, on first use, in a folder of its own, and ended with it.
"""

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import structlog

from crossdock.stack import mysql_server, processes, pubsub_emulator, topology
from crossdock.stack import storage_emulator as storage
from crossdock.stack.errors import EmulatorMissingError, MySQLServerMissingError

pytest_plugins = ("tests.end_to_end.bad_input_table",)

PROJECT = "crossdock-test"
BUCKET = "crossdock-test-drops"
REPOSITORY = Path(__file__).resolve().parent.parent


IN_CI = os.environ.get("CI", "").lower() in {"true", "1"}


def missing(reason: str) -> NoReturn:
    """A part that this machine lacks: skips here, fails where CI promises to have all parts."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that is skipped, for whatever reason, is a failure."""
    report = yield
    if IN_CI and report.skipped:
        report.outcome = "failed"
    return report


def end_servers(folder: Path) -> None:
    """End whatever still runs in a test session's folder, and remove it."""
    for stop in (storage.stop, pubsub_emulator.stop, mysql_server.stop):
        stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A command that sets up its logs leaves no trace in the next test."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def stack_dir() -> Iterator[Path]:
    """The folder of this session's servers; their end, and its own, comes with the session's."""
    for leftover in (REPOSITORY / ".crossdock").glob("test-*"):
        owner = leftover.name.removeprefix("test-")
        if owner.isdigit() and processes.start_time(int(owner)) is None:
            end_servers(leftover)  # that session was killed
    folder = REPOSITORY / ".crossdock" / f"test-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        end_servers(folder)


@pytest.fixture(scope="session")
def mysql_server_url(stack_dir: Path) -> str:
    """An administrator's URL of a MySQL server: CROSSDOCK_TEST_MYSQL_URL, or one of our own."""
    named = os.environ.get("CROSSDOCK_TEST_MYSQL_URL")
    if named:
        return named
    try:
        return mysql_server.ensure_started(stack_dir).url
    except MySQLServerMissingError as error:
        missing(str(error))


@pytest.fixture(scope="session")
def pubsub_emulator_host(stack_dir: Path) -> str:
    """`host:port` of a Pub/Sub emulator that has the project's topics and no subscription."""
    try:
        host = pubsub_emulator.ensure_started(stack_dir).host
    except EmulatorMissingError as error:
        missing(str(error))
    topology.create_topics(host, PROJECT)
    return host


@pytest.fixture(scope="session")
def storage_emulator(stack_dir: Path, pubsub_emulator_host: str) -> str:
    """URL of a storage emulator with the bucket BUCKET that tells `manifest.arrived` of uploads."""
    notifications = storage.Notifications(
        pubsub_host=pubsub_emulator_host, project=PROJECT, topic="manifest.arrived"
    )
    try:
        url = storage.ensure_started(stack_dir, notifications).url
    except EmulatorMissingError as error:
        missing(str(error))
    storage.create_bucket(url, BUCKET, PROJECT)
    return url
