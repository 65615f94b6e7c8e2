"""Every line of the table of bad inputs that one drop can show, through the four services.

All drops are uploaded side by side, each of a partner of its own, and followed together; each test
then holds one of them to its line. The offline check has to say the same of the same files.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from crossdock.cli.app import app
from crossdock.stack import running
from shared.errors import catalogue
from shared.mysql.connect import connect
from tests.end_to_end import test_bad_arrivals, test_bad_messages
from tests.end_to_end.bad_files import FILES
from tests.end_to_end.bad_inputs import LINES, Case, Refused, slug
from tests.end_to_end.bad_manifests import MANIFESTS, WIDE
from tests.end_to_end.bad_rows import DELIVERED_ROWS
from tests.end_to_end.conftest import started
from tests.end_to_end.outcomes import Outcome, assert_told_once, followed, read_acks, upload
from tests.observability.collector import Collector

CASES = [*MANIFESTS, *FILES, *DELIVERED_ROWS]
PATIENCE_SECONDS = 400
REJECTED_EXIT, NOT_FOUND_EXIT = 3, 4

cli = CliRunner()
pytestmark = pytest.mark.timeout(PATIENCE_SECONDS + 100)


def parameters(cases: list[Case]) -> pytest.MarkDecorator:
    """The cases as parameters of a test, each counted under its line."""
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(case, id=case.name, marks=pytest.mark.bad_input(case.line))
            for case in cases
        ],
    )


@pytest.fixture(scope="session")
def outcomes(state_dir: Path, collected: Collector) -> dict[str, Outcome]:
    """What became of every case, by its name."""
    stack = started(state_dir, collected)
    deliveries = {case.name: case.delivery() for case in CASES}
    with at_the_bucket_of(stack):
        upload(stack, deliveries.values())

    async def follow() -> dict[str, Outcome]:
        async with connect(stack.mysql_url, program_name="test") as database:
            return await followed(database, deliveries, patience_seconds=PATIENCE_SECONDS)

    return asyncio.run(follow())


@pytest.fixture(scope="session")
def acks(
    outcomes: dict[str, Outcome], state_dir: Path, collected: Collector
) -> dict[str, dict[str, Any]]:
    """What the partners were told of every case, by the object's name."""
    stack = started(state_dir, collected)
    with at_the_bucket_of(stack):
        return read_acks(stack)


