"""`pack` and `check`: a drop on the partner's own machine."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from crossdock import offline_check
from crossdock import pack as packing
from crossdock.cli.environment import known_partners
from crossdock.cli.errors import ExitCode, WrongUsage
from crossdock.cli.output import Json, lines_of, show, show_json
from services.reporter.render import as_text, render_failure
from shared.clock import now
from shared.contracts.notation import parse_timestamp
from shared.errors import shown
from shared.manifest import MANIFEST_NAME
from shared.partners import Partners

LINES_OF_A_SCREEN = 24


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
    """Print what a check found, on about a screen: the first rows, and how many there are."""
    head: list[Text | Table] = [as_text(result.load_id, "bold"), _verdict_on(result)]
    if result.entities:
        head.append(_table_of(result))
    end = [] if result.failure is None else [render_failure(result.failure.to_json())]
    room = LINES_OF_A_SCREEN - sum(map(lines_of, (*head, *end)))
    counts = result.entities.values()
    rejected = _listed(
        "rejected",
        result.rejects,
        sum(it.rejected for it in counts),
        room // 2 if result.unresolved else room,
    )
    unresolved = _listed(
        "unresolved",
        result.unresolved,
        sum(it.unresolved for it in counts),
        room - sum(map(lines_of, rejected)),
    )
    show(*head, *rejected, *unresolved, *end)


def _verdict_on(result: offline_check.CheckResult) -> Text:
    if result.failure is not None:
        return as_text("would be rejected")
    if result.failure_if_unresolved is not None:
        code = result.failure_if_unresolved.code
        condition = "unless these parents stand in an earlier load"
        return as_text(f"would be rejected with {code} {condition}", "bold yellow")
    return as_text("would be taken", "bold green")


def _listed(
    what: str, rows: Sequence[offline_check.Reject], total: int, room_lines: int
) -> list[Text]:
    """The first rows, one at least and no more than have room, and how many more there are."""
    texts: list[Text] = []
    room_lines -= 1  # for the last line
    for row in rows:
        text = as_text(f"{what}: {row.entity} row {row.row_no}: {row.code}: {row.message}")
        room_lines -= lines_of(text)
        if texts and room_lines < 0:
            break
        texts.append(text)
    more = total - len(texts)
    if more:
        kept = f"the first {offline_check.MOST_REJECTS_KEPT:,} of each file"
        in_json = "them" if len(rows) == total else kept
        texts.append(as_text(f"and {more:,} more {what} rows; --json lists {in_json}"))
    return texts


def _table_of(result: offline_check.CheckResult) -> Table:
    table = Table("entity")
    for name in ("rows", "rejected", "unresolved"):
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
