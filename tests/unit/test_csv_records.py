"""The CSV dialect, one rule a test: what is refused, with which code and where; what is taken."""

import re
import tracemalloc

import pytest

from shared.csv_records import (
    MAX_FIELD_BYTES,
    RecordReader,
    fields_of,
)
from shared.errors import Failure, Rejected

HEADER = ("id", "name", "note")
HEAD = b"id,name,note\n"
CRLF_HEAD = b"id,name,note\r\n"


def read(*chunks: bytes) -> list[bytes]:
    reader = RecordReader("customers.csv", HEADER)
    records = [record for chunk in chunks for record in reader.feed(chunk)]
    records += reader.finish()
    assert reader.rows == len(records)
    return records


def failure_of(*chunks: bytes) -> Failure:
    with pytest.raises(Rejected) as caught:
        read(*chunks)
    return caught.value.failure


def refusal(*chunks: bytes) -> tuple[str, int | None, str | None]:
    failure = failure_of(*chunks)
    return failure.code, failure.row, failure.column


# --- accepted ----------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [HEAD, HEAD.rstrip(), CRLF_HEAD, b'"id","name",note\n'])
def test_a_file_with_only_its_header_has_no_rows(data: bytes) -> None:
    assert read(data) == []


def test_the_last_record_needs_no_line_break() -> None:
    assert read(HEAD + b"1,a,b\n2,c,d") == read(HEAD + b"1,a,b\n2,c,d\n") == [b"1,a,b", b"2,c,d"]


def test_a_last_record_may_end_with_an_empty_field_or_a_closing_quote() -> None:
    assert read(HEAD + b"1,a,") == [b"1,a,"]
    assert read(HEAD + b'1,a,"b"') == [b'1,a,"b"']


def test_lines_may_end_with_crlf_throughout() -> None:
    assert read(CRLF_HEAD + b"1,a,b\r\n2,c,d\r\n") == [b"1,a,b", b"2,c,d"]


@pytest.mark.parametrize(
    "text",
    [
        "line\nbreak",
        "line\r\nbreak",
        "line\rbreak",
        "comma, comma",
        'a "quoted" word',
        "a backslash before the closing quote \\",
        '"',
        "tab\tbell\x07del\x7f",
        " spaces ",
    ],
)
def test_a_quoted_field_keeps_its_exact_text(text: str) -> None:
    record = '1,"' + text.replace('"', '""') + '",x'
    assert read(HEAD + record.encode() + b"\n") == [record.encode()]
    assert read(CRLF_HEAD + record.encode() + b"\r\n") == [record.encode()]
    assert fields_of(record.encode()) == ["1", text, "x"]


@pytest.mark.parametrize(
    "text", ["\\", "\\N", "NULL", "😀", "a\u2028b", "a\u0085b", "\ufeff", "e\u0301", "'", " x ", ""]
)
def test_an_unquoted_field_keeps_its_exact_text(text: str) -> None:
    record = f"1,{text},x".encode()
    assert read(HEAD + record + b"\n") == [record]
    assert fields_of(record) == ["1", text, "x"]


def test_a_pair_of_quotes_is_the_empty_field() -> None:
    assert read(HEAD + b'1,"",""\n') == [b'1,"",""']
    assert fields_of(b'1,"",""') == ["1", "", ""]


def test_a_field_may_be_as_large_as_the_limit() -> None:
    plain, doubled = b"x" * MAX_FIELD_BYTES, b'""' * MAX_FIELD_BYTES
    record = plain + b',"' + doubled + b'",' + plain
    assert read(HEAD + record + b"\n2,b,c\n") == [record, b"2,b,c"]


def test_bytes_may_come_one_by_one() -> None:
    data = CRLF_HEAD + '1,"é, ""x""\r\n","😀"\r\n2,,'.encode()
    single = [data[position : position + 1] for position in range(len(data))]
    assert read(*single) == ['1,"é, ""x""\r\n","😀"'.encode(), b"2,,"]


# --- refused: the header -----------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n", b"\n" + HEAD, b"\r\n" + HEAD])
def test_a_file_without_a_first_line_has_no_header(data: bytes) -> None:
    assert refusal(data) == ("file.header_missing", None, None)


