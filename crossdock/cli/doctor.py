"""`doctor`: every dependency and setting, whether it is as it must be, and how to mend it."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

import typer
from rich.table import Table

from crossdock.cli.environment import STATE_DIR, partners_file, read_settings, use_running_stack
from crossdock.cli.errors import ExitCode
from crossdock.cli.health import (
    Check,
    check_bucket,
    check_mysql,
    check_services,
    check_sweep,
    check_topology,
)
from crossdock.cli.output import Json, progress, show, show_json, table_of
from crossdock.stack import mysql_binaries, pubsub_emulator, storage_emulator
from crossdock.stack.errors import StackError
from services.reporter.render import as_text
from shared.partners import PartnersError, load_partners
from shared.settings import SettingsError

OLDEST_PYTHON = (3, 11)


def doctor(*, json: Json = False) -> None:
    """Check every dependency and setting, and say how to mend what is wrong."""
    say = progress()
    checks: list[Check] = []
    for check in _checks():
        say(f"{check.check}: {'ok' if check.ok else 'wrong'}")
        checks.append(check)
    ok = all(check.ok for check in checks)
    if json:
        show_json({"ok": ok, "checks": [asdict(check) for check in checks]})
    else:
        show(_table_of(checks))
    if not ok:
        raise typer.Exit(ExitCode.UNAVAILABLE)


def _checks() -> Iterator[Check]:
    yield _check_python()
    stack = use_running_stack()
    if stack is not None or "CROSSDOCK_MYSQL_URL" not in os.environ:
        yield from _check_programs()
    yield _check_partners()
    try:
        settings = read_settings()
    except SettingsError as error:
        yield Check("settings", ok=False, detail=str(error), remedy="Set what is named there.")
        return
    yield Check("settings", ok=True, detail=f"bucket {settings.bucket}, project {settings.project}")
    yield from asyncio.run(check_mysql(settings.mysql_url))
    yield asyncio.run(check_bucket(settings))
    yield from check_topology(settings.project)
    if stack is not None:
        yield from check_services(stack)
        yield check_sweep(STATE_DIR)


def _check_python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= OLDEST_PYTHON:
        return Check("python", ok=True, detail=found)
    return Check("python", ok=False, detail=found, remedy="Install Python 3.11, then `make setup`.")


def _check_partners() -> Check:
    path = partners_file()
    try:
        partners = load_partners(path)
    except PartnersError as error:
        return Check("partners", ok=False, detail=str(error), remedy=f"Correct {path}.")
    return Check("partners", ok=True, detail=f"{path}: {len(partners.partners)} partners")


def _check_programs() -> Iterator[Check]:
    """What only the local stack needs."""
    programs: dict[str, Callable[[], object]] = {
        "java": pubsub_emulator.find_java,
        "pubsub emulator": pubsub_emulator.find_jar,
        "storage emulator": storage_emulator.find_binary,
    }
    for name, find in programs.items():
        try:
            yield Check(name, ok=True, detail=str(find()))
        except StackError as error:
            yield Check(name, ok=False, detail=str(error), remedy="As it says there.")
    server = mysql_binaries.find(lambda _line: None)
    if server is None:
        remedy = f"`make setup` fetches one. {mysql_binaries.HOW_TO_GET_ONE}"
        yield Check("mysql server", ok=False, detail="none on this machine", remedy=remedy)
    else:
        yield Check("mysql server", ok=True, detail=f"{server.command[-1]} {server.version}")


def _table_of(checks: Sequence[Check]) -> Table:
    rows = [
        (
            as_text(check.check),
            as_text("ok", "green") if check.ok else as_text("wrong", "bold red"),
            as_text(check.detail),
            as_text(check.remedy or ""),
        )
        for check in checks
    ]
    return table_of(("check", "is", "found", "remedy"), rows, whole=("is",))
