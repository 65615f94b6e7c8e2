"""Every file that is no good: what the pipeline and the offline check make of it."""

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from shared.csv_records import MAX_FIELD_BYTES
from tests.drops import HEADERS, Drop
from tests.verdicts import Outcome, assert_rejected, take_all

HEADER = HEADERS["customers"].encode() + b"\n"
ADA, BOB, EVE = (f"{name[0]},{name},,,,,,,,,,\n".encode() for name in ("Ada", "Bob", "Eve"))
CUSTOMERS = HEADER + ADA + BOB + EVE
AMOUNTS = ("1.10", "20.20", "-0.05", "3.333")  # the last row is rejected: three decimals

Bend = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Case:
    """A drop whose customers.csv holds these bytes, with a manifest that is true of them.

    Attributes:
        rows: as the manifest counts them.
        row, column: where the failure says that the fault is.
        says: what its message must say.
        bend: what else is wrong with the manifest.
    """

    name: str
    code: str
    data: bytes
    row: int | None = None
    column: str | None = None
    says: tuple[str, ...] = ()
    rows: int = 3
    bend: Bend = lambda _manifest: None

    def drop(self) -> Drop:
        """The drop; only customers.csv has rows."""
        drop = Drop.of({}, load_id=self.name, partner=self.name)
        drop.files["customers.csv"] = self.data
        return drop

    def manifest(self) -> bytes:
        drop = Drop.of({}, load_id=self.name, partner=self.name)
        manifest = drop.manifest()
        sha256 = hashlib.sha256(self.data).hexdigest()
        manifest["files"][0].update(rows=self.rows, sha256=sha256)
        self.bend(manifest)
        return json.dumps(manifest).encode()


def first(field: bytes) -> bytes:
    """The file with another first_name in its second row."""
    return HEADER + ADA + BOB.replace(b"Bob", field) + EVE


def field(name: str, code: str, data: bytes, *says: str) -> Case:
    """A fault in the first_name of row 2."""
    return Case(name, code, first(data), row=2, column="first_name", says=says)


def header(name: str, data: bytes, column: str | None, *says: str) -> Case:
    """A header that is not the contract's."""
    rest = ADA + BOB + EVE
    return Case(name, "file.header_mismatch", data + rest, column=column, says=says)