NO_COMMAS = "the fields are separated by '%s', not by commas"
NO_NAME = "no column name"
NO_HEADER = "is the header missing, or is this another file?"
TAB = r"\t"


@pytest.mark.parametrize(
    ("header", "column", "shown"),
    [
        ("id,surname,note", "name", f"column 2 is {NO_NAME}, expected 'name'"),
        ("id,note,name", "name", "column 2 is 'note', expected 'name'"),
        ("id,Name,note", "name", "column 2 is 'Name', expected 'name'"),
        ("id,id,name,note", "name", "column 2 is 'id', expected 'name'"),
        ("id,name ,note", "name", "column 2 is 'name ', expected 'name'"),
        ("id;name;note", "id", f"column 1 is {NO_NAME}, expected 'id'; {NO_COMMAS % ';'}"),
        (
            "id\tname\tnote",
            "id",
            f"column 1 is {NO_NAME}, expected 'id'; {NO_COMMAS % TAB}",
        ),
        ("ID|Name|Note", "id", f"column 1 is {NO_NAME}, expected 'id'; {NO_COMMAS % '|'}"),
        ("id;,name,note", "id", f"column 1 is {NO_NAME}, expected 'id'; {NO_HEADER}"),
        ("id,n\u0430me,note", "name", f"column 2 is {NO_NAME}, expected 'name'"),
        ("id,,note", "name", "column 2 is '', expected 'name'"),
        ('id,"na""me",note', "name", f"column 2 is {NO_NAME}, expected 'name'"),
        ("id,name", "note", "column 3 is missing, expected 'note'"),
        ("note,name,id", "id", "column 1 is 'note', expected 'id'"),
        (f"id,name{' ' * 60},note", "name", f"column 2 is 'name{' ' * 60}', expected 'name'"),
        (f"id,name{' ' * 61},note", "name", f"column 2 is {NO_NAME}, expected 'name'"),
    ],
)
@pytest.mark.parametrize("rest", ["", "\n", "\r\n", "\n1,a,b\n"])
def test_a_wrong_header_names_the_first_wrong_column(
    header: str, column: str, shown: str, rest: str
) -> None:
    failure = failure_of((header + rest).encode())
    assert (failure.code, failure.row, failure.column) == ("file.header_mismatch", None, column)
    assert failure.message == f"customers.csv, header line, column {column}: {shown}"


@pytest.mark.parametrize(
    ("rest", "shown"),
    [
        (",id\n", "found 'id'"),
        (",note", "found 'note'"),
        (",x,y\n", f"found {NO_NAME}"),
        (",\n", "found ''"),
        (',"a', "its name is malformed"),
        (",\0", "its name is malformed"),
    ],
)
def test_a_header_must_end_with_its_last_column(rest: str, shown: str) -> None:
    failure = failure_of((",".join(HEADER) + rest).encode())
    assert (failure.code, failure.row) == ("file.header_mismatch", None)
    assert failure.message.endswith(f"must end with column 3, 'note', but goes on: {shown}")


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"ada@example.com,byron,note\n", NO_HEADER),
        (b"byron\n", NO_HEADER),
        (b"ada@example.com;byron;countess\n", NO_COMMAS % ";"),
        (b"ada@example.com\tbyron\tcountess\n2\tb\tc", NO_COMMAS % TAB),
        (b'"ada@example.com ""byron""",x,y', NO_HEADER),
    ],
)
def test_of_a_file_without_a_header_no_value_is_told(data: bytes, cause: str) -> None:
    message = failure_of(data).message
    assert message.endswith(f"column 1 is {NO_NAME}, expected 'id'; {cause}")
    assert not re.search("ada|byron|countess", message)


def test_a_header_may_not_hold_a_nul() -> None:
    assert refusal(b"id,na\0me,note\n") == ("csv.control_character", None, "name")


# --- refused: bytes ----------------------------------------------------------------------------


