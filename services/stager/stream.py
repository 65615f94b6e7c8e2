"""One file on its way from the bucket to the server: hashed, verified, rewritten, never held."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from operator import itemgetter

from shared.contracts.model import Entity
from shared.csv_records import RecordReader, canonical_lines, leading_columns
from shared.errors import Failure, Rejected
from shared.identity import hashes_of, key_prefix


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

    Each line begins with the hash of its key, in a file of children with that of its parent's key,
    and with its row number: by these, staging lies in the order of production.
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
        """In the order of the hashes: staging keeps rows together that come together."""
        keys = self._keys()
        leading = 1 + max(place for _, place in keys)
        columns = leading_columns(records, leading)
        hashes = [hashes_of(prefix, columns[place]) for prefix, place in keys]
        line = b"%d," * (len(keys) + 1) + b"%b\n"
        rows = zip(*hashes, count(self.rows + 1), records, strict=False)
        self.rows += len(records)
        return canonical_lines([line % row for row in sorted(rows, key=itemgetter(0))])

    def _keys(self) -> list[tuple[bytes, int]]:
        """What is hashed of a row: the prefix, and which field holds the key."""
        entity = self.entity
        keys = [(entity.name, entity.key), (entity.parent, entity.parent_key)]
        return [
            (key_prefix(name, self.source_system), entity.header.index(key))
            for name, key in keys
            if name is not None and key is not None
        ]
