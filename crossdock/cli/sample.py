"""The sample drop through a whole system that runs: written, uploaded, followed to its report."""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console

from crossdock import pack as packing
from crossdock.cli.environment import read_settings
from crossdock.cli.errors import WrongUsage
from crossdock.cli.ledger_view import latest_report, read_milestones
from crossdock.cli.output import show
from crossdock.cli.run import exit_code_of
from crossdock.cli.upload import upload_drop
from crossdock.offline_check import DropFolder, locate
from infra.local import sample as sample_data
from services.reporter.render import render_report
from shared.clock import now
from shared.errors import TransientFault
from shared.ledger.mysql import Ledger
from shared.settings import Settings

PARTNER, LOAD_ID = "demo", "sample-0001"
SEED: Final = 1
# The same moment always, so that the same drop is the same bytes, and its manifest the same load.
CREATED_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE_SECONDS = 180.0
POLL_SECONDS = 0.1


def sample() -> None:
    """Upload the sample drop to the emulators that run, follow it, and print its report."""
    settings = read_settings()
    if "STORAGE_EMULATOR_HOST" not in os.environ:
        raise WrongUsage(
            "the sample drop is for emulators, and STORAGE_EMULATOR_HOST names none: "
            "start the local stack with `crossdock up`"
        )
    with tempfile.TemporaryDirectory() as folder:
        report = upload_and_follow(write_drop(Path(folder)), settings)
    show("", render_report(report))
    raise typer.Exit(exit_code_of(report))


def write_drop(folder: Path) -> DropFolder:
    """Write the sample drop below a folder, packed, and tell of it."""
    with timed("sample drop written and packed"):
        directory = folder / "drop" / "imports" / PARTNER / LOAD_ID
        rows = sample_data.generate(directory, seed=SEED)
        packing.pack(directory, LOAD_ID, PARTNER, CREATED_AT)
    show("  " + ", ".join(f"{count:,} {entity}" for entity, count in rows.items()))
    return locate(directory, None)


def upload_and_follow(drop: DropFolder, settings: Settings) -> dict[str, Any]:
    """Upload the sample drop, if the bucket does not have it yet, and return the load's report.

    Raises:
        TransientFault: the load did not come to its end.
        WrongUsage: the bucket's folder holds another drop.
    """
    place = f"gs://{settings.bucket}/{drop.prefix}"
    with timed(f"uploaded to {place}"):
        sent = asyncio.run(upload_drop(drop, settings.bucket))
    if not sent:
        show(f"  {place} held this very drop already; what follows is of then")
    return asyncio.run(_follow(settings))


async def _follow(settings: Settings) -> dict[str, Any]:
    """Print the end of each stage as the ledger shows it, and return the report."""
    milestones = Milestones(now())
    ledger = Ledger(settings)
    begun = time.monotonic()
    with spinner() as spin:
        while (seconds := time.monotonic() - begun) < PATIENCE_SECONDS:
            load = await ledger.read(LOAD_ID)
            for line in milestones.lines(await read_milestones(settings.mysql_url, LOAD_ID)):
                show(line)
            if load is not None and load.due_topic is None:
                report = await latest_report(settings.mysql_url, LOAD_ID)
                assert report is not None, "a load at its end has a report"
                return report
            state = "not yet noticed" if load is None else load.state.value
            spin(f"{seconds:.1f} s, {state} …")
            await asyncio.sleep(POLL_SECONDS)
    raise TransientFault(f"the load did not come to its end within {PATIENCE_SECONDS:g} s")


class Milestones:
    """The ends of stages, each told once with the seconds since the one before."""

    def __init__(self, begun_at: datetime) -> None:
        self._told = 0
        self._before = begun_at

    def lines(self, milestones: list[dict[str, Any]]) -> Iterator[str]:
        """What there is to tell of milestones that were not told yet."""
        for milestone in milestones[self._told :]:
            at = datetime.fromisoformat(milestone["at"])
            seconds = max(0.0, (at - self._before).total_seconds())
            yield f"{seconds:6.1f} s  {milestone['stage'] or 'manifest'} {milestone['outcome']}"
            self._told += 1
            self._before = at


@contextmanager
def timed(part: str) -> Iterator[None]:
    """Tell how long a part took, once it is done."""
    begun = time.monotonic()
    yield
    show(f"{time.monotonic() - begun:6.1f} s  {part}")


@contextmanager
def spinner() -> Iterator[Callable[[str], None]]:
    """Shows what is being done to who watches; what is printed meanwhile goes above it."""
    watched = sys.stdout.isatty() and sys.stderr.isatty()
    with Console(stderr=True).status("") if watched else nullcontext() as status:
        yield lambda line: None if status is None else status.update(line)
