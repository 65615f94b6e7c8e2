"""One file, streamed once: its hash, its form, its rows and its control totals."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from services.validator.checks import (
    MAGIC_BYTES,
    check_checksum,
    check_contents,
    check_first_bytes,
)
from shared.contracts.model import Entity
from shared.csv_records import ControlTotals, RecordReader
from shared.errors import Rejected
from shared.manifest import ManifestFile


@dataclass(frozen=True, slots=True)
class InspectedFile:
    """A file that is what the manifest says.

    Attributes:
        rows: its data rows.
        size_bytes: its size as stored.
        sha256: of those bytes, in lower-case hex.
        sums: the exact sum of each column that has a control total.
    """

    rows: int
    size_bytes: int
    sha256: str
    sums: Mapping[str, Decimal | None]


async def inspect_file(
    chunks: AsyncIterator[bytes], file: ManifestFile, entity: Entity
) -> InspectedFile:
    """Read a file to its end and hold it against the manifest.

    A file that is not CSV is read on for its hash: if that differs too, the bytes are not those
    that the partner meant, and this is what the partner needs to hear. The work of each chunk runs
    in a thread, so the event loop stays free.

    Args:
        chunks: the file's bytes as stored, in order.
        file: what the manifest says of it.
        entity: whose rows it holds.

    Raises:
        Rejected: `file.content_encoding`, else `file.checksum_mismatch`, else what is wrong with
            the CSV, else `file.row_count_mismatch`, else `file.total_mismatch`.
    """
    inspection = _Inspection(file, entity)
    async for chunk in chunks:
        await asyncio.to_thread(inspection.take, chunk)
    return await asyncio.to_thread(inspection.finish)


class _Inspection:
    def __init__(self, file: ManifestFile, entity: Entity) -> None:
        self._file = file
        self._reader = RecordReader(file.name, entity.header)
        self._totals = ControlTotals(entity.header, file.totals.keys())
        self._hash = hashlib.sha256()
        self._head = b""
        self._size_bytes = 0
        self._malformed: Rejected | None = None

    def take(self, chunk: bytes) -> None:
        if len(self._head) < MAGIC_BYTES:
            self._head += chunk[:MAGIC_BYTES]
            check_first_bytes(self._file.name, self._head)
        self._hash.update(chunk)
        self._size_bytes += len(chunk)
        self._read(lambda: self._reader.feed(chunk))

    def finish(self) -> InspectedFile:
        self._read(self._reader.finish)
        sha256 = self._hash.hexdigest()
        check_checksum(self._file, sha256)
        if self._malformed is not None:
            raise self._malformed
        sums = self._totals.sums()
        check_contents(self._file, rows=self._reader.rows, sums=sums)
        return InspectedFile(self._reader.rows, self._size_bytes, sha256, sums)

    def _read(self, next_records: Callable[[], list[bytes]]) -> None:
        if self._malformed is None:
            try:
                self._totals.add(next_records())
            except Rejected as malformed:
                self._malformed = malformed