def test_a_byte_order_mark_is_refused() -> None:
    assert refusal(b"\xef\xbb\xbf" + HEAD) == ("csv.bom", None, None)
    assert refusal(b"\xef", b"\xbb", b"\xbf") == ("csv.bom", None, None)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_utf_16_byte_order_mark_is_the_wrong_encoding(encoding: str) -> None:
    failure = failure_of(("\ufeff" + HEAD.decode()).encode(encoding))
    assert failure.code == "csv.encoding"
    assert "UTF-16" in failure.message


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (b"Ren\xe9e", "Latin-1"),
        (b"Ren\xc0\xaf", "overlong"),
        (b"Ren\xed\xa0\x80", "surrogate"),
        (b"Ren\xe2\x82", "cut"),
        (b"Ren\xf4\x90\x80\x80", "beyond Unicode"),
        (b"Ren\x80", "continuation alone"),
    ],
)
@pytest.mark.parametrize("rest", [b",x\n", b""])
@pytest.mark.parametrize("quote", [b"", b'"'])
def test_what_is_not_utf_8_is_refused_with_row_and_byte(
    name: bytes, what: str, rest: bytes, quote: bytes
) -> None:
    before = HEAD + b"1,a,b\n2," + quote
    failure = failure_of(before + name + quote + rest)
    assert (failure.code, failure.row, failure.column) == ("csv.encoding", 2, "name"), what
    offset = len(before) + 3
    assert f"byte 0x{name[3]:02x} at byte offset {offset} of the file" in failure.message


@pytest.mark.parametrize("quoted", ["{}", '"{}"'])
def test_a_nul_is_refused_even_inside_quotes(quoted: str) -> None:
    failure = failure_of(HEAD + b"1,a,b\n2," + quoted.format("x\0y").encode() + b",z\n")
    assert (failure.code, failure.row, failure.column) == ("csv.control_character", 2, "name")
    assert "0x00" in failure.message


@pytest.mark.parametrize("byte", sorted({*range(1, 32), 127} - {10, 13}))
def test_a_control_character_outside_quotes_is_refused_by_name(byte: int) -> None:
    failure = failure_of(HEAD + b"1,a,x" + bytes([byte]) + b"\n")
    assert (failure.code, failure.row, failure.column) == ("csv.control_character", 1, "note")
    assert f"0x{byte:02x}" in failure.message


@pytest.mark.parametrize("head", [HEAD, CRLF_HEAD])
@pytest.mark.parametrize("record", [b"1,a\rb,c\n", b"\r1,a,b\n", b"1,a,b\r", b"1,a,b\r\r\n"])
def test_a_lone_cr_is_refused(head: bytes, record: bytes) -> None:
    assert refusal(head + record)[:2] == ("csv.line_ending", 1)


def test_a_lone_cr_in_the_header_is_refused() -> None:
    assert refusal(b"id,name,note\r1,a,b\r") == ("csv.line_ending", None, "note")


def test_the_header_decides_the_line_ending() -> None:
    assert refusal(HEAD + b"1,a,b\n2,c,d\r\n") == ("csv.line_ending", 2, "note")
    assert refusal(CRLF_HEAD + b"1,a,b\r\n2,c,d\n") == ("csv.line_ending", 2, "note")


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("rest", ["{0}", "{0}1,a,b{0}", "1,a,b{0}{0}", "1,a,b{0}{0}2,c,d{0}"])
def test_a_blank_line_is_refused_wherever_it_stands(end: bytes, rest: str) -> None:
    data = b"id,name,note" + end + rest.format(end.decode()).encode()
    assert refusal(data) == ("csv.blank_line", 1 + rest.startswith("1"), None)


# --- refused: structure ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ("1", "1"),
        ("1,a", "2"),
        ('""', "1"),
        ("1,a,b,", "4"),
        ("1,a,b,c,d", "5"),
        ('1,a,b,c,"d\n,"', "5"),
        ("1,a,b" + "," * 997, "1,000"),
        ("1,a,b" + "," * 998, "more than 1,000"),
        ("1,a,b,c,d\te", "at least 5"),
        ("1,a,b," + "x" * (MAX_FIELD_BYTES + 1), "at least 4"),
    ],
)
@pytest.mark.parametrize("rest", ["", "\n", "\n3,c,d\n"])
def test_a_wrong_number_of_fields_names_row_and_counts(record: str, found: str, rest: str) -> None:
    failure = failure_of(HEAD + b"1,a,b\n" + record.encode() + rest.encode())
    assert (failure.code, failure.row, failure.column) == ("csv.field_count", 2, None)
    assert failure.message == f"customers.csv, row 2: 3 fields expected, {found} found"


