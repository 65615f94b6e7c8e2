"""The CSV reader against an independent one, for any bytes and any cut into chunks."""

import csv
import io
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.csv_records import (
    MAX_FIELD_BYTES,
    RecordReader,
    canonical_lines,
    encode_record,
    fields_of,
)
from shared.errors import Rejected

HEADER = ("id", "name", "note")

Verdict = list[bytes] | tuple[str, int | None]


def verdict(chunks: list[bytes]) -> tuple[Verdict, str]:
    """The records, or the failure's code and row; and the failure's whole text."""
    reader = RecordReader("customers.csv", HEADER)
    try:
        records = [record for chunk in chunks for record in reader.feed(chunk)]
        return records + reader.finish(), ""
    except Rejected as rejected:
        failure = rejected.failure
        return (failure.code, failure.row), f"{failure.column}: {failure.message}"


# --- the contract's sentences about CSV, character by character, in no hurry -------------------


class Refused(Exception):  # noqa: N818 - the reference's verdict, by its code
    pass


def reference(data: bytes) -> Verdict:
    try:
        text, is_whole = data.decode(), True
    except UnicodeDecodeError as error:
        text, is_whole = data[: error.start].decode(), False
    if text.startswith("\ufeff"):
        return ("csv.bom", None)
    lines: list[str] = []
    start, ending = 0, ""
    while not lines or start < len(text) or not is_whole:
        try:
            end, after = line_at(text, start, ending, is_whole=is_whole, is_header=not lines)
        except Refused as refused:
            return (str(refused), len(lines) or None)
        lines.append(text[start:end])
        ending, start = text[end:after], after
    return [line.encode() for line in lines[1:]]


def line_at(
    text: str, start: int, ending: str, *, is_whole: bool, is_header: bool
) -> tuple[int, int]:
    """Where the line that starts there ends, and where the next one starts."""
    wrong_count = "file.header_mismatch" if is_header else "csv.field_count"
    commas, index = 0, start
    while True:
        try:
            end, content = field_at(text, index, is_whole=is_whole, is_header=is_header)
            found = separator_at(text, end, ending)
        except Refused:
            if commas >= len(HEADER):
                raise Refused(wrong_count) from None
            raise
        if start == end and found != ",":
            raise Refused("file.header_missing" if is_header else "csv.blank_line")
        if is_header and content != dict(enumerate(HEADER)).get(commas):
            raise Refused("file.header_mismatch")
        if found != ",":
            break
        commas, index = commas + 1, end + 1
    if commas + 1 != len(HEADER):
        raise Refused(wrong_count)
    return end, end + len(found)


def separator_at(text: str, end: int, ending: str) -> str:
    pair = text[end : end + 2]
    found = pair if pair == "\r\n" else pair[:1]
    if found == "\r" or (found in {"\n", "\r\n"} and ending not in {"", found}):
        raise Refused("csv.line_ending")
    return found


def field_at(text: str, start: int, *, is_whole: bool, is_header: bool) -> tuple[int, str]:
    """Where the field that starts there ends, and its content."""
    is_quoted = text[start : start + 1] == '"'
    index, content, size = start + is_quoted, [""], 0
    while index < len(text):
        here, after = text[index], text[index + 1 : index + 2]
        if is_quoted and here == '"' and after != '"':
            break
        if not is_quoted and here in ",\r\n":
            return index, "".join(content)
        if here == "\0" or (not is_quoted and is_control(here, is_header=is_header)):
            raise Refused("csv.control_character")
        if not is_quoted and here == '"':
            raise Refused("csv.quoting")
        content.append(here)
        size += len(here.encode())
        if size > MAX_FIELD_BYTES:
            raise Refused("csv.field_too_large")
        index += 2 if here == '"' else 1
    if index == len(text) and not is_whole:
        raise Refused("csv.encoding")
    if not is_quoted:
        return index, "".join(content)
    if index == len(text):
        raise Refused("csv.quoting")
    return behind_closing_quote(text, index, is_whole, is_header), "".join(content)


def behind_closing_quote(text: str, index: int, is_whole: bool, is_header: bool) -> int:
    after = text[index + 1 : index + 2]
    if not after and not is_whole:
        raise Refused("csv.encoding")
    if after and after not in ",\r\n":
        is_wrong_byte = is_control(after, is_header=is_header)
        raise Refused("csv.control_character" if is_wrong_byte else "csv.quoting")
    return index + 1


def is_control(character: str, *, is_header: bool) -> bool:
    code = ord(character)
    return (code < 32 or code == 127) and not (character == "\t" and is_header)


# --- what is fed -------------------------------------------------------------------------------

