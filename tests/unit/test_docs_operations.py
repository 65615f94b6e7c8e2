"""The operations pages against the log lines, the history and the commands of the code."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossdock.cli.ledger_view import situation
from crossdock.stack import (
    mysql_server,
    processes,
    pubsub_emulator,
    running,
    storage_emulator,
)
from services.upserter.gate import MOST_PATIENCES
from shared.ledger.arrivals import ArrivalVerdict
from shared.ledger.delivery import Verdict
from shared.ledger.mysql import DEAD_WORKER_SECONDS
from shared.ledger.states import State
from shared.settings import Settings
from tests.commands import commands
from tests.pages import (
    ROOT,
    anchors,
    code,
    column,
    headings,
    page,
    quoted,
    section,
    slug,
    table,
)

PAGE = page("docs/operations.md")
LOGS = page("docs/operations/logs.md")
MODULES = [
    path
    for room in ("crossdock", "infra", "services", "shared")
    for path in (ROOT / room).rglob("*.py")
]
SEVERITIES = {
    "debug": "DEBUG",
    "info": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
    "critical": "CRITICAL",
}
DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}
PROSE = " ".join(PAGE.split())


def log_methods(node: ast.AST) -> list[str]:
    """The methods of a module's logger that stand somewhere in an expression."""
    return [
        one.attr
        for one in ast.walk(node)
        if isinstance(one, ast.Attribute)
        and isinstance(one.value, ast.Name)
        and one.value.id in {"log", "_log"}
        and one.attr in SEVERITIES
    ]


def log_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Every (message, severity) that a module logs, also by a method that was given a name."""
    tree = ast.parse(path.read_bytes())
    named = {
        target.id: methods
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and (methods := log_methods(node.value))
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        methods = named.get(function.id, []) if isinstance(function, ast.Name) else []
        if isinstance(function, ast.Attribute):
            methods = log_methods(function)
        for method in methods:
            yield str(ast.literal_eval(node.args[0])), SEVERITIES[method]


def test_every_log_line_of_the_code_stands_on_the_page_and_no_other() -> None:
    logged: dict[str, set[str]] = defaultdict(set)
    for path in MODULES:
        for message, severity in log_lines(path):
            logged[message].add(severity)
    rows = table(section(LOGS, "## Logs"))
    told = {row["message"].strip("`"): set(row["severity"].split(" or ")) for row in rows}
    assert told == logged


def kinds_noted() -> Iterator[str]:
    """Every kind of history line that the code writes by name."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"note", "ledger.note"}:
                yield from (
                    str(one.value)
                    for one in ast.walk(node.args[2])
                    if isinstance(one, ast.Constant) and one.value != "arrival_"
                )


def test_every_kind_of_history_line_is_told() -> None:
    kinds = set(kinds_noted())
    kinds |= {f"arrival_{one}" for one in ArrivalVerdict} - {"arrival_noticed", "arrival_taken"}
    assert {"claimed", "finished", "received"} <= kinds
    told = column(table(section(LOGS, "## The lines of a history")), "kind")
    assert sorted(told) == sorted(kinds - {str(one) for one in Verdict})


def test_every_state_is_told_in_its_order() -> None:
    assert column(table(section(PAGE, "## States")), "state") == list(State)


@pytest.mark.parametrize(
    "load",
    [
        {"needs_attention": True, "attempts": 10, "last_error": "…"},
        {"lease": {"owner": "…", "until": "…"}},
        {"waiting_since": "…"},
        {"next_attempt_at": "…", "attempts": 0, "last_error": None},
        {"failure": {"code": "file.missing"}, "applied_run": 2},
    ],
)
def test_what_status_says_of_a_load_is_explained(load: dict[str, object]) -> None:
    names = ("needs_attention", "lease", "waiting_since", "next_attempt_at", "failure")
    said = situation({**dict.fromkeys(names), **load})
    phrases = [row["*now* says"] for row in table(section(PAGE, "## What is going on"))]
    assert any(
        re.match(re.escape(phrase).replace("…", ".+"), said) for phrase in phrases if " " in phrase
    )


