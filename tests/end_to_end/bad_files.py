"""Lines 20 to 33: files that are no good, and files that only look odd."""

import gzip
import hashlib
import json
from collections.abc import Callable
from functools import partial

from tests.drops import HEADERS, Drop
from tests.end_to_end.bad_inputs import Bend, Case, bent

HEADER = HEADERS["customers"].encode() + b"\n"
ADA, BOB, EVE = (f"{name[0]},{name},,,,,,,,,,\n".encode() for name in ("Ada", "Bob", "Eve"))
CUSTOMERS = HEADER + ADA + BOB + EVE
FILE = "customers.csv"
KEY = "source_customer_id"
MOST_FIELD_BYTES = 65_536


def holding(data: bytes, rows: int, bend: Bend) -> Callable[[Drop], bytes]:
    """A customers.csv of these bytes, nothing in the other files, and a manifest that says so."""

    def pack(drop: Drop) -> bytes:
        drop.files = dict(Drop.of({}).files)
        manifest = drop.manifest()
        drop.files[FILE] = data
        sha256 = hashlib.sha256(data).hexdigest()
        manifest["files"][0].update(rows=rows, sha256=sha256)
        bend(manifest)
        return json.dumps(manifest).encode()

    return pack


def customers(
    line: int,
    what: str,
    code: str,
    data: bytes,
    *says: str,
    row: int | None = None,
    column: str | None = None,
    rows: int = 3,
    bend: Bend = lambda _manifest: None,
) -> Case:
    """A customers.csv of these bytes; its manifest is true of them but for `bend`."""
    return Case(line, what, holding(data, rows, bend), code, FILE, row, column, (FILE, *says))


def name(line: int, what: str, code: str, text: bytes, *says: str) -> Case:
    """A first_name of row 2 that is no good."""
    data = CUSTOMERS.replace(b"Bob", text)
    return customers(line, what, code, data, "row 2", *says, row=2, column="first_name")


def header(what: str, line: bytes, column: str | None, *says: str) -> Case:
    """A header that is not the contract's."""
    data = line + ADA + BOB + EVE
    return customers(24, what, "file.header_mismatch", data, *says, column=column)


