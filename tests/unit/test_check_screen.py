"""What `crossdock check` prints for a person: a screen, with totals that are exact."""

import json

import pytest
from typer.testing import CliRunner, Result

from crossdock.cli import output
from crossdock.cli.app import app
from crossdock.offline_check import MOST_REJECTS_KEPT
from tests.unit.local_drops import Drop, customer, vehicle

LINES_OF_A_SCREEN = 25
FEW = 3


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As wide as the narrowest terminal."""
    monkeypatch.setattr(output, "WIDTH_WITHOUT_TERMINAL", 80)


def check(drop: Drop, *options: str) -> Result:
    return CliRunner().invoke(app, ["check", str(drop.folder), *options])


def printed(drop: Drop) -> str:
    """What a person reads, without the line breaks that the width makes."""
    return " ".join(check(drop).stdout.split())


def fill(drop: Drop, *, rejected: int = 0, unresolved: int = 0) -> None:
    drop.write(
        "customers", customer("C1"), *(customer(f"X{i}", email="e" * 255) for i in range(rejected))
    )
    drop.write("vehicles", vehicle("V1", "C1"), *(vehicle(f"W{i}", "?") for i in range(unresolved)))
    drop.pack()


def test_a_few_rejects_and_unresolved_rows_are_all_shown_with_their_places(drop: Drop) -> None:
    fill(drop, rejected=FEW, unresolved=FEW)

    text = printed(drop)

    assert "would be taken" in text
    for row in range(2, FEW + 2):
        assert f"rejected: customers row {row}: row.too_long: email has more than" in text
        assert f"unresolved: vehicles row {row}: row.orphan: source_customer_id names" in text
    assert " more " not in text.replace("has more than", "")


def test_more_of_them_are_counted_and_json_lists_them(drop: Drop) -> None:
    fill(drop, rejected=9, unresolved=9)

    text = printed(drop)

    for what in ("rejected", "unresolved"):
        shown = text.count(f"{what}: ")
        assert 0 < shown < 9
        assert f"and {9 - shown} more {what} rows; --json lists them" in text
    document = json.loads(check(drop, "--json").stdout)
    assert (len(document["rejects"]), len(document["unresolved"])) == (9, 9)


def test_too_many_unresolved_rows_are_told_in_place_of_a_good_verdict(drop: Drop) -> None:
    fill(drop, unresolved=20)

    result = check(drop)

    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    doubt = "rejects.over_limit unless these parents stand in an earlier load"
    assert f"would be rejected with {doubt}" in text
    assert "would be taken" not in text


@pytest.mark.parametrize(
    ("rejected", "unresolved"),
    [(9, 0), (0, 9), (9, 9), (0, 20), (20, 0), (20, 20), (9, 20), (20, 1)],
)
def test_whatever_there_is_to_list_a_screen_is_not_passed(
    rejected: int, unresolved: int, drop: Drop
) -> None:
    fill(drop, rejected=rejected, unresolved=unresolved)

    assert len(check(drop).stdout.splitlines()) <= LINES_OF_A_SCREEN


def test_rows_beyond_what_is_kept_are_counted_exactly_on_one_screen(drop: Drop) -> None:
    many = MOST_REJECTS_KEPT + 5
    fill(drop, rejected=many, unresolved=many)

    result = check(drop)

    for what in ("rejected", "unresolved"):
        shown = result.stdout.count(f"{what}: ")
        kept = f"--json lists the first {MOST_REJECTS_KEPT:,} of each file"
        assert f"and {many - shown:,} more {what} rows; {kept}" in result.stdout
    assert result.stdout.count(f"{many:,}") == 2
    assert len(result.stdout.splitlines()) <= LINES_OF_A_SCREEN
    document = json.loads(check(drop, "--json").stdout)
    for entity, name, counted in (
        ("customers", "rejects", "rejected"),
        ("vehicles", "unresolved", "unresolved"),
    ):
        assert document["entities"][entity][counted] == many
        assert len(document[name]) == MOST_REJECTS_KEPT
