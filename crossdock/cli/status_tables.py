"""The documents of `status` as tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from crossdock.cli.ledger_view import situation
from crossdock.cli.output import short_time, table_of
from services.reporter.render import as_text, rejects_in_words, render_failure
from shared.notices import run_that_stands

FACTS = ("state", "run", "source_system", "bucket", "folder", "created_at", "received_at")
STYLE_OF_STATE = {"reported": "green", "failed": "red"}
TIMES = ("at", "received", "since")
WHOLE = (*TIMES, "state", "run", "stage", "kind", "outcome", "notices", "rows", "bytes")

Document = Mapping[str, Any]


def render_list(document: Document) -> Iterator[RenderableType]:
    """How many loads stand where, those that want a look first, and whatever has no load."""
    if not document["total"]:
        yield Text("no loads yet")
    else:
        yield Text(_totals(document))
        yield _render_loads(document["loads"])
    if document["not_shown"]:
        yield Text(f"and {document['not_shown']:,} more that are not shown")
    if document["refused"]:
        yield _render_refused(document["refused"])
    if document["dead_channels"]:
        names = ("channel", "notices", "since", "last_error")
        title = "Channels that do not take their notices"
        yield _render_dicts(title, names, document["dead_channels"])
    if document["letters_waiting"]:
        undelivered = document["letters_undelivered"]
        yield Text(
            f"letters that wait: {document['letters_waiting']} (crossdock dead-letter list), "
            f"{undelivered or 'none'} of them for `crossdock dead-letter redrive --all`"
        )
    if document["messages_for_unknown_loads"]:
        count = document["messages_for_unknown_loads"]
        yield Text(
            f"messages for loads that do not exist, in 24 hours: {count} "
            "(`crossdock status LOAD_ID` with the name that they gave)"
        )


def _totals(document: Document) -> str:
    states = ", ".join(f"{count:,} {state}" for state, count in document["states"].items() if count)
    attention = document["needs_attention"]
    marked = f"; needing attention: {attention:,}" if attention else ""
    return f"loads: {document['total']:,}; {states}{marked}"


def _render_refused(arrivals: Sequence[Document]) -> Table:
    return _render_rows(
        "Manifests that were refused",
        ("received", "manifest", "code", "message"),
        [
            (
                arrival["noticed_at"],
                arrival["object"],
                (arrival["failure"] or {}).get("code"),
                (arrival["failure"] or {}).get("message"),
            )
            for arrival in arrivals
        ],
    )


def render_load(document: Document) -> Iterator[RenderableType]:
    """One load: where it stands and why, its stages' times, files, counts and history."""
    yield as_text(document["load_id"], "bold")
    facts = Table.grid(padding=(0, 2))
    for name in FACTS:
        facts.add_row(name, as_text(document[name]))
    if situation(document) and (not document["failure"] or run_that_stands(document)):
        facts.add_row("now", as_text(situation(document)))
    yield facts
    if document["failure"]:
        yield render_failure(document["failure"])
    for warning in document["warnings"]:
        yield Text.assemble(("warning: ", "yellow"), as_text(warning))
    if document["milestones"]:
        yield _render_dicts("Stages", ("at", "run", "stage", "outcome"), document["milestones"])
    if document["files"]:
        names = ("name", "rows", "bytes", "generation", "sha256")
        yield _render_dicts("Files", names, document["files"])
    if document["counts"]:
        rows = [{"entity": name, **counts} for name, counts in document["counts"].items()]
        yield _render_dicts("Counts", tuple(rows[0]), rows)
    rejected = sum(counts["rejected"] or 0 for counts in document["counts"].values())
    rejects = rejects_in_words(document["rejected_rows"], rejected)
    if rejects is not None:
        yield Text.assemble(("Rejected rows: ", "bold"), as_text(rejects))
    refused = [arrival for arrival in document["arrivals"] if arrival["verdict"] == "refused"]
    if refused:
        yield _render_refused(refused)
    yield _render_dicts("History", ("at", "run", "stage", "kind", "detail"), document["history"])


def _render_loads(loads: Sequence[Document]) -> Table:
    names = ("load", "source_system", "state", "run", "received", "now")
    rows = [
        (
            as_text(load["load_id"]),
            as_text(load["source_system"]),
            as_text(load["state"], STYLE_OF_STATE.get(load["state"], "")),
            str(load["run"]),
            as_text(short_time(load["received_at"])),
            as_text(situation(load)),
        )
        for load in loads
    ]
    return table_of(names, rows, whole=WHOLE)


def _render_dicts(title: str, names: Sequence[str], rows: Sequence[Document]) -> Table:
    return _render_rows(title, names, [tuple(row[name] for name in names) for row in rows])


def _render_rows(title: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    cells = [
        [
            as_text(short_time(value) if name in TIMES else value)
            for name, value in zip(names, row, strict=True)
        ]
        for row in rows
    ]
    return table_of(names, cells, whole=WHOLE, title=title)
