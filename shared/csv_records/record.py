"""Single records: their fields, their plainest spelling, and the lines that MySQL reads."""

import csv
import re
from collections.abc import Iterable, Sequence

_NEEDS_QUOTES = re.compile(r'[",\x00-\x1f\x7f]')
_QUOTED_FIELD_OR_NULL = re.compile(rb'"(?:[^"]++|"")*+"|(?<=,)NULL(?=[,\n])')


def fields_of(record: bytes) -> list[str]:
    """The decoded fields of one record that a `RecordReader` has verified."""
    text = record.decode()
    if '"' not in text:
        return text.split(",")
    return next(csv.reader((text,)))


def encode_record(fields: Iterable[str]) -> str:
    """One record without terminator, with quotes only where the dialect needs them."""
    return ",".join(
        '"' + field.replace('"', '""') + '"' if _NEEDS_QUOTES.search(field) else field
        for field in fields
    )


def canonical_lines(lines: Iterable[bytes]) -> bytes:
    r"""Lines of `<numbers>,<verified record>\n` as one text for LOAD DATA.

    MySQL reads every field back exactly with `CHARACTER SET utf8mb4 FIELDS TERMINATED BY ','
    OPTIONALLY ENCLOSED BY '"' ESCAPED BY '' LINES TERMINATED BY '\n'`. Fields keep the quoting they
    came with, but for the word NULL: without quotes MySQL takes it for no value.
    """
    text = b"".join(lines)
    if b",NULL" in text:
        return _QUOTED_FIELD_OR_NULL.sub(_with_null_quoted, text)
    return text


def leading_columns(records: Sequence[bytes], count: int) -> list[list[bytes]]:
    """The first fields of verified records, a list for each column, as they are without quotes."""
    rows = [record.split(b",", count) for record in records]
    columns = [[row[place] for row in rows] for place in range(count)]
    if not any(b'"' in b"".join(column) for column in columns):
        return columns
    rows = [[field.encode() for field in fields_of(record)[:count]] for record in records]
    return [[row[place] for row in rows] for place in range(count)]


def _with_null_quoted(field: re.Match[bytes]) -> bytes:
    return b'"NULL"' if field[0] == b"NULL" else field[0]