def crlf(data: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


CHECKSUMS = [
    customers(
        20,
        "another hash",
        "file.checksum_mismatch",
        CUSTOMERS,
        "1" * 64,
        hashlib.sha256(CUSTOMERS).hexdigest(),
        bend=lambda manifest: manifest["files"][0].update(sha256="1" * 64),
    ),
    customers(
        20,
        "cut in mid record",
        "file.checksum_mismatch",
        CUSTOMERS[:-20],
        hashlib.sha256(CUSTOMERS).hexdigest(),
        hashlib.sha256(CUSTOMERS[:-20]).hexdigest(),
        bend=lambda manifest: manifest["files"][0].update(
            sha256=hashlib.sha256(CUSTOMERS).hexdigest()
        ),
    ),
]
COUNT = "file.row_count_mismatch"
COUNTS = [
    customers(23, "a row less", COUNT, CUSTOMERS, "has 3 data rows", "says 4", rows=4),
    customers(23, "a row more", COUNT, CUSTOMERS, "has 3 data rows", "says 2", rows=2),
    customers(23, "no row", COUNT, HEADER, "has 0 data rows", "says 1", rows=1),
]
NO_HEADER = "file.header_missing"
HEADERS_WRONG = [
    customers(24, "0 bytes", NO_HEADER, b"", "the file is empty", rows=0),
    customers(24, "first line empty", NO_HEADER, b"\n" + CUSTOMERS, "the first line is empty"),
    header(
        "renamed", HEADER.replace(b"first_", b"fore"), "first_name", "column 2 is no column name"
    ),
    header("other case", HEADER.replace(b"email", b"Email"), "email", "column 5", "'Email'"),
    header(
        "reordered",
        HEADER.replace(b"first_name,last_name", b"last_name,first_name"),
        "first_name",
        "column 2 is 'last_name'",
    ),
    header("doubled", HEADER.replace(b"city,", b"city,city,"), "region", "column 10 is 'city'"),
    header("semicolons", HEADER.replace(b",", b";"), KEY, "column 1", "separated by ';'"),
    header("tabs", HEADER.replace(b",", b"\t"), KEY, "column 1", r"separated by '\t'"),
    header("column less", HEADER.replace(b",country", b""), "country", "column 12 is missing"),
    header("column more", HEADER.replace(b"country", b"country,note"), None, "no column name"),
    header("missing", b"", KEY, "column 1 is no column name", "is the header missing"),
    header("spaces", HEADER.replace(b",", b", "), "first_name", "column 2 is ' first_name'"),
]
LINES_WRONG = [
    customers(26, "byte order mark", "csv.bom", b"\xef\xbb\xbf" + CUSTOMERS, "byte order mark"),
    name(26, "NUL", "csv.control_character", b"B\0b", "0x00"),
    name(26, "NUL in quotes", "csv.control_character", b'"B\0b"', "0x00"),
    name(26, "bell", "csv.control_character", b"B\x07b", "0x07"),
    name(26, "tab", "csv.control_character", b"B\tb", "0x09"),
    name(26, "CR in a field", "csv.line_ending", b"B\rb", "CR"),
    customers(
        26,
        "CR throughout",
        "csv.line_ending",
        CUSTOMERS.replace(b"\n", b"\r"),
        "header line",
        "CR",
        column="country",
    ),
    customers(
        26,
        "LF among CRLF",
        "csv.line_ending",
        crlf(HEADER + ADA) + BOB + crlf(EVE),
        *("row 2", "LF", "CRLF"),
        row=2,
        column="country",
    ),
    customers(
        26,
        "CRLF among LF",
        "csv.line_ending",
        HEADER + ADA + crlf(BOB) + EVE,
        *("row 2", "CR", "LF"),
        row=2,
        column="country",
    ),
    customers(
        26, "CR at the end", "csv.line_ending", crlf(CUSTOMERS)[:-1], row=3, column="country"
    ),
    customers(26, "blank line", "csv.blank_line", HEADER + ADA + b"\n" + BOB + EVE, row=2),
    customers(
        26, "blank line among CRLF", "csv.blank_line", crlf(HEADER + ADA + b"\n" + BOB), row=2
    ),
    customers(26, "blank last line", "csv.blank_line", CUSTOMERS + b"\n", "row 4", row=4),
]
COUNT_OF_FIELDS, QUOTING = "csv.field_count", "csv.quoting"
SHAPES = [
    customers(
        28,
        "too few",
        COUNT_OF_FIELDS,
        HEADER + ADA + b"B,Bob\n" + EVE,
        *("row 2", "12 fields expected", "2 found"),
        row=2,
    ),
    customers(
        28,
        "too many",
        COUNT_OF_FIELDS,
        HEADER + ADA + BOB.replace(b"\n", b",\n") + EVE,
        *("row 2", "12 fields expected", "13 found"),
        row=2,
    ),
    customers(
        28,
        "comma without quotes",
        COUNT_OF_FIELDS,
        CUSTOMERS.replace(b"Bob", b"Bob, jr."),
        *("row 2", "12 fields expected", "13 found"),
        row=2,
    ),
    name(29, "never closed", QUOTING, b'"Bob', "before the quote is closed"),
    name(29, "text after a quote", QUOTING, b'"Bob"by', "closing quote"),
    name(29, "bare quote", QUOTING, b'5" Bob', "not quoted"),
    name(29, "backslash for a quote", QUOTING, rb'"5\" Bob"', "closing quote"),
]
OFFSET = len(HEADER + ADA) + 2  # where the first_name of row 2 begins
ENCODINGS = [
    *(
        name(30, what, "csv.encoding", b"B" + data, f"byte offset {OFFSET + 1} ", shown)
        for what, data, shown in (
            ("Latin-1", b"\xe9", "0xe9"),
            ("overlong", b"\xc0\xaf", "0xc0"),
            ("cut", b"\xe2\x82", "0xe2"),
            ("surrogate", b"\xed\xa0\x80", "0xed"),
            ("above Unicode", b"\xf4\x90\x80\x80", "0xf4"),
        )
    ),
    customers(
        30,
        "cut at the end",
        "csv.encoding",
        CUSTOMERS[:-1] + "🚗".encode()[:3],
        *("row 3", f"byte offset {len(CUSTOMERS) - 1} "),
        row=3,
        column="country",
    ),
    customers(
        30,
        "UTF-16",
        "csv.encoding",
        CUSTOMERS.decode().encode("utf-16"),
        *("header line", "0xff", "UTF-16"),
        column=KEY,
    ),
]
LARGE = "csv.field_too_large"
SIZES = [
    name(31, "65537 bytes", LARGE, b"x" * (MOST_FIELD_BYTES + 1), "65,536"),
    name(31, "65537 in quotes", LARGE, b'"%b"' % (b"x" * (MOST_FIELD_BYTES + 1)), "65,536"),
    name(31, "65537 quotes", LARGE, b'"%b"' % (b'""' * (MOST_FIELD_BYTES + 1)), "65,536"),
    name(31, "200 KB", LARGE, b"x" * 200_000, "65,536"),
    name(31, "quote open for 200 KB", LARGE, b'"' + b"x,\n" * 70_000, "65,536"),
    customers(
        31,
        "200000 commas",
        COUNT_OF_FIELDS,
        HEADER + ADA + b"," * 200_000 + b"\n",
        *("row 2", "12 fields expected", "more than 1,000 found"),
        row=2,
    ),
]
ENCODED = "file.content_encoding"
COMPRESSED = [
    customers(32, "gzip", ENCODED, gzip.compress(CUSTOMERS, mtime=0), "gzip"),
    Case(
        32,
        "contentEncoding",
        bent(),
        ENCODED,
        "invoices.csv",
        says=("invoices.csv", "'gzip'"),
        encoded="invoices.csv",
        is_known_offline=False,
    ),
]


def total(what: str, column: str, amount: str, *says: str) -> Case:
    """A control total of invoices.csv whose three rows have a total of 1.50 each."""
    bend = partial(_with_total, column=column, amount=amount)
    code = "file.total_mismatch" if says else None
    file, place = ("invoices.csv", column) if says else (None, None)
    return Case(33, what, bent(bend), code, file, column=place, says=says)


def _with_total(manifest: dict[str, object], *, column: str, amount: str) -> None:
    files = manifest["files"]
    assert isinstance(files, list)
    files[2]["totals"] = {column: amount}


TOTALS = [
    total("a cent more", "total", "4.51", "total adds up to 4.50", "the manifest says 4.51"),
    total("a cent less", "total", "4.49", "total adds up to 4.50", "the manifest says 4.49"),
    total("exact", "total", "4.5"),
]


TEXTS = {  # a last_name as it is delivered: as it is spelled in the file
    "a, b": '"a, b"',
    "two\nlines": '"two\nlines"',
    "two\r\nlines": '"two\r\nlines"',
    "two\rlines": '"two\rlines"',
    "back\\": '"back\\"',
    'a "b"': '"a ""b"""',
    "NULL": "NULL",
    "null": '"null"',
    r"\N": r"\N",
    "🚗👩\u200d👩\u200d👧": "🚗👩\u200d👩\u200d👧",
    "line\u2028separator": "line\u2028separator",
    "next\x85line": "next\x85line",
}
SPELLED = [f"{number},Ada,{text},,,,,,,,," for number, text in enumerate(TEXTS.values())]


def kept(line: int, what: str, data: bytes, *texts: str | None) -> Case:
    """A file that is accepted, with the last names that it brings."""
    pack = holding(data, len(texts), lambda _manifest: None)
    return Case(line, what, pack, keeps={("customers", "last_name"): texts})


def lines(*records: str, end: str) -> bytes:
    return "".join(record + end for record in records).encode()


ODD = [
    kept(25, "header and no rows", HEADER),
    kept(25, "header without line break", HEADER[:-1]),
    kept(27, "texts with LF", lines(HEADERS["customers"], *SPELLED, end="\n"), *TEXTS),
    kept(27, "texts with CRLF", lines(HEADERS["customers"], *SPELLED, end="\r\n"), *TEXTS),
    kept(27, "no final line break", CUSTOMERS[:-1], None, None, None),
    kept(27, "no value", HEADER + b'A,,,,,,,,,,,\nB,,"",,,,,,,,,\n', None, None),
]
FILES = [
    *(*CHECKSUMS, *COUNTS, *HEADERS_WRONG, *LINES_WRONG, *SHAPES, *ENCODINGS, *SIZES),
    *(*COMPRESSED, *TOTALS, *ODD),
]
