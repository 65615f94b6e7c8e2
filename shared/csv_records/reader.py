"""The strict streaming reader: chunks of a file in, verified records or one verdict out."""

import codecs

from shared.csv_records.dialect import (
    MAX_FIELD_BYTES,
    End,
    FieldScanner,
    Malformed,
    record_pattern,
)
from shared.csv_records.record import fields_of
from shared.errors import Failure, Rejected

_COUNTED_FIELDS = 1_000
_SHOWN_NAME_CHARACTERS = 64
_OTHER_SEPARATORS = ";\t|"


class RecordReader:
    """Reads one entity's file, strictly, in chunks of any size.

    The verdict does not depend on how the bytes are cut into chunks: it is the first problem in the
    order of the bytes. What is held between chunks is one incomplete record at most, each of its
    fields at most MAX_FIELD_BYTES of content. After a rejection the reader is spent.

    Attributes:
        rows: the complete data records so far; the header is not counted.
    """

    def __init__(self, file_name: str, header: tuple[str, ...]) -> None:
        self.rows = 0
        self._file_name = file_name
        self._header = header
        self._scanner = FieldScanner()
        self._offset_bytes = 0
        self._cut_character = b""
        self._fields = 0
        self._held = bytearray()
        self._field_start = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes of the file.

        Returns:
            The data records that are complete now, as delivered, without their terminators.

        Raises:
            Rejected: the file is not in the dialect, or its header is not the expected one.
        """
        data = self._cut_character + chunk
        end, is_text = _whole_characters(data)
        if self._offset_bytes == 0 and data.startswith(codecs.BOM_UTF8):
            raise self._rejected("csv.bom", "the file begins with a UTF-8 byte order mark")
        try:
            records = self._take(data, end)
            self._offset_bytes += end
            self._cut_character = data[end:]
            if not is_text:
                self._refuse_cut_character()
        except Malformed as fault:
            raise self._malformed(fault) from None
        return records

    def finish(self) -> list[bytes]:
        """Take the end of the file.

        Returns:
            The last record if no line break ended it.

        Raises:
            Rejected: the file must not end here.
        """
        try:
            if self._cut_character:
                self._refuse_cut_character()
            self._scanner.expect_end()
        except Malformed as fault:
            raise self._malformed(fault) from None
        if self._held:
            return self._end_record(bytes(self._held))
        if self._in_header:
            raise self._rejected("file.header_missing", "the file is empty")
        return []

    @property
    def _in_header(self) -> bool:
        return not self._scanner.terminator

    def _take(self, data: bytes, end: int) -> list[bytes]:
        records: list[bytes] = []
        position = 0
        while position < end:
            if not (self._in_header or self._held):
                good = self._good_records(data, position, end)
                records += good
                position += sum(map(len, good)) + len(good) * len(self._scanner.terminator)
            position = self._scan_record(data, position, end, records)
        return records

    def _good_records(self, data: bytes, position: int, end: int) -> list[bytes]:
        terminator = self._scanner.terminator
        records = record_pattern(len(self._header), terminator).findall(data, position, end)
        if records and not records[-1]:
            records.pop()
        if max(map(len, records), default=0) <= MAX_FIELD_BYTES:
            self.rows += len(records)
            return records
        for record in records:
            if len(record) <= MAX_FIELD_BYTES:
                self.rows += 1
            else:
                line = record + terminator
                self._scan_record(line, 0, len(line), [])
        return records

    def _scan_record(self, data: bytes, position: int, end: int, records: list[bytes]) -> int:
        ending = None
        while position < end and ending is not End.RECORD:
            start = position
            position, ending = self._scanner.scan(data, start, end)
            if self._fields <= len(self._header):
                self._held += data[start:position]
            if ending is End.FIELD:
                self._end_field()
        if ending is End.RECORD:
            records += self._end_line()
        return position

    def _end_field(self) -> None:
        if self._in_header:
            self._check_column(bytes(self._held[self._field_start : -1]))
            self._field_start = len(self._held)
        self._fields += 1
        if self._fields >= _COUNTED_FIELDS:
            raise self._wrong_field_count(f"more than {_COUNTED_FIELDS:,}")

    def _end_line(self) -> list[bytes]:
        line = bytes(self._held)
        own_terminator = b"\r\n" if line.endswith(b"\r\n") else b"\n"
        records = self._end_record(line.removesuffix(own_terminator))
        self._scanner.terminator = own_terminator
        self._held.clear()
        self._fields = 0
        return records

    def _end_record(self, record: bytes) -> list[bytes]:
        if self._in_header:
            self._end_header(record)
            return []
        if not record:
            raise self._rejected("csv.blank_line", "the line is empty")
        if self._fields + 1 != len(self._header):
            raise self._wrong_field_count(f"{self._fields + 1:,}")
        self.rows += 1
        return [record]

    def _end_header(self, record: bytes) -> None:
        if not record:
            raise self._rejected("file.header_missing", "the first line is empty")
        self._check_column(record[self._field_start :])
        if missing := self._header[self._fields + 1 :]:
            raise self._rejected(
                "file.header_mismatch",
                f"column {self._fields + 2} is missing, expected {missing[0]!r}",
                missing[0],
            )

    def _check_column(self, field: bytes) -> None:
        found = fields_of(field)[0]
        if self._fields >= len(self._header):
            raise self._surplus_column(f"found {self._shown(found)}")
        expected = self._header[self._fields]
        if found != expected:
            problem = f"column {self._fields + 1} is {self._shown(found)}, expected {expected!r}"
            raise self._rejected(
                "file.header_mismatch", problem + self._likely_cause(found), expected
            )

    def _shown(self, found: str) -> str:
        """A name that the contract has in other case or place; all else may be a row's value."""
        is_name = not found or (len(found) <= _SHOWN_NAME_CHARACTERS and self._is_name(found))
        return f"{found!a}" if is_name else "no column name"

    def _likely_cause(self, found: str) -> str:
        for separator in _OTHER_SEPARATORS:
            parts = found.split(separator)
            is_header = len(parts) > 1 and all(map(self._is_name, parts[:2]))
            if is_header or len(parts) == len(self._header):
                return f"; the fields are separated by {separator!a}, not by commas"
        if self._fields or not found or self._is_name(found):
            return ""
        return "; is the header missing, or is this another file?"

    def _is_name(self, found: str) -> bool:
        return found.strip().casefold().replace(" ", "_") in self._header

    def _refuse_cut_character(self) -> None:
        self._scanner.expect_no_line_feed()
        byte, offset = self._cut_character[0], self._offset_bytes
        problem = f"byte 0x{byte:02x} at byte offset {offset:,} of the file is not UTF-8"
        if offset == 0 and byte in codecs.BOM_UTF16:
            problem += "; UTF-16 files begin like this"
        raise Malformed("csv.encoding", problem)

    def _malformed(self, fault: Malformed) -> Rejected:
        if self._fields < len(self._header):
            return self._rejected(fault.code, fault.problem, self._header[self._fields])
        if self._in_header:
            return self._surplus_column("its name is malformed")
        return self._wrong_field_count(f"at least {self._fields + 1:,}")

    def _wrong_field_count(self, found: str) -> Rejected:
        expected = len(self._header)
        return self._rejected("csv.field_count", f"{expected} fields expected, {found} found")

    def _surplus_column(self, found: str) -> Rejected:
        last = self._header[-1]
        problem = f"the header must end with column {len(self._header)}, {last!r}, but goes on"
        return self._rejected("file.header_mismatch", f"{problem}: {found}")

    def _rejected(self, code: str, problem: str, column: str | None = None) -> Rejected:
        row = None if self._in_header else self.rows + 1
        place = "header line" if row is None else f"row {row:,}"
        at = f", column {column}" if column else ""
        message = f"{self._file_name}, {place}{at}: {problem}"
        return Rejected(Failure.of(code, message, file=self._file_name, row=row, column=column))


def _whole_characters(data: bytes) -> tuple[int, bool]:
    """How many bytes are whole characters, and whether the rest may still become one."""
    if data.isascii():
        return len(data), True
    try:
        return codecs.utf_8_decode(data, "strict", False)[1], True  # noqa: FBT003 - its own signature
    except UnicodeDecodeError as error:
        return error.start, False