@contextmanager
def at_the_bucket_of(stack: running.StackInfo) -> Iterator[None]:
    """Clients that are made meanwhile talk to the stack's storage."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STORAGE_EMULATOR_HOST", stack.storage_emulator_host)
        yield


def marked_lines(module: ModuleType) -> set[int]:
    """The lines that tests of a module name."""
    marks = [mark for test in vars(module).values() for mark in getattr(test, "pytestmark", ())]
    return {mark.args[0] for mark in marks if mark.name == "bad_input"}


def test_every_line_of_the_table_has_a_test_and_every_case_a_name_of_its_own() -> None:
    shown_alone = marked_lines(test_bad_arrivals) | marked_lines(test_bad_messages)
    assert {case.line for case in CASES} | shown_alone == set(LINES)
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []


@parameters([case for case in CASES if case.code and case.folder is None])
def test_a_bad_drop_fails_with_its_code_its_place_and_what_to_do(
    case: Case, outcomes: dict[str, Outcome], acks: dict[str, dict[str, Any]]
) -> None:
    outcome = outcomes[case.name]
    assert outcome.load is not None
    assert (outcome.load["state"], outcome.load["run"]) == ("failed", 1)
    assert [row["verdict"] for row in outcome.arrivals] == ["taken"]
    assert (outcome.told["state"], outcome.told["reconciled"]) == ("failed", False)
    assert_told_once(outcome.notices, "failed")
    assert_explained(case, outcome)
    assert outcome.load["failure_code"] == case.code
    assert acks[f"acks/{outcome.delivery.drop.partner}/{case.name}/ack.json"]["failure"] == (
        outcome.failure
    )
    assert not any(outcome.standing.values())
    for counts in outcome.told["entities"].values():
        assert counts["inserted"] is counts["production"] is None
        assert (counts["staged"] is None) is (not case.refused)


@parameters([case for case in CASES if case.folder is not None])
def test_a_folder_that_can_be_no_loads_is_refused_at_its_manifest(
    case: Case, outcomes: dict[str, Outcome], acks: dict[str, dict[str, Any]]
) -> None:
    outcome = outcomes[case.name]
    assert outcome.load is None
    (arrival,) = outcome.arrivals
    assert (arrival["verdict"], arrival["failure_code"]) == ("refused", case.code)
    assert_told_once(outcome.notices, "refused")
    assert_explained(case, outcome)
    place = "/".join(quote(name, safe="") for name in case.folder or ())
    ack = acks[f"acks/{place}/refused-{arrival['generation']}.json"]
    assert ack["failure"] == outcome.failure
    assert not any(outcome.standing.values())


@parameters([case for case in CASES if case.code is None])
def test_a_drop_goes_on_without_the_rows_that_are_rejected(
    case: Case, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[case.name]
    assert outcome.load is not None
    assert (outcome.load["state"], outcome.load["run"]) == ("reported", 1)
    assert [row["verdict"] for row in outcome.arrivals] == ["taken"]
    assert outcome.told["reconciled"] is True
    assert_told_once(outcome.notices, "reported")
    assert set(outcome.rejects) == {(row.entity, row.row) for row in case.refused}
    rejected = Counter(row.entity for row in case.refused)
    for entity, counts in outcome.told["entities"].items():
        assert counts["rejected"] == rejected[entity]
        assert counts["inserted"] == counts["manifest"] - rejected[entity]
        assert len(outcome.standing[entity]) == counts["inserted"]
    for (table, column), texts in case.keeps.items():
        assert Counter(row[column] for row in outcome.standing[table]) == Counter(texts)


@pytest.mark.parametrize(
    ("case", "row"),
    [
        pytest.param(
            case, row, id=f"{case.name}-{slug(row.what)}", marks=pytest.mark.bad_input(case.line)
        )
        for case in CASES
        for row in case.refused
    ],
)
def test_a_bad_row_is_rejected_with_its_code_its_column_and_why(
    case: Case, row: Refused, outcomes: dict[str, Outcome]
) -> None:
    found = outcomes[case.name].rejects[row.entity, row.row]
    assert (found["code"], found["column_name"]) == (row.code, row.column)
    for words in row.says:
        assert words in found["message"]


@parameters(CASES)
def test_the_offline_check_gives_the_same_verdict(
    case: Case, outcomes: dict[str, Outcome], tmp_path: Path
) -> None:
    outcome = outcomes[case.name]
    folder = outcome.delivery.write(tmp_path)
    checked = cli.invoke(app, ["check", str(folder), "--json"])
    verdict = json.loads(checked.stdout)
    code = case.code if case.is_known_offline else None
    assert (checked.exit_code, verdict["ok"]) == (REJECTED_EXIT if code else 0, code is None)
    if code is not None:
        assert without_clock(verdict["failure"]) == without_clock(outcome.failure)
    orphans_fail_it = case.code == "rejects.over_limit" and not case.is_known_offline
    assert verdict["failure_if_unresolved"] == (outcome.failure if orphans_fail_it else None)
    for name, is_unresolved in (("rejects", False), ("unresolved", True)):
        found = [
            (row["entity"], row["row_no"], row["code"], row["column"]) for row in verdict[name]
        ]
        wanted = [row for row in case.refused if row.unresolved is is_unresolved]
        told = [(row.entity, row.row, row.code, row.column) for row in wanted]
        assert sorted(found) == sorted(told)
    counted = Counter(row["entity"] for row in verdict["unresolved"])
    for name, counts in verdict["entities"].items():
        assert counts["unresolved"] == counted[name]


@pytest.mark.bad_input(7)
def test_a_claim_to_be_another_partner_is_marked_as_a_security_event(
    outcomes: dict[str, Outcome], state_dir: Path
) -> None:
    marked: dict[str, list[bool]] = {}
    for log in (state_dir / "logs").glob("*.log"):  # the sweep gives notices too
        for line in log.read_text().splitlines():
            if '"load.notice"' in line:
                notice = json.loads(line)
                marked.setdefault(notice["load_id"], []).append(notice["security"])
    for case in CASES:
        if case.folder is None:
            assert marked[case.name] == [case.line == 7], case.name


@pytest.mark.bad_input(2)
def test_a_manifest_that_is_too_large_is_never_downloaded(outcomes: dict[str, Outcome]) -> None:
    load = outcomes["02-65537-bytes"].load
    assert load is not None
    assert (load["manifest"], load["manifest_sha256"]) == (None, None)


@pytest.mark.bad_input(6)
@pytest.mark.parametrize(
    "command", [["status"], ["report"], ["replay", "--from", "stager"]], ids=lambda words: words[0]
)
def test_who_asks_for_a_name_that_is_no_load_id_hears_that_there_is_no_such_load(
    command: list[str], stack: running.StackInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    asked = cli.invoke(app, [command[0], WIDE, *command[1:]])
    assert asked.exit_code == NOT_FOUND_EXIT
    assert r"there is no load 'load-\uff11'" in asked.stderr


def assert_explained(case: Case, outcome: Outcome) -> None:
    """What is wrong, where, and what to do next, in a message that no input can fill or bend."""
    failure = outcome.failure
    assert failure["code"] == case.code
    assert (failure["file"], failure["row"], failure["column"]) == (
        case.file,
        case.row,
        case.column,
    )
    for words in case.says:
        assert words in failure["message"]
    assert failure["message"].isascii()
    assert failure["message"].isprintable()
    assert len(failure["message"]) < 400
    assert failure["remedy"] == catalogue()[failure["code"]].remedy


def without_clock(failure: dict[str, Any]) -> dict[str, Any]:
    """The failure but for the words in which it names the time of its check."""
    if failure["code"] != "manifest.created_at_future":
        return failure
    return failure | {"message": failure["message"].partition(", more than")[0]}
