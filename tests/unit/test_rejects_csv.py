"""rejects.csv: nothing in it is evaluated, and the exact text can be had back."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reporter.rejects_csv import COLUMNS, as_text, encode_header, encode_rejects

SIGNS = "=+-@＝＋－＠"  # noqa: RUF001 - look-alikes
HOSTILE = st.text(st.sampled_from([*SIGNS, *"\t\r\n' \";,|aé🚗\v"]), max_size=20)


def file_with(raw: str) -> bytes:
    reject = {
        "row_no": 7,
        "column_name": "country",
        "code": "row.too_long",
        "message": "country has 3 characters",
        "raw": raw,
    }
    return encode_header() + encode_rejects("customers.csv", [reject])


def cells(data: bytes, delimiter: str = ",") -> list[list[str]]:
    text = io.StringIO(data.decode("utf-8-sig"), newline="")
    return list(csv.reader(text, delimiter=delimiter))


def exact(cell: str) -> str:
    """What the contract's page says: one apostrophe off, wherever a cell could begin."""
    return re.sub(r"(^|[;\t\r\n])'", r"\1", cell)


def test_a_file_is_utf_8_with_a_byte_order_mark_and_ends_its_lines_with_cr_and_lf() -> None:
    data = file_with("C1,Zoë")
    assert data.startswith(b"\xef\xbb\xbf")
    assert cells(data) == [
        list(COLUMNS),
        ["customers.csv", "7", "country", "row.too_long", "country has 3 characters", "C1,Zoë"],
    ]
    assert data.count(b"\r\n") == data.count(b"\n") == 2


def test_a_reason_without_a_column_leaves_its_cell_empty() -> None:
    rejects = [{"row_no": 1, "column_name": None, "code": "c", "message": "m", "raw": "r"}]
    assert cells(encode_rejects("customers.csv", rejects)) == [
        ["customers.csv", "1", "", "c", "m", "r"]
    ]


@pytest.mark.parametrize("start", [*SIGNS, "\t", "\r", "\n", " ", "\xa0", '"'])
def test_a_cell_that_a_spreadsheet_would_evaluate_becomes_text(start: str) -> None:
    assert as_text(f"{start}=cmd|' /C calc'!A0").startswith("'")


@pytest.mark.parametrize(
    "text", ["C1,=cmd()", "1-2", "a@b.example", "O'Hara", "", "3+4=7", '"a;b",c']
)
def test_a_cell_that_no_spreadsheet_evaluates_is_as_it_was_delivered(text: str) -> None:
    assert as_text(text) == text


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        (" =1", "' =1"),
        ("C1;=1", "C1;'=1"),
        ("C1;'x", "C1;''x"),
        ("'=1", "''=1"),
        ('"a\n+1",b', '"a\n\'+1",b'),
        ('"=1,2",b', '\'"=1,2",b'),
    ],
)
def test_an_apostrophe_stands_wherever_a_formula_could_begin(text: str, safe: str) -> None:
    assert as_text(text) == safe


@given(raw=HOSTILE)
def test_no_cell_is_evaluated_whatever_separates_cells(raw: str) -> None:
    for delimiter in ",;\t":
        for line in cells(file_with(raw), delimiter):
            for cell in line:
                assert not cell.lstrip().startswith(tuple(SIGNS))


@given(raw=HOSTILE | st.text(st.characters(exclude_categories=["Cs"])))
def test_taking_the_apostrophes_off_gives_the_row_as_it_was_delivered(raw: str) -> None:
    assert exact(cells(file_with(raw))[1][-1]) == raw