@pytest.mark.parametrize(
    "record",
    [
        b'2,"never closed,b\n3,c,d\n',
        b'2,"a \\"backslash\\" escapes nothing",b\n',
        b'2,"text"after,b\n',
        b'2,"text" ,b\n',
        b'2,"text"\xc3\xa9,b\n',
        b'2,a "bare" quote,b\n',
        b'2, "space before",b\n',
        b'2,"a"b"c",d\n',
    ],
)
def test_quotes_must_follow_rfc_4180(record: bytes) -> None:
    assert refusal(HEAD + b"1,a,b\n" + record) == ("csv.quoting", 2, "name")


@pytest.mark.parametrize(
    "field",
    [
        b"x" * (MAX_FIELD_BYTES + 1),
        b'"' + b"x" * (MAX_FIELD_BYTES + 1) + b'"',
        b'"' + b'""' * (MAX_FIELD_BYTES + 1) + b'"',
        b'"' + b"never closed\n" * MAX_FIELD_BYTES,
        "é".encode() * (MAX_FIELD_BYTES // 2 + 1),
    ],
)
@pytest.mark.parametrize("rest", [b",b\n", b""])
def test_a_field_over_the_limit_is_refused(field: bytes, rest: bytes) -> None:
    data = HEAD + b"1,a,b\n2," + field + rest
    assert refusal(data) == ("csv.field_too_large", 2, "name")


def test_every_field_of_a_long_record_is_measured() -> None:
    fits, too_large = b"x" * MAX_FIELD_BYTES, b"x" * (MAX_FIELD_BYTES + 1)
    data = HEAD + b",".join([fits] * 3) + b"\n2," + fits + b"," + too_large + b"\n3,a,b\n"
    assert refusal(data) == ("csv.field_too_large", 2, "note")


def test_the_first_problem_in_the_order_of_the_bytes_wins() -> None:
    assert refusal(HEAD + b'1,a"b,c\n' + b"2,a,b\n" * 900 + b"\xff")[:2] == ("csv.quoting", 1)
    assert refusal(HEAD + b'1,\xff,c\n2,a"b,c\n')[:2] == ("csv.encoding", 1)
    assert refusal(HEAD + b"1,a\r\xff")[:2] == ("csv.line_ending", 1)
    assert refusal(HEAD + b'1,"a"\xff')[:2] == ("csv.encoding", 1)
    assert refusal(HEAD + b"1,a,b,\xff")[:2] == ("csv.field_count", 1)


def test_a_failure_shows_no_value_of_a_row() -> None:
    for record in (b"secret", b"secret,,,", b'secret,"a"b,', b"secret,\xff,", b"secret\t,,"):
        assert "secret" not in failure_of(HEAD + record + b"\n").message


# --- bounded memory ----------------------------------------------------------------------------


def taken_and_peak_bytes(start: bytes, chunk: bytes) -> tuple[int, int]:
    """How much of an endless file is read before it is refused, and with how much memory."""
    reader = RecordReader("customers.csv", HEADER)
    taken = len(start)
    tracemalloc.start()
    try:
        reader.feed(start)
        while True:
            taken += len(chunk)
            reader.feed(chunk)
    except Rejected:
        return taken, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("start", [b"", HEAD, HEAD + b'1,"'])
@pytest.mark.parametrize(
    "chunk", [b"x" * 262_144, b'""' * 131_072, b"," * 262_144, b"\xff" * 262_144, b"\0" * 262_144]
)
def test_an_endless_record_is_refused_early(start: bytes, chunk: bytes) -> None:
    taken, peak = taken_and_peak_bytes(start, chunk)
    assert taken <= len(start) + 2 * 262_144
    assert peak < 8 * 1024 * 1024


def test_surplus_fields_are_counted_but_not_kept() -> None:
    taken, peak = taken_and_peak_bytes(HEAD, (b"x" * 65_535 + b",") * 4)
    assert taken > 60 * 1024 * 1024
    assert peak < 4 * 1024 * 1024
