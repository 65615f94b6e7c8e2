"""The dialect, byte by byte: what one field may hold, and where it ends.

RFC 4180 in UTF-8: comma, double quote, a doubled quote inside quotes. Control characters other than
NUL are text inside quotes and wrong outside them; NUL is wrong everywhere. A file's lines end with
LF or with CRLF, all alike.

There are two readings of the same rules. `record_pattern` takes whole good records at the regex
engine's speed and gives no reason where it stops. `FieldScanner` goes from one significant byte to
the next, stops anywhere, goes on with the next chunk, and names the first thing that is wrong.
"""

import re
from enum import Enum
from functools import cache

MAX_FIELD_BYTES = 65_536

_COMMA, _QUOTE, _CR, _LF, _NUL = b',"\r\n\0'

_IN_QUOTES = re.compile(rb'["\x00]')
_OUTSIDE_QUOTES = re.compile(rb'[",\x00-\x1f\x7f]')
# A header separated by TABs is a header with one wrong name, not a file with control characters.
_OUTSIDE_QUOTES_IN_HEADER = re.compile(rb'[",\x00-\x08\x0a-\x1f\x7f]')


@cache
def record_pattern(columns: int, terminator: bytes) -> re.Pattern[bytes]:
    """Matches one good record, its fields as group 1, or else all bytes that are left.

    So `findall` gives the good records from the start on, and an empty group for the rest if it met
    one that is bad or incomplete. A match says nothing about the size of a field.
    """
    field = rb'(?:"(?:[^"\x00]++|"")*+"|[^",\x00-\x1f\x7f]*+)'
    return re.compile(b"(" + b",".join([field] * columns) + b")" + terminator + rb"|[\x00-\xff]++")


class Malformed(Exception):  # noqa: N818 - a verdict on the bytes, not an error of ours
    """The first byte that breaks a rule of the dialect has been read."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(f"{code}: {problem}")
        self.code = code
        self.problem = problem


class End(Enum):
    """What ended a field."""

    FIELD = "a comma"
    RECORD = "a line ending"


class _State(Enum):
    UNQUOTED = "nothing read yet, or text without quotes"
    QUOTED = "after the opening quote"
    QUOTE_IN_QUOTED = "after a quote that closes the field or is the first of a doubled one"
    CR = "after a CR outside quotes"


class FieldScanner:
    """Reads one field after the other, over any number of chunks, holding nothing but its place.

    `terminator` is what all lines end with; it is empty in the header, whose own ending decides.
    """

    def __init__(self) -> None:
        self.terminator = b""
        self._state = _State.UNQUOTED
        self._content_bytes = 0

    def scan(self, data: bytes, position: int, end: int) -> tuple[int, End | None]:
        """Read on from `position`, to the end of the field or of the data.

        Returns:
            The position behind the comma or line ending, and which of them it was; or `end` and
            None if the field goes on in the next chunk.

        Raises:
            Malformed: a rule is broken before either.
        """
        while position < end:
            if self._state is _State.QUOTED:
                position = self._scan_quoted(data, position, end)
                continue
            position, ending = self._scan_unquoted(data, position, end)
            if ending is not None:
                self._state = _State.UNQUOTED
                self._content_bytes = 0
                return position, ending
        return position, None

    def expect_no_line_feed(self) -> None:
        """Take note that the next byte is no LF.

        Raises:
            Malformed: a CR outside quotes was read last.
        """
        if self._state is _State.CR:
            raise Malformed("csv.line_ending", "a CR stands alone outside quotes")

    def expect_end(self) -> None:
        """Take note that no byte follows.

        Raises:
            Malformed: a quote is still open, or a CR outside quotes was read last.
        """
        self.expect_no_line_feed()
        if self._state is _State.QUOTED:
            raise Malformed("csv.quoting", "the file ends before the quote is closed")

    def _scan_quoted(self, data: bytes, position: int, end: int) -> int:
        found = _IN_QUOTES.search(data, position, end)
        stop = found.start() if found else end
        self._grow(stop - position)
        if found is None:
            return end
        if data[stop] == _NUL:
            raise _control_character(_NUL)
        self._state = _State.QUOTE_IN_QUOTED
        return stop + 1

    def _scan_unquoted(self, data: bytes, position: int, end: int) -> tuple[int, End | None]:
        if self._state is _State.CR:
            if data[position] != _LF:
                self.expect_no_line_feed()
            return position + 1, End.RECORD
        special = _OUTSIDE_QUOTES if self.terminator else _OUTSIDE_QUOTES_IN_HEADER
        found = special.search(data, position, end)
        stop = found.start() if found else end
        if stop > position:
            if self._state is _State.QUOTE_IN_QUOTED:
                raise Malformed("csv.quoting", "text follows the closing quote")
            self._grow(stop - position)
        if found is None:
            return end, None
        return stop + 1, self._take_special(data[stop])

    def _take_special(self, byte: int) -> End | None:
        if byte == _COMMA:
            return End.FIELD
        if byte == _QUOTE:
            self._take_quote()
        elif byte == _LF:
            if self.terminator == b"\r\n":
                raise Malformed("csv.line_ending", "a line ends with LF, the header with CRLF")
            return End.RECORD
        elif byte == _CR:
            if self.terminator == b"\n":
                raise Malformed(
                    "csv.line_ending", "a CR stands outside quotes, but the header ends with LF"
                )
            self._state = _State.CR
        else:
            raise _control_character(byte)
        return None

    def _take_quote(self) -> None:
        if self._state is _State.QUOTE_IN_QUOTED:
            self._grow(1)
        elif self._content_bytes:
            raise Malformed("csv.quoting", "a quote stands inside a field that is not quoted")
        self._state = _State.QUOTED

    def _grow(self, size_bytes: int) -> None:
        self._content_bytes += size_bytes
        if self._content_bytes > MAX_FIELD_BYTES:
            raise Malformed(
                "csv.field_too_large", f"the field is larger than {MAX_FIELD_BYTES:,} bytes"
            )


def _control_character(byte: int) -> Malformed:
    where = "not allowed even inside quotes" if byte == _NUL else "outside quotes"
    return Malformed("csv.control_character", f"control character 0x{byte:02x}, {where}")
