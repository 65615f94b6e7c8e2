"""The table of bad inputs: its lines, and what one variant of a line is made of."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.drops import Drop

Manifest = dict[str, Any]
Bend = Callable[[Manifest], object]

# number: what comes in, and what has to become of it
LINES: Mapping[int, tuple[str, str]] = {
    1: ("manifest that is not plain JSON", "manifest.invalid_json"),
    2: ("manifest over 64 KiB", "manifest.too_large"),
    3: ("manifest with a key twice", "manifest.duplicate_key"),
    4: ("manifest key missing, unknown, malformed", "manifest.schema"),
    5: ("unknown schema_version", "manifest.unknown_schema_version"),
    6: ("load_id not the folder's, or no load_id", "manifest.load_id_*"),
    7: ("source_system of another partner", "manifest.partner_mismatch"),
    8: ("created_at ahead of the clock", "manifest.created_at_future"),
    9: ("created_at of another load", "manifest.order_conflict"),
    10: ("file not listed, twice, misnamed", "manifest.file_*"),
    11: ("listed file that is not there", "file.missing"),
    12: ("object that is not listed", "file.unexpected"),
    13: ("applied load's manifest again", "history, nothing changes"),
    14: ("load_id of another load, or partner", "manifest.load_id_reused"),
    15: ("manifest again after a failure", "a new run"),
    16: ("manifest replaced or deleted unread", "the newest, manifest.changed"),
    20: ("other bytes than the manifest's hash", "file.checksum_mismatch"),
    21: ("file replaced after validation", "file.changed"),
    22: ("short or broken read", "tried again"),
    23: ("other number of rows", "file.row_count_mismatch"),
    24: ("no header, or another one", "file.header_*"),
    25: ("header and no rows", "accepted"),
    26: ("BOM, NUL, odd line ends, blank lines", "csv.*"),
    27: ("odd text that keeps the dialect", "accepted, text kept"),
    28: ("too few or too many fields", "csv.field_count"),
    29: ("quotes that are not closed, or bare", "csv.quoting"),
    30: ("bytes that are not UTF-8", "csv.encoding"),
    31: ("field too large, commas without end", "csv.field_*"),
    32: ("compressed file", "file.content_encoding"),
    33: ("control total off by a cent", "file.total_mismatch"),
    40: ("no number, no date", "row.type"),
    41: ("too many decimals, out of range", "row.range"),
    42: ("text longer than its column", "row.too_long"),
    43: ("required value empty", "row.required"),
    44: ("key twice in a file", "row.duplicate_key"),
    45: ("key with white space at its edge", "row.key_whitespace"),
    46: ("parent that is nowhere", "row.orphan"),
    47: ("keys that only look alike", "accepted as two"),
    48: ("formulas and markup as names", "accepted"),
    60: ("older load after a newer one", "accepted, counted stale"),
    61: ("message out of turn", "recorded, nothing done"),
    62: ("push that is no message", "400, dead-letter"),
    63: ("push without a valid token", "401, 403"),
    64: ("notification of anything else", "ignored"),
}


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that has to be rejected.

    Attributes:
        says: words of its message.
        what: the variant in a few words, where the drop has several.
        unresolved: whether only the database knows that no earlier load has its parent.
    """

    entity: str
    row: int
    code: str
    column: str
    says: tuple[str, ...] = ()
    what: str = ""
    unresolved: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One variant of a line: a drop, and what has to become of it.

    Attributes:
        line: its number in the table.
        what: the variant in a few words; with the line it names the load.
        pack: bends a good drop's files and gives the bytes of its manifest.
        code: why the load fails; None if it is taken.
        file, row, column: where its failure says that the fault is.
        says: words of the failure's message.
        refused: every row that is rejected.
        keeps: texts that stand in production afterwards, by table and column.
        encoded: the file that is uploaded with a contentEncoding.
        is_known_offline: whether a folder on a machine tells as much as the bucket.
        folder: the folder's names, where they are not made from line and words.
    """

    line: int
    what: str
    pack: Callable[[Drop], bytes]
    code: str | None = None
    file: str | None = None
    row: int | None = None
    column: str | None = None
    says: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()
    keeps: Mapping[tuple[str, str], tuple[str | None, ...]] = field(default_factory=dict)
    encoded: str | None = None
    is_known_offline: bool = True
    folder: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """A load_id for the variant, and the name of its test."""
        return f"{self.line:02}-{slug(self.what)}"

    def delivery(self) -> "Delivery":
        """The drop as it is uploaded; a new one each time."""
        partner, load_id = self.folder or (self.name[:50], self.name)
        drop = Drop(load_id=load_id, partner=partner)
        return Delivery(drop, self.pack(drop), self.encoded)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A drop, the bytes of its manifest, and the file that has a contentEncoding."""

    drop: Drop
    manifest: bytes
    encoded: str | None = None

    @property
    def manifest_name(self) -> str:
        """The manifest's name in the bucket."""
        return self.drop.prefix + "manifest.json"

    def write(self, root: Path) -> Path:
        """The same drop in a folder of this machine."""
        folder = root / self.drop.prefix
        for name in self.drop.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        return self.drop.write(root, manifest=self.manifest)


def slug(words: str) -> str:
    """The words as a part of a name."""
    return re.sub("[^a-z0-9]+", "-", words.lower()).strip("-")


def described(drop: Drop) -> bytes:
    """The manifest that is true of the drop."""
    return json.dumps(drop.manifest()).encode()


def bent(*bends: Bend) -> Callable[[Drop], bytes]:
    """A manifest that is true of the drop, then changed."""

    def pack(drop: Drop) -> bytes:
        manifest = drop.manifest()
        for bend in bends:
            bend(manifest)
        return json.dumps(manifest).encode()

    return pack
