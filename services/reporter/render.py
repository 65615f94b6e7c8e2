"""A report for a terminal. Pure: the same report gives the same picture."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from shared.notices import run_that_stands, verdict_on_replay

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


def rejects_in_words(told: Mapping[str, Any], rejected: int) -> str | None:
    """The rejected rows in a line: how many by code, and where they are listed; None if none were.

    Args:
        told: the rejected rows that were kept, as a report has them.
        rejected: how many were rejected in all.
    """
    if not told["by_code"]:
        return None
    kept = sum(told["by_code"].values())
    words = ", ".join(f"{code} {count:,}" for code, count in told["by_code"].items())
    if kept < rejected:
        words += f", of the first {kept:,} of {rejected:,}"
    return f"{words}; listed in {told['file']}" if told["file"] else words


def rejects_of(report: Mapping[str, Any]) -> str | None:
    """The rejected rows of a report or of a notice's body, in a line."""
    entities = report.get("entities") or {}
    rejected = sum(counts["rejected"] or 0 for counts in entities.values())
    return rejects_in_words(report.get("rejected_rows") or {"by_code": {}}, rejected)


def render_report(report: Mapping[str, Any]) -> RenderableType:
    """The report of one run: its outcome, every entity's counts, the failure, the warnings."""
    parts: list[RenderableType] = [_render_outcome(report)]
    # A replay that was stopped early counted nothing, and a table of dashes looks like a loss.
    counted = any(counts["staged"] is not None for counts in report["entities"].values())
    if counted or (report["entities"] and run_that_stands(report) is None):
        parts.append(_render_entities(report["entities"]))
    rejects = rejects_of(report)
    if rejects is not None:
        parts.append(Text.assemble(("rejected rows: ", "bold"), as_text(rejects)))
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
    standing = run_that_stands(report)
    if standing is not None:
        verdict = (verdict_on_replay(standing), "bold red")
    elif report["failure"] is not None:
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
