"""What `crossdock check` prints for a person: a screen, with totals that are exact."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from crossdock.cli.app import app
from crossdock.cli.drop import MOST_REJECTS_SHOWN
from crossdock.offline_check import MOST_REJECTS_KEPT
from tests.unit.local_drops import Drop, customer

LINES_OF_A_SCREEN = 40


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path / "imports" / "acme" / "load-1")


def check(drop: Drop, *options: str) -> Result:
    return CliRunner().invoke(app, ["check", str(drop.folder), *options])


def fill(drop: Drop, rejected: int) -> None:
    drop.write(
        "customers", customer("C1"), *(customer(f"X{i}", email="e" * 255) for i in range(rejected))
    )
    drop.pack()


def test_as_many_rejects_as_a_screen_takes_are_all_shown(drop: Drop) -> None:
    fill(drop, MOST_REJECTS_SHOWN)

    printed = check(drop).stdout

    assert printed.count("row.too_long") == MOST_REJECTS_SHOWN
    assert "more rejected" not in printed


def test_more_rejects_are_counted_and_json_lists_them(drop: Drop) -> None:
    fill(drop, MOST_REJECTS_SHOWN + 2)

    assert "and 2 more rejected rows; --json lists them" in check(drop).stdout
    assert len(json.loads(check(drop, "--json").stdout)["rejects"]) == MOST_REJECTS_SHOWN + 2


def test_rejects_beyond_what_is_kept_are_counted_exactly_on_one_screen(drop: Drop) -> None:
    rejected = MOST_REJECTS_KEPT + 5
    fill(drop, rejected)

    printed = check(drop).stdout

    assert f"and {rejected - MOST_REJECTS_SHOWN:,} more rejected rows" in printed
    assert f"--json lists the first {MOST_REJECTS_KEPT:,} of each file" in printed
    assert f"{rejected:,}" in printed
    assert len(printed.splitlines()) <= LINES_OF_A_SCREEN
    document = json.loads(check(drop, "--json").stdout)
    assert document["entities"]["customers"]["rejected"] == rejected
    assert len(document["rejects"]) == MOST_REJECTS_KEPT
