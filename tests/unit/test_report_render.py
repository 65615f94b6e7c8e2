"""A report in a terminal: all its facts, and nothing of it that takes effect."""

import io
from typing import Any

from rich.console import Console

from services.reporter.render import as_text, render_report
from shared.errors import Failure

COUNTS = {
    "manifest": 1234,
    "staged": 1234,
    "inserted": 1200,
    "updated": 20,
    "unchanged": 10,
    "stale": 2,
    "rejected": 2,
    "production": 1232,
}


def report(**facts: Any) -> dict[str, Any]:
    return {
        "load_id": "2026-02-01",
        "source_system": "acme",
        "run": 2,
        "state": "reported",
        "schema_version": "v1",
        "manifest_sha256": "0" * 64,
        "started_at": "2026-02-01T10:00:00.000000Z",
        "finished_at": "2026-02-01T10:00:09.000000Z",
        "reconciled": True,
        "entities": {"customers": COUNTS},
        "failure": None,
        "files": [],
        "warnings": [],
        **facts,
    }


def shown(document: dict[str, Any], *, color: bool = False) -> str:
    output = io.StringIO()
    console = Console(file=output, width=160, force_terminal=color)
    console.print(render_report(document), markup=False)
    return output.getvalue()


def test_every_count_of_a_good_load_is_shown() -> None:
    text = shown(report())
    for word in ("2026-02-01", "reconciled", "acme", "run 2", "customers", "1,234", "1,232"):
        assert word in text
    assert "does not reconcile" not in text


def test_a_load_that_does_not_reconcile_says_so() -> None:
    assert "does not reconcile" in shown(report(reconciled=False))


def test_an_unknown_count_is_no_zero() -> None:
    unknown = {**COUNTS, "production": None}
    cells = shown(report(entities={"customers": unknown})).splitlines()[-2].split("│")
    assert cells[-2].strip() == "-"


def test_a_failure_is_shown_with_its_place_and_its_remedy() -> None:
    failure = Failure.of(
        "csv.field_count", "row 7 has 3 fields", file="invoices.csv", row=7, column=None
    )
    text = shown(report(failure=failure.to_json(), state="failed", entities={}))
    for word in ("failed", "csv.field_count", "row 7 has 3 fields", "file invoices.csv, row 7"):
        assert word in text
    assert failure.remedy[:60] in text


def test_a_warning_is_shown() -> None:
    assert "most rows are stale" in shown(report(warnings=["most rows are stale"]))


def test_no_text_of_a_report_takes_effect_in_a_terminal() -> None:
    hostile = "\x1b]0;owned\x07[red]\x9b31m\u202e"
    text = shown(report(load_id=hostile, warnings=[hostile]))
    assert "[red]" in text
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)
    assert as_text("two\nlines").plain == "two\nlines"
