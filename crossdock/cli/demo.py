"""`demo`: the sample drop from upload to report, on a stack of its own that leaves nothing."""

import asyncio
import fcntl
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pymysql
import typer

from crossdock.cli.environment import REPO_ROOT, STATE_DIR, read_settings
from crossdock.cli.ledger_view import read_milestones
from crossdock.cli.output import show
from crossdock.cli.run import exit_code_of, run_local
from crossdock.cli.sample import (
    LOAD_ID,
    Milestones,
    spinner,
    timed,
    upload_and_follow,
    write_drop,
)
from crossdock.stack import local, mysql_server, processes, running
from crossdock.stack.errors import EmulatorMissingError, StackError
from services.reporter.render import render_report
from shared.clock import now
from shared.errors import TransientFault
from shared.mysql.migrate import migrate

LOG_LINES = 10
# The demo is the same whatever a project's settings are; these only say where the parts are.
KEPT_SETTINGS = {"CROSSDOCK_MYSQL_URL", "CROSSDOCK_PUBSUB_EMULATOR"}
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def demo() -> None:
    """Take the sample drop from upload to report on a local stack of its own; leave nothing."""
    begun = time.monotonic()
    with _interruptible(), _own_settings(), _own_database(), _own_folder() as folder:
        try:
            report = _on_stack(folder)
        except EmulatorMissingError as missing:
            show(f"{missing}", "Until then, the same four stages run in this process.")
            report = _in_process(folder)
        show("", render_report(report), "")
    show(f"nothing is left running; {time.monotonic() - begun:.1f} s in all")
    raise typer.Exit(exit_code_of(report))


def _on_stack(folder: Path) -> dict[str, Any]:
    """Upload the sample to a whole stack and follow it to its end.

    Raises:
        TransientFault: the load did not come to its end; the text holds the ends of the logs.
    """
    with timed("local stack started"), spinner() as say:
        stack = local.up(folder, REPO_ROOT, progress=say)
    os.environ.update(stack.environment())
    try:
        return upload_and_follow(write_drop(folder), read_settings())
    except TransientFault as fault:
        raise TransientFault(f"{fault}\n{_ends_of_logs(folder)}") from fault


def _in_process(folder: Path) -> dict[str, Any]:
    """Run the sample through the same stages without Pub/Sub and storage."""
    with timed("MySQL started"), spinner() as say:
        if "CROSSDOCK_MYSQL_URL" not in os.environ:
            os.environ["CROSSDOCK_MYSQL_URL"] = mysql_server.ensure_started(
                folder, progress=say
            ).url
        settings = read_settings(missing_file_grace_seconds=0)
        asyncio.run(migrate(settings.mysql_url))
    drop = write_drop(folder)
    begun_at = now()
    with timed("all four stages"), spinner() as say:
        report = run_local(drop, settings, say)
    for line in Milestones(begun_at).lines(
        asyncio.run(read_milestones(settings.mysql_url, LOAD_ID))
    ):
        show(line)
    return report


@contextmanager
def _own_folder() -> Iterator[Path]:
    """The demo's own state, gone at its end, as is what an earlier demo left that was killed."""
    STATE_DIR.mkdir(parents=True, exist_ok=True)
    folder = STATE_DIR / "demo"
    with closing(_Lock(STATE_DIR)):
        _remove(folder)
        try:
            folder.mkdir()
            yield folder
        finally:
            with _undisturbed():
                _remove(folder)


class _Lock:
    """A folder that one process at a time holds."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            os.close(self._descriptor)
            raise StackError("another demo of this working copy runs; wait for its end") from held

    def close(self) -> None:
        os.close(self._descriptor)


def _remove(folder: Path) -> None:
    local.down(folder, purge=True)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _own_settings() -> Iterator[None]:
    """Take away this process's settings for the length of the demo."""
    before = dict(os.environ)
    for name in before:
        if name.startswith("CROSSDOCK_") and name not in KEPT_SETTINGS:
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _own_database() -> Iterator[None]:
    """Where a setting names a MySQL server: a database of the demo's own there, dropped at its end.

    Raises:
        StackError: it cannot be made.
    """
    named = os.environ.get("CROSSDOCK_MYSQL_URL")
    if named is None:
        yield
        return
    name = f"crossdock_demo_{secrets.token_hex(4)}"
    try:
        os.environ["CROSSDOCK_MYSQL_URL"] = mysql_server.create_database(named, name)
    except (pymysql.MySQLError, ValueError) as error:
        raise StackError(
            f"the demo cannot make a database of its own where CROSSDOCK_MYSQL_URL points: {error}"
            "\nGrant CREATE and DROP to the account, or unset it: the demo then starts a server."
        ) from error
    try:
        yield
    finally:
        with _undisturbed():
            mysql_server.drop_database(named, name)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let every signal that ends the demo run its clean-up."""
    with _handling(signal.default_int_handler):
        yield


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no impatience leave half of a stack running."""
    with _handling(signal.SIG_IGN):
        yield


@contextmanager
def _handling(handler: Any) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _ends_of_logs(folder: Path) -> str:
    ends = []
    for name in (*running.SERVICES, running.SWEEP):
        path = processes.log_file(folder, name)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        ends.append("\n".join((f"The end of {path.name}:", *lines)))
    return "\n".join(ends)
