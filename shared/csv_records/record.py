"""Single records: their fields, their plainest spelling, and the lines that MySQL reads."""

import csv
import re
from collections.abc import Iterable

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


def canonical_lines(heads: Iterable[bytes], records: Iterable[bytes]) -> bytes:
    r"""Verified records as `head,<fields>\n`, each behind the numbers that it goes with.

    MySQL reads every field back exactly with `CHARACTER SET utf8mb4 FIELDS TERMINATED BY ','
    OPTIONALLY ENCLOSED BY '"' ESCAPED BY '' LINES TERMINATED BY '\n'`. Fields keep the quoting they
    came with, but for the word NULL: without quotes MySQL takes it for no value.
    """
    lines = b"".join([b"%b,%b\n" % line for line in zip(heads, records, strict=False)])
    if b",NULL," in lines or b",NULL\n" in lines:
        return _QUOTED_FIELD_OR_NULL.sub(_with_null_quoted, lines)
    return lines


def leading_fields(record: bytes, count: int) -> list[bytes]:
    """The first fields of one verified record, as they are without quotes."""
    if b'"' not in record:
        return record.split(b",", count)[:count]
    return [field.encode() for field in fields_of(record)[:count]]


def _with_null_quoted(field: re.Match[bytes]) -> bytes:
    return b'"NULL"' if field[0] == b"NULL" else field[0]
