"""A report for a terminal. Pure: the same report gives the same picture."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

COUNTS = (
    "manifest",
    "staged",
    "inserted",
    "updated",
    "unchanged",
    "stale",
    "rejected",
    "production",
)
UNKNOWN = "-"


def as_text(value: object, style: str = "") -> Text:
    """A value as a terminal may show it: no control character of it takes effect."""
    return Text(harmless(UNKNOWN if value is None else str(value)), style=style)


def harmless(text: str) -> str:
    """The text with a visible mark for each control character; line breaks stay."""
    mark = "\N{REPLACEMENT CHARACTER}"
    return "".join(char if char.isprintable() or char == "\n" else mark for char in text)


def as_number(count: int | None) -> str:
    """A count as people read it; what is unknown is no zero."""
    return UNKNOWN if count is None else f"{count:,}"


def render_report(report: Mapping[str, Any]) -> RenderableType:
    """The report of one run: its outcome, every entity's counts, the failure, the warnings."""
    parts: list[RenderableType] = [_render_outcome(report)]
    if report["entities"]:
        parts.append(_render_entities(report["entities"]))
    if report["failure"] is not None:
        parts.append(render_failure(report["failure"]))
    parts += [Text.assemble(("warning: ", "yellow"), as_text(line)) for line in report["warnings"]]
    return Group(*parts)


def render_failure(failure: Mapping[str, Any]) -> RenderableType:
    """Why a load was rejected: what, where, and what to do next."""
    where = [f"{name} {failure[name]}" for name in ("file", "row", "column") if failure[name]]
    lines = [as_text(failure["message"])]
    if where:
        lines.append(Text.assemble(("Where: ", "bold"), as_text(", ".join(where))))
    lines.append(Text.assemble(("What to do: ", "bold"), as_text(failure["remedy"])))
    return Panel(Group(*lines), title=as_text(failure["code"], "bold red"), border_style="red")


def _render_outcome(report: Mapping[str, Any]) -> Text:
    if report["failure"] is not None:
        verdict = ("failed", "bold red")
    elif report["reconciled"]:
        verdict = ("reconciled", "bold green")
    else:
        verdict = ("does not reconcile", "bold red")
    return Text.assemble(
        as_text(report["load_id"], "bold"),
        "  ",
        verdict,
        "\n",
        as_text(
            f"source_system {report['source_system']}, run {report['run']}, state "
            f"{report['state']}, {report['started_at']} to {report['finished_at']}"
        ),
    )


def _render_entities(entities: Mapping[str, Mapping[str, Any]]) -> Table:
    """An entity is a column: its counts are read downwards as a sum, and all fit 80 characters."""
    table = Table("rows")
    for entity in entities:
        table.add_column(as_text(entity), justify="right")
    for name in COUNTS:
        table.add_row(name, *(as_number(counts[name]) for counts in entities.values()))
    return table
