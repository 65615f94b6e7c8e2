"""One file on its way from the bucket to the server: hashed, verified, rewritten, run by run."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import chain, count, islice
from typing import Final

from shared.contracts.model import Entity
from shared.csv_records import RecordReader, canonical_lines, leading_columns
from shared.errors import Failure, Rejected
from shared.identity import hashes_of, key_prefix

# How much of a file is held to be brought in order, and how much of that is sent at a time.
RUN_BYTES: Final = 4 * 2**20
ROWS_AT_A_TIME: Final = 2_000


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
        """Rewrite the file, run by run; while one is being sent, the next one is gathered.

        Each run is in the order of the hashes: MySQL keeps together what comes together, and the
        longer the runs, the fewer places it has to look for.

        Raises:
            Rejected: the bytes are not those that were validated.
        """
        run: list[bytes] = []
        held_bytes = 0
        ready: Iterator[bytes] = iter(())
        async for records in self._records(chunks):
            lines = self._lines(records)
            run += lines
            held_bytes += sum(map(len, lines))
            if held_bytes >= RUN_BYTES:
                for text in ready:
                    yield text
                ready = _in_order(run)
                run, held_bytes = [], 0
            for text in islice(ready, 1):
                yield text
        for text in chain(ready, _in_order(run)):
            yield text

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

    async def _records(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
        reader = RecordReader(self.file.name, self.entity.header)
        async for chunk in chunks:
            self._hash.update(chunk)
            self.size_bytes += len(chunk)
            yield reader.feed(chunk)
        yield reader.finish()

    def _lines(self, records: list[bytes]) -> list[bytes]:
        """Records behind what staging knows of them; as text, lines sort as their hashes do."""
        keys = self._keys()
        leading = 1 + max(place for _, place in keys)
        columns = leading_columns(records, leading)
        hashes = [hashes_of(prefix, columns[place]) for prefix, place in keys]
        line = b"%019d," + b"%d," * len(keys) + b"%b\n"
        rows = zip(*hashes, count(self.rows + 1), records, strict=False)
        self.rows += len(records)
        return [line % row for row in rows]

    def _keys(self) -> list[tuple[bytes, int]]:
        """What is hashed of a row: the prefix, and which field holds the key."""
        entity = self.entity
        keys = [(entity.name, entity.key), (entity.parent, entity.parent_key)]
        return [
            (key_prefix(name, self.source_system), entity.header.index(key))
            for name, key in keys
            if name is not None and key is not None
        ]


def _in_order(run: list[bytes]) -> Iterator[bytes]:
    """The lines of a run as texts; what was given out is held no longer."""
    run.sort(reverse=True)
    while run:
        text = canonical_lines(reversed(run[-ROWS_AT_A_TIME:]))
        del run[-ROWS_AT_A_TIME:]
        yield text