def test_a_code_is_shown_for_a_load_that_failed() -> None:
    names = ("needs_attention", "lease", "waiting_since", "next_attempt_at")
    failed = {**dict.fromkeys(names), "failure": {"code": "manifest.schema"}}
    assert situation(failed) == "manifest.schema"


def test_times_and_numbers_are_those_of_the_settings() -> None:
    pauses = [
        min(DEFAULTS["retry_longest_seconds"], DEFAULTS["retry_base_seconds"] * 2**attempt)
        for attempt in range(DEFAULTS["attempts_before_attention"] - 1)
    ]
    assert f"After {DEFAULTS['attempts_before_attention']} faults in a row" in PROSE
    assert "about a quarter of an hour" in PROSE
    assert 12 * 60 < sum(pauses) < 18 * 60
    minutes = f"{DEFAULTS['order_wait_seconds'] // 60} minutes"
    assert re.findall(r"\d+ minutes", PROSE) == [minutes, minutes]
    assert "all of them together an hour" in PROSE
    assert MOST_PATIENCES * DEFAULTS["order_wait_seconds"] == 60 * 60
    assert f"runs out after {DEFAULTS['lease_seconds']} seconds" in PROSE
    assert f"up to {DEAD_WORKER_SECONDS} seconds" in PROSE


def test_the_logs_of_the_local_stack_lie_where_the_page_says(tmp_path: Path) -> None:
    place = processes.log_file(running.default_state_dir(tmp_path), "{name}")
    sentence = next(
        one for one in " ".join(LOGS.split()).split(". ") if str(place.relative_to(tmp_path)) in one
    )
    parts = (mysql_server, pubsub_emulator, storage_emulator)
    names = [*running.SERVICES, running.SWEEP, *(part.PROCESS for part in parts)]
    assert quoted(sentence)[1:] == names


def test_every_alert_has_the_section_that_its_link_leads_to() -> None:
    alerts = (ROOT / "infra/terraform/alerts.tf").read_text(encoding="utf-8")
    names = re.findall(r"^ {4}([a-z-]+) = \{$", alerts, re.MULTILINE)
    sections = [one for one in anchors(PAGE) if one.startswith("alert-")]
    assert sections == [f"alert-{name}" for name in names]


@pytest.mark.parametrize("alert", [one for one in anchors(PAGE) if one.startswith("alert-")])
def test_a_section_of_an_alert_says_how_urgent_it_is_and_when_it_is_over(alert: str) -> None:
    heading = next(one for one in headings(PAGE) if slug(one) == alert)
    text = section(PAGE, heading)
    assert re.search(r"\*\*(Tonight|Tomorrow)\*\*", text)
    assert re.search(r"\bOver when\b", text)


def commands_on_the_pages() -> list[str]:
    """Every call of `crossdock` that a page shows, in the text or in a block."""
    found: list[str] = []
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")):
        text = path.read_text(encoding="utf-8")
        found += re.findall(r"`(crossdock [a-z][^`]*)`", text)
        for block in code(text, "sh"):
            found += re.findall(r"^(crossdock [a-z].*)$", block, re.MULTILINE)
    return sorted({" ".join(call.split()) for call in found})


@pytest.mark.parametrize("call", commands_on_the_pages())
def test_a_command_of_a_page_exists_with_its_options(call: str) -> None:
    known = commands()
    _, *words = call.split()
    names = [name for name in known if name.split() == words[: len(name.split())]]
    groups = {name.split()[0] for name in known if " " in name}
    assert names or (len(words) == 1 and words[0] in groups)
    options = {word for name in names for each in known[name].params for word in each.opts}
    assert {word for word in words if word.startswith("--")} <= options
