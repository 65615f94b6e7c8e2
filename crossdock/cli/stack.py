"""`up`, `down`, `migrate` and `sweep`: the local stack, its schema, and recovery."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import structlog
import typer
from rich.table import Table

from crossdock.cli.environment import REPO_ROOT, STATE_DIR, read_settings, require_schema
from crossdock.cli.output import Json, progress, show, show_json, table_of
from crossdock.stack import local, running
from services.reporter.deliver import deliver_due
from services.reporter.render import as_text
from shared.cloud_parts import close_parts, connect_parts
from shared.errors import TransientFault
from shared.logs import set_up_logs
from shared.mysql import migrate as schema
from shared.settings import Settings
from shared.stage import Parts
from shared.sweep import sweep as sweep_once
from shared.telemetry.start import start_telemetry

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def up(*, json: Json = False) -> None:
    """Start the local stack, or start again what has died; return when all of it is healthy."""
    info = local.up(STATE_DIR, REPO_ROOT, progress=progress())
    if json:
        show_json(info.to_json())
        return
    show(_table_of(info), "Stop it with `crossdock down`; --json shows the database's password.")


def down(
    *, purge: Annotated[bool, typer.Option("--purge", help="Drop its data too.")] = False
) -> None:
    """Stop the local stack; its data stays."""
    ended = local.down(STATE_DIR, purge=purge, progress=progress())
    show(f"stopped: {', '.join(ended)}" if ended else "nothing was running")
    if purge:
        show("data dropped")


def migrate(*, json: Json = False) -> None:
    """Create or upgrade the database's schema; safe to repeat, and to run twice at once."""
    settings = read_settings()
    applied = asyncio.run(schema.migrate(settings.mysql_url))
    if json:
        show_json({"applied": applied})
    else:
        show(*(f"applied {name}" for name in applied), "the schema is current")


def sweep(
    *,
    loop: Annotated[
        bool,
        typer.Option("--loop", help="A pass each CROSSDOCK_SWEEP_SECONDS, until SIGTERM."),
    ] = False,
    json: Json = False,
) -> None:
    """Make one pass of recovery: lost events, dead workers, manifests nobody told of, notices."""
    settings = read_settings()
    if loop:
        set_up_logs(settings.log_level, service="sweep", project=settings.project)
        start_telemetry("sweep")
        asyncio.run(_sweep_until_stopped(settings))
        return
    swept = asyncio.run(_sweep(settings))
    if json:
        show_json(swept)
    else:
        show(
            f"{swept['woken']} loads woken, {swept['published']} events published, "
            f"{swept['noticed']} manifests noticed, {swept['told']} notices given"
        )


async def _sweep(settings: Settings) -> dict[str, Any]:
    async with _connected(settings) as parts:
        return asdict(await sweep_once(parts, deliver_due))


async def _sweep_until_stopped(settings: Settings) -> None:
    """One pass after another; a fault ends its pass, never the loop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while not stop.is_set():
        try:
            swept = await _sweep(settings)
        except TransientFault as fault:
            log.warning("sweep.pass_failed", error=str(fault))
        except Exception:
            log.exception("sweep.pass_failed")
        else:
            if any(swept.values()):
                log.info("sweep.pass", **swept)
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.sweep_seconds):
                await stop.wait()


def _table_of(info: running.StackInfo) -> Table:
    rows = [
        ("MySQL", _without_password(info.mysql_url), ""),
        ("Pub/Sub emulator", f"{info.pubsub_emulator_host}, {info.project}", ""),
        ("storage emulator", f"{info.storage_emulator_host}, {info.bucket}", ""),
        *((name, service.url, str(service.pid)) for name, service in info.services.items()),
    ]
    cells = [[as_text(cell) for cell in row] for row in rows]
    return table_of(("part", "address", "process"), cells, whole=("part", "process"))


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    place = f"{parts.username}@{parts.hostname}:{parts.port or 3306}"
    return urlunsplit(parts._replace(netloc=place))


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[Parts]:
    """The parts of a service, for the length of one command.

    Raises:
        TransientFault: the database cannot be reached, or its schema is not current.
    """
    await require_schema(settings.mysql_url)
    parts = connect_parts(settings)
    try:
        yield parts
    finally:
        await close_parts(parts)
