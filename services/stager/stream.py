"""One file on its way from the bucket to the server: hashed, verified, rewritten, never held."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

from shared.contracts.model import Entity
from shared.csv_records import RecordReader, canonical_lines, leading_fields
from shared.errors import Failure, Rejected
from shared.identity import hash_of, key_prefix


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A file as the validator saw it: one generation, its bytes, rows and hash."""

    entity: str
    name: str
    generation: int
    size_bytes: int
    row_count: int
    sha256: str


@dataclass(slots=True)
class CanonicalStream:
    """The canonical lines of one file; `verify` tells whether they were the validated bytes.

    Each line begins with its row number, the hash of its key and, in a file of children, the hash
    of its parent's key: by these, staging lies in the order of production.
    """

    entity: Entity
    file: PinnedFile
    source_system: str
    rows: int = 0
    size_bytes: int = 0
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    async def lines(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Rewrite the file chunk by chunk.

        Raises:
            Rejected: the bytes are not those that were validated.
        """
        reader = RecordReader(self.file.name, self.entity.header)
        async for chunk in chunks:
            self._hash.update(chunk)
            self.size_bytes += len(chunk)
            yield self._rewrite(reader.feed(chunk))
        yield self._rewrite(reader.finish())

    def verify(self) -> None:
        """See that what was sent is what was validated.

        Raises:
            Rejected: hash, bytes or rows differ.
        """
        found = (self._hash.hexdigest(), self.size_bytes, self.rows)
        pinned = (self.file.sha256, self.file.size_bytes, self.file.row_count)
        if found != pinned:
            raise Rejected(
                Failure.of(
                    "file.changed",
                    f"{self.file.name} had (sha256, bytes, rows) {pinned} when it was validated "
                    f"and {found} when it was loaded",
                    file=self.file.name,
                )
            )

    def _rewrite(self, records: list[bytes]) -> bytes:
        lines = canonical_lines(self._heads(records), records)
        self.rows += len(records)
        return lines

    def _heads(self, records: list[bytes]) -> Iterator[bytes]:
        entity = self.entity
        hashed = [(entity.name, entity.key), (entity.parent, entity.parent_key)]
        keys = [
            (key_prefix(name, self.source_system), entity.header.index(key))
            for name, key in hashed
            if name is not None and key is not None
        ]
        head = b",".join([b"%d"] * (1 + len(keys)))
        leading = 1 + max(place for _, place in keys)
        for row_no, record in enumerate(records, self.rows + 1):
            fields = leading_fields(record, leading)
            yield head % (row_no, *[hash_of(prefix + fields[place]) for prefix, place in keys])