PIECES = [
    *(b"a", b"b c", b"1", b",", b",", b'"', b'"', b'""', b"\n", b"\r\n", b"\r", b"\t", b"\0"),
    *(b"NULL", b"\\", b"\x7f", "é".encode(), "😀".encode(), b"\xe9", b"\xc3", b"\xed\xa0\x80"),
    *(b"\xef\xbb\xbf", b"\xff\xfe"),
    *(b"1,a,b\n", b'2,"x ""y""",z\n', b"1,a,b\r\n", b'"a\nb",,\r\n', b"id,name,note\n"),
]
LARGE_PIECES = [
    *(b"x" * (MAX_FIELD_BYTES - 1), b"y," * 400, b'""' * (MAX_FIELD_BYTES // 2)),
    *("é".encode() * (MAX_FIELD_BYTES // 2), b"x", b'"', b",", b"\n", "é".encode(), b"\xe9"),
]
STARTS = [
    b"id,name,note\n",
    b"id,name,note\r\n",
    b'"id",name,"note"\n',
    b"id,name",
    b"",
    b"\xef\xbb\xbf",
]


def some_bytes(pieces: list[bytes], most: int) -> st.SearchStrategy[bytes]:
    parts = st.lists(st.sampled_from(pieces), max_size=most)
    return st.builds(
        lambda start, rest: start + b"".join(rest), st.sampled_from(STARTS), parts
    ) | st.binary(max_size=20)


@st.composite
def cut(draw: st.DrawFn, data: st.SearchStrategy[bytes]) -> list[bytes]:
    """The bytes as chunks of any sizes, empty ones too."""
    whole = draw(data)
    places = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    return [whole[start:end] for start, end in pairwise([0, *places, len(whole)])]


def bytewise(data: bytes) -> list[bytes]:
    return [data[position : position + 1] for position in range(len(data))]


TEXTS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    | st.sampled_from('",\r\n\t\\\x7f\x85\u2028 ')
) | st.sampled_from(["NULL", "\\N", ""])
ROWS = st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=6)


@st.composite
def files_of(draw: st.DrawFn, rows: list[tuple[str, str, str]]) -> bytes:
    """The rows in any spelling that the dialect allows."""
    ending = draw(st.sampled_from(["\n", "\r\n"]))
    lines = [encode_record(HEADER)]
    for row in rows:
        quote_more = draw(st.tuples(*[st.booleans()] * len(HEADER)))
        spelled = [
            '"' + text.replace('"', '""') + '"' if quote else encode_record([text])
            for text, quote in zip(row, quote_more, strict=True)
        ]
        lines.append(",".join(spelled))
    return (ending.join(lines) + draw(st.sampled_from(["", ending]))).encode()


def as_mysql_reads(lines: str) -> list[list[str | None]]:
    """The fields as LOAD DATA takes them: the bare word NULL is no value."""
    rows: list[list[str | None]] = []
    row: list[str | None] = []
    start = 0
    while start < len(lines):
        end, content = field_at(lines, start, is_whole=True, is_header=False)
        row.append(None if lines[start:end] == "NULL" else content)
        if lines[end] == "\n":
            rows.append(row)
            row = []
        start = end + 1
    return rows


# --- properties --------------------------------------------------------------------------------


@settings(max_examples=600, deadline=None)
@given(cut(some_bytes(PIECES, 12)))
@example([b"id,name,note\r", b"\n1,a,b\r", b"\xe2"])
@example([b"id,name,note\n1,a,\xed", b"\xa0\x80"])
@example([b"id,name,note\n1,a,", b"\xef\xbb\xbf\n"])
def test_the_verdict_does_not_depend_on_the_chunks(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    assert verdict(chunks) == verdict([whole]) == verdict(bytewise(whole))


@settings(max_examples=1000, deadline=None)
@given(some_bytes(PIECES, 12))
def test_the_verdict_is_the_reference_parsers(data: bytes) -> None:
    assert verdict([data])[0] == reference(data)


@settings(max_examples=60, deadline=None)
@given(cut(some_bytes(LARGE_PIECES, 8)))
def test_both_hold_around_the_size_limit(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    assert verdict(chunks) == verdict([whole])
    assert verdict([whole])[0] == reference(whole)


@settings(max_examples=300, deadline=None)
@given(st.data(), ROWS)
def test_every_spelling_of_every_text_is_read_back(
    data: st.DataObject, rows: list[tuple[str, str, str]]
) -> None:
    file = data.draw(files_of(rows))
    records = verdict(data.draw(cut(st.just(file))))[0]
    assert isinstance(records, list)
    assert [tuple(fields_of(record)) for record in records] == rows
    by_python = csv.reader(io.StringIO(file.decode(), newline=""), strict=True)
    assert [tuple(fields) for fields in by_python] == [HEADER, *rows]


@settings(max_examples=300, deadline=None)
@given(st.data(), ROWS, st.integers(1, 2**40))
def test_mysql_reads_the_same_texts_from_canonical_lines(
    data: st.DataObject, rows: list[tuple[str, str, str]], first_row_no: int
) -> None:
    records = verdict([data.draw(files_of(rows))])[0]
    assert isinstance(records, list)
    numbered = enumerate(records, first_row_no)
    lines = canonical_lines(b"%d,%b\n" % line for line in numbered).decode()
    assert as_mysql_reads(lines) == [
        [str(row_no), *row] for row_no, row in enumerate(rows, first_row_no)
    ]
