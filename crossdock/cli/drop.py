"""`pack` and `check`: a drop on the partner's own machine."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from crossdock import offline_check
from crossdock import pack as packing
from crossdock.cli.environment import known_partners
from crossdock.cli.errors import ExitCode, WrongUsage
from crossdock.cli.output import show, show_json
from crossdock.cli.stack import Json
from services.reporter.render import as_text, render_failure
from shared.clock import now
from shared.contracts.notation import parse_timestamp
from shared.errors import shown
from shared.manifest import MANIFEST_NAME
from shared.partners import Partners

# Each takes up to two lines of a terminal, and the totals and the verdict want some too.
MOST_REJECTS_SHOWN = 10


def _folder_name(partner: str | None) -> str | None:
    if partner is not None and not Partners().is_folder(partner):
        raise typer.BadParameter(f"{shown(partner)} can be no partner's folder")
    return partner


Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the drop.")]
PartnerName = Annotated[
    str | None,
    typer.Option(
        "--partner",
        metavar="P",
        help="The partner's folder, where DIR does not end with imports/P/LOAD_ID; else the "
        "manifest's source_system.",
        callback=_folder_name,
    ),
]


def pack(
    directory: Directory,
    *,
    load_id: Annotated[str, typer.Option("--load-id", metavar="L", help="The drop's name.")],
    source_system: Annotated[
        str, typer.Option("--source-system", metavar="S", help="Who delivers.")
    ],
    created_at: Annotated[
        str | None,
        typer.Option(
            "--created-at",
            metavar="T",
            help="The moment that the data stand for, RFC 3339; now if left out.",
        ),
    ] = None,
) -> None:
    """Write manifest.json for the CSV files in DIR: their rows counted, their bytes hashed."""
    manifest = packing.pack(directory, load_id, source_system, _moment(created_at))
    rows = ", ".join(f"{file.name} {file.rows:,} rows" for file in manifest.files)
    show(f"wrote {directory / MANIFEST_NAME}: {rows}")


def check(directory: Directory, *, partner: PartnerName = None, json: Json = False) -> None:
    """Give the validator's verdict on the drop in DIR, without network or database."""
    result = offline_check.check(directory, partner=partner, partners=known_partners(), now=now())
    if json:
        show_json(result.to_json())
    else:
        show_verdict(result)
    if not result.ok:
        raise typer.Exit(ExitCode.REJECTED)


def show_verdict(result: offline_check.CheckResult) -> None:
    """Print what a check found."""
    verdict = as_text("would be taken", "bold green")
    show(as_text(result.load_id, "bold"), verdict if result.ok else "would be rejected")
    if result.entities:
        show(_table_of(result))
    for reject in result.rejects[:MOST_REJECTS_SHOWN]:
        place = f"{reject.entity} row {reject.row_no}, {reject.column}"
        show(as_text(f"{place}: {reject.code}: {reject.message}"))
    rejected = sum(counts.rejected for counts in result.entities.values())
    if rejected > MOST_REJECTS_SHOWN:
        kept = f"the first {offline_check.MOST_REJECTS_KEPT:,} of each file"
        listed = "them" if len(result.rejects) == rejected else kept
        show(f"and {rejected - MOST_REJECTS_SHOWN:,} more rejected rows; --json lists {listed}")
    if result.failure is not None:
        show(render_failure(result.failure.to_json()))


def _table_of(result: offline_check.CheckResult) -> Table:
    table = Table("entity")
    for name in ("rows", "rejected", "parent not in the drop"):
        table.add_column(name, justify="right")
    for entity, counts in result.entities.items():
        numbers = (counts.rows, counts.rejected, counts.unresolved)
        table.add_row(as_text(entity), *(f"{number:,}" for number in numbers))
    return table


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_timestamp(text)
    except ValueError as problem:
        raise WrongUsage(f"--created-at {text!r}: {problem}") from problem
