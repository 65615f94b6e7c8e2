"""The rejected rows as a CSV file that is safe to open in a spreadsheet. Pure.

A spreadsheet takes a cell for a formula by its first character, and it may split a line at other
separators than this file's. So an apostrophe goes in front of what could be one, wherever a cell
could begin; and in front of an apostrophe there, so that taking one off gives the exact text back.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

CONTENT_TYPE: Final = "text/csv; charset=utf-8"
COLUMNS: Final = ("file", "row", "column", "code", "message", "raw")

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # spreadsheets take a file without one for an older encoding
# What follows a separator is looked at up to the next one only, so that no text takes long.
_FORMULA = re.compile(
    r"(^|[;\t\r\n])(?='|[\t\r\n]|(?:[^\S\t\r\n]|\")*[=+\-@＝＋－＠])"  # noqa: RUF001 - look-alikes
)


def encode_header() -> bytes:
    """What every such file begins with: the byte order mark and the names of the columns."""
    return _BYTE_ORDER_MARK + _lines([COLUMNS])


def encode_rejects(file_name: str, rejects: Iterable[Mapping[str, Any]]) -> bytes:
    """Rejected rows of one file as they stand in `load_reject`, a record each."""
    return _lines(
        (
            file_name,
            reject["row_no"],
            reject["column_name"],
            reject["code"],
            reject["message"],
            reject["raw"],
        )
        for reject in rejects
    )


def as_text(cell: str) -> str:
    """The text of a cell, so that no spreadsheet evaluates any of it."""
    return _FORMULA.sub(r"\1'", cell)


def _lines(records: Iterable[Iterable[Any]]) -> bytes:
    lines = io.StringIO(newline="")
    writer = csv.writer(lines, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    for record in records:
        writer.writerow("" if cell is None else as_text(str(cell)) for cell in record)
    return lines.getvalue().encode()