def crlf(data: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


CHECKSUM = Case(
    "checksum",
    "file.checksum_mismatch",
    CUSTOMERS,
    says=("1" * 64, hashlib.sha256(CUSTOMERS).hexdigest()),
    bend=lambda manifest: manifest["files"][0].update(sha256="1" * 64),
)
COUNTS = [
    Case("rows-fewer", "file.row_count_mismatch", CUSTOMERS, says=("3 ", "4"), rows=4),
    Case("rows-more", "file.row_count_mismatch", CUSTOMERS, says=("3 ", "2"), rows=2),
    Case("rows-none", "file.row_count_mismatch", HEADER, says=("0 ", "1"), rows=1),
]
HEADERS_WRONG = [
    Case("no-bytes", "file.header_missing", b"", says=("empty",), rows=0),
    Case("first-line-empty", "file.header_missing", b"\n" + CUSTOMERS, says=("empty",)),
    header("renamed", HEADER.replace(b"first_", b"fore"), "first_name", "column 2", "'forename'"),
    header("other-case", HEADER.replace(b"email", b"Email"), "email", "column 5", "'Email'"),
    header(
        "reordered",
        HEADER.replace(b"first_name,last_name", b"last_name,first_name"),
        "first_name",
        "column 2",
    ),
    header("doubled", HEADER.replace(b"city,", b"city,city,"), "region", "column 10", "'city'"),
    header("semicolons", HEADER.replace(b",", b";"), "source_customer_id", "column 1"),
    header("tabs", HEADER.replace(b",", b"\t"), "source_customer_id", "column 1"),
    header("one-less", HEADER.replace(b",country", b""), "country", "column 12", "missing"),
    header("one-more", HEADER.replace(b"country", b"country,note"), None, "'country'", "'note'"),
    header("spaces", HEADER.replace(b",", b", "), "first_name", "' first_name'"),
]
LINES = [
    Case("bom", "csv.bom", b"\xef\xbb\xbf" + CUSTOMERS),
    field("nul", "csv.control_character", b"B\0b", "0x00"),
    field("nul-in-quotes", "csv.control_character", b'"B\0b"', "0x00"),
    field("bell", "csv.control_character", b"B\x07b", "0x07"),
    field("delete", "csv.control_character", b"Bob\x7f", "0x7f"),
    field("tab", "csv.control_character", b"B\tb", "0x09"),
    field("cr-in-a-field", "csv.line_ending", b"B\rb", "CR"),
    Case(
        "cr-only",
        "csv.line_ending",
        CUSTOMERS.replace(b"\n", b"\r"),
        column="country",
        says=("CR",),
    ),
    Case(
        "lf-among-crlf",
        "csv.line_ending",
        crlf(HEADER + ADA) + BOB + crlf(EVE),
        row=2,
        column="country",
        says=("LF", "CRLF"),
    ),
    Case(
        "crlf-among-lf",
        "csv.line_ending",
        HEADER + ADA + crlf(BOB) + EVE,
        row=2,
        column="country",
        says=("CR", "LF"),
    ),
    Case("cr-at-the-end", "csv.line_ending", crlf(CUSTOMERS)[:-1], row=3, column="country"),
    Case("blank-line", "csv.blank_line", HEADER + ADA + b"\n" + BOB + EVE, row=2),
    Case("blank-line-crlf", "csv.blank_line", crlf(HEADER + ADA + b"\n" + BOB + EVE), row=2),
    Case("blank-last-line", "csv.blank_line", CUSTOMERS + b"\n", row=4),
]
SHAPES = [
    Case(
        "too-few-fields",
        "csv.field_count",
        HEADER + ADA + b"B,Bob\n" + EVE,
        row=2,
        says=("row 2", "12 ", "2 "),
    ),
    Case(
        "too-many-fields",
        "csv.field_count",
        HEADER + ADA + BOB.replace(b"\n", b",\n") + EVE,
        row=2,
        says=("row 2", "12 ", "13 "),
    ),
    Case("unquoted-comma", "csv.field_count", first(b"Bob, jr."), row=2, says=("12 ", "13 ")),
    Case(
        "a-million-commas",
        "csv.field_count",
        HEADER + ADA + b"," * 1_000_000 + b"\n",
        row=2,
        says=("12 ", "more than 1,000 "),
    ),
    field("quote-never-closed", "csv.quoting", b'"Bob', "row 2", "before the quote is closed"),
    field("text-after-quote", "csv.quoting", b'"Bob"by', "row 2", "closing quote"),
    field("space-after-quote", "csv.quoting", b'"Bob" ', "row 2", "closing quote"),
    field("bare-quote", "csv.quoting", b'5" Bob', "row 2", "not quoted"),
    field("backslash-quote", "csv.quoting", rb'"5\" Bob"', "row 2", "closing quote"),
]
OFFSET = len(HEADER + ADA) + 2  # where the first_name of row 2 begins
ENCODINGS = [
    field(name, "csv.encoding", b"B" + data, "row 2", f"byte offset {OFFSET + 1} ", shown)
    for name, data, shown in (
        ("latin-1", b"\xe9", "0xe9"),
        ("overlong", b"\xc0\xaf", "0xc0"),
        ("overlong-in-quotes", b"\xe0\x80\xaf", "0xe0"),
        ("cut-character", b"\xe2\x82", "0xe2"),
        ("surrogate", b"\xed\xa0\x80", "0xed"),
        ("surrogate-pair", b"\xed\xa0\xbd\xed\xb8\x80", "0xed"),
        ("above-unicode", b"\xf4\x90\x80\x80", "0xf4"),
        ("five-bytes", b"\xf8\x88\x80\x80\x80", "0xf8"),
    )
] + [
    Case(
        "cut-at-the-end",
        "csv.encoding",
        CUSTOMERS[:-1] + "🚗".encode()[:3],
        row=3,
        column="country",
        says=("row 3", f"byte offset {len(CUSTOMERS) - 1} "),
    ),
    Case(
        "utf-16",
        "csv.encoding",
        CUSTOMERS.decode().encode("utf-16"),
        column="source_customer_id",
        says=("0xff", "UTF-16"),
    ),
]
TOO_LARGE = "csv.field_too_large"
SIZES = [
    field("65537-bytes", TOO_LARGE, b"x" * (MAX_FIELD_BYTES + 1), "65,536"),
    field("65537-in-quotes", TOO_LARGE, b'"' + b"x" * (MAX_FIELD_BYTES + 1) + b'"', "65,536"),
    field("65537-quotes", TOO_LARGE, b'"' + b'""' * (MAX_FIELD_BYTES + 1) + b'"', "65,536"),
    field("65538-bytes-of-e", TOO_LARGE, "é".encode() * (MAX_FIELD_BYTES // 2 + 1), "65,536"),
    field("open-quote-of-4-mb", TOO_LARGE, b'"' + b"x,\n" * 1_333_333, "65,536"),
    field("4-mb", TOO_LARGE, b"x" * 4_000_000, "65,536"),
]
GZIP = Case(
    "gzip", "file.content_encoding", gzip.compress(CUSTOMERS, mtime=0), says=("customers.csv",)
)
BAD = [CHECKSUM, *COUNTS, *HEADERS_WRONG, *LINES, *SHAPES, *ENCODINGS, *SIZES, GZIP]


@pytest.fixture(scope="module")
def outcomes(mysql_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    drops = [(case.drop(), case.manifest()) for case in BAD]
    return take_all(mysql_server_url, tmp_path_factory.mktemp("bucket"), drops)


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in BAD}) == len(BAD)


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_a_bad_file_fails_its_load_and_the_message_says_where_and_why(
    case: Case, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[case.name]
    assert_rejected(outcome, case.code)
    failure = outcome.failure
    place = ("customers.csv", case.row, case.column)
    assert (failure["file"], failure["row"], failure["column"]) == place
    for words in ("customers.csv", *case.says):
        assert words in failure["message"]
    assert len(failure["message"]) < 300
    assert outcome.count("customers", "manifest") == case.rows
    assert outcome.count("customers", "staged") is None


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_the_offline_check_gives_a_bad_file_the_same_verdict(
    case: Case, outcomes: dict[str, Outcome]
) -> None:
    assert outcomes[case.name].offline_failure == outcomes[case.name].failure
