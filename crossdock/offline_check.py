"""The validator's verdict and the row checks on a folder of this machine: no network, no database.

It reads with the services' own code, so the codes are theirs. What only the bucket or the database
can know stays open: a parent that is not in the drop counts as unresolved, and is no reject.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from crossdock.pack import DropNotFound
from services.validator.checks import (
    MOST_OBJECTS,
    check_folder,
    check_partner,
    check_place,
    missing_files,
)
from services.validator.inspect import inspect_file
from shared.contracts.model import Contract, Entity, contracts
from shared.contracts.row_rules import (
    Violation,
    copies_message,
    first_violation,
    parent_rejected_message,
    violation_message,
)
from shared.csv_records import RecordReader, fields_of
from shared.errors import Failure, ObjectGone, Rejected
from shared.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    Manifest,
    check_manifest_size,
    is_load_id,
    is_source_system,
    parse_manifest,
)
from shared.partners import Partners, RejectLimit
from shared.storage.directory import DirectoryStorage
from shared.storage.port import ObjectInfo

MOST_REJECTS_KEPT: Final = 10_000
UNKNOWN_PARTNER: Final = "unknown"


@dataclass(frozen=True, slots=True)
class DropFolder:
    """A drop on this machine, and the folder of the bucket that it stands for."""

    directory: Path
    partner: str
    load_id: str

    @property
    def prefix(self) -> str:
        """The folder's name in the bucket, with its final slash."""
        return f"imports/{self.partner}/{self.load_id}/"


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that would be refused while the rest of the load goes on; row_no counts from 1."""

    entity: str
    row_no: int
    source_key: str
    column: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class EntityCheck:
    """Exact counts of one file's rows; `unresolved` ones refer to a parent outside the drop."""

    rows: int
    rejected: int
    unresolved: int


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The verdict on a drop.

    Attributes:
        load_id: the folder's.
        failure: why the load would fail, or None.
        entities: the counts of each file, in load order; empty if the rows were not looked at.
        rejects: in the order of the files and rows, at most MOST_REJECTS_KEPT of each file.
    """

    load_id: str
    failure: Failure | None
    entities: Mapping[str, EntityCheck]
    rejects: Sequence[Reject]

    @property
    def ok(self) -> bool:
        """Whether the load would be taken."""
        return self.failure is None

    def to_json(self) -> dict[str, Any]:
        """The verdict as scripts read it."""
        return {
            "ok": self.ok,
            "load_id": self.load_id,
            "failure": None if self.failure is None else self.failure.to_json(),
            "entities": {name: asdict(counts) for name, counts in self.entities.items()},
            "rejects": [asdict(reject) for reject in self.rejects],
        }


def check(
    directory: Path, *, partner: str | None, partners: Partners, now: datetime
) -> CheckResult:
    """Judge a drop in a folder of this machine.

    Files are streamed; the keys of all rows are held in memory, some 200 bytes for each row, and
    as much again for each row that is rejected.

    Args:
        directory: the drop.
        partner: the partner's folder, where the path does not tell it.
        partners: who may speak for which source_system.
        now: the clock that created_at is held against.

    Raises:
        DropNotFound: there is no such folder, or no manifest.json in it.
        TransientFault: a file could not be read.
    """
    return asyncio.run(_check(locate(directory, partner), partners, now))


def locate(directory: Path, partner: str | None) -> DropFolder:
    """The place in the bucket that a folder of this machine stands for.

    A path that ends with `imports/{partner}/{load_id}` tells both names. Else the load_id is what
    the manifest says, and the folder's name where the manifest does not say.

    Raises:
        DropNotFound: there is no such folder, or no manifest.json in it.
    """
    directory = directory.resolve()
    path = directory / MANIFEST_NAME
    if not path.is_file():
        what = f"has no {MANIFEST_NAME}; write it with `crossdock pack`"
        raise DropNotFound(f"{directory} {what if directory.is_dir() else 'is no folder'}")
    claims = _claims(path)
    load_id = directory.name if _is_placed(directory) else claims.get("load_id", directory.name)
    source_system = claims.get("source_system", UNKNOWN_PARTNER)
    return DropFolder(directory, partner_of(directory, partner, source_system), load_id)


def partner_of(directory: Path, partner: str | None, source_system: str) -> str:
    """The partner's folder that a local drop stands for.

    Args:
        directory: its path tells the partner if it ends with `imports/{partner}/{load_id}`.
        partner: the name that was given instead.
        source_system: the manifest's, which counts where nothing else tells.
    """
    directory = directory.resolve()
    return directory.parent.name if _is_placed(directory) else partner or source_system


def _is_placed(directory: Path) -> bool:
    return directory.parent.parent.name == "imports"


def _claims(path: Path) -> dict[str, str]:
    """The names that a manifest gives itself, believed only for where the drop belongs."""
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        return {}
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return {}
    if not isinstance(document, dict):
        return {}
    rules = {"load_id": is_load_id, "source_system": is_source_system}
    claims = {name: document.get(name) for name in rules}
    return {
        name: claim
        for name, claim in claims.items()
        if isinstance(claim, str) and rules[name](claim)
    }


async def _check(folder: DropFolder, partners: Partners, now: datetime) -> CheckResult:
    try:
        return await _judge(folder, partners, now)
    except Rejected as rejected:
        failure = rejected.failure
    except ObjectGone as gone:
        name = gone.name.rpartition("/")[2]
        failure = Failure.of("file.changed", f"{name} was replaced while it was read", file=name)
    return CheckResult(folder.load_id, failure, {}, ())


async def _judge(folder: DropFolder, partners: Partners, now: datetime) -> CheckResult:
    storage = DirectoryStorage.mounting(folder.directory, folder.prefix)
    check_place(folder.partner, folder.load_id, partners)
    manifest = _manifest(folder, now)
    check_partner(manifest, folder.partner, partners)
    files = await _files(storage, folder.prefix, manifest)
    contract = contracts()[manifest.schema_version]
    for entity in contract.entities:
        pinned = files[entity.file_name]
        chunks = storage.read(pinned.name, pinned.generation)
        await inspect_file(chunks, manifest.file(entity.file_name), entity)
    checked = await _check_rows(storage, contract, files)
    return _result(folder.load_id, checked, partners.reject_limit(folder.partner))


def _manifest(folder: DropFolder, now: datetime) -> Manifest:
    path = folder.directory / MANIFEST_NAME
    check_manifest_size(path.stat().st_size)
    return parse_manifest(
        path.read_bytes(), folder_load_id=folder.load_id, now=now, contracts=contracts()
    )


async def _files(
    storage: DirectoryStorage, prefix: str, manifest: Manifest
) -> Mapping[str, ObjectInfo]:
    objects = await storage.list_objects(prefix, most=MOST_OBJECTS + 1)
    folder = check_folder(manifest, prefix, objects)
    if folder.missing:
        raise Rejected(missing_files(folder, prefix))
    return folder.files


class _EntityRows:
    """What is known of one file's rows while they stream by, and of all of them at the end.

    Of a rejected row its number, its key and the reason are held; messages are written at the end.
    """

    def __init__(self, entity: Entity, parent: "_EntityRows | None") -> None:
        self.entity = entity
        self.rows = 0
        self.unresolved: set[int] = set()
        self.rejected: dict[int, tuple[str, Violation]] = {}
        self.rejected_keys: set[str] = set()
        self._parent = parent
        self._key_position = entity.header.index(entity.key)
        self._parent_key_position = entity.header.index(entity.parent_key or entity.key)
        self._duplicate = Violation("row.duplicate_key", entity.key)
        self._parent_rejected = Violation("row.parent_rejected", entity.parent_key or "")
        self._first_rows: dict[str, int] = {}
        self._copies: dict[str, list[int]] = {}

    def take(self, fields: Sequence[str]) -> None:
        """Judge the next row as far as it can be judged before the file's end."""
        self.rows += 1
        key = fields[self._key_position]
        first_row = self._first_rows.setdefault(key, self.rows)
        if first_row != self.rows:
            self._copies.setdefault(key, [first_row]).append(self.rows)
        violation = first_violation(self.entity, fields)
        if violation is not None:
            self.rejected[self.rows] = (key, violation)
        elif self._parent is not None:
            self._look_up(self._parent, key, fields[self._parent_key_position])

    def finish(self) -> None:
        """Reject every copy of a key that stands twice, unless the row has an earlier code."""
        for key, copies in self._copies.items():
            for row_no in copies:
                reject = self.rejected.get(row_no)
                if reject is None or reject[1] is self._parent_rejected:
                    self.rejected[row_no] = (key, self._duplicate)
                    self.unresolved.discard(row_no)
        self.rejected_keys = {key for key, _ in self.rejected.values()}

    def rejects(self) -> list[Reject]:
        """The first rejected rows, at most MOST_REJECTS_KEPT, in the order of the file."""
        return [self._reject(row_no) for row_no in sorted(self.rejected)[:MOST_REJECTS_KEPT]]

    def has(self, key: str) -> bool:
        """Whether a row of the file has this key, rejected or not."""
        return key in self._first_rows

    def _look_up(self, parent: "_EntityRows", key: str, parent_key: str) -> None:
        if not parent.has(parent_key):
            self.unresolved.add(self.rows)
        elif parent_key in parent.rejected_keys:
            self.rejected[self.rows] = (key, self._parent_rejected)

    def _reject(self, row_no: int) -> Reject:
        key, reason = self.rejected[row_no]
        if reason is self._duplicate:
            copies = self._copies[key]
            message = copies_message(self.entity, row_no, copies, len(copies))
        elif reason is self._parent_rejected:
            message = parent_rejected_message(self.entity)
        else:
            message = violation_message(self.entity, reason)
        return Reject(self.entity.name, row_no, key, reason.column, reason.code, message)


async def _check_rows(
    storage: DirectoryStorage, contract: Contract, files: Mapping[str, ObjectInfo]
) -> list[_EntityRows]:
    checked: dict[str, _EntityRows] = {}
    for entity in contract.entities:
        rows = _EntityRows(entity, None if entity.parent is None else checked[entity.parent])
        pinned = files[entity.file_name]
        async for records in _records(storage.read(pinned.name, pinned.generation), entity):
            for record in records:
                rows.take(fields_of(record))
        rows.finish()
        checked[entity.name] = rows
    return list(checked.values())


async def _records(chunks: AsyncIterator[bytes], entity: Entity) -> AsyncIterator[list[bytes]]:
    reader = RecordReader(entity.file_name, entity.header)
    async for chunk in chunks:
        yield reader.feed(chunk)
    yield reader.finish()


def _result(load_id: str, checked: Iterable[_EntityRows], limit: RejectLimit) -> CheckResult:
    failure = None
    entities: dict[str, EntityCheck] = {}
    rejects: list[Reject] = []
    for rows in checked:
        name, rejected = rows.entity.name, len(rows.rejected)
        entities[name] = EntityCheck(rows.rows, rejected, len(rows.unresolved))
        kept = rows.rejects()
        rejects += kept
        try:
            limit.check(rows.entity.file_name, rows=rows.rows, rejected=rejected)
        except Rejected as over:
            first = replace(over.failure, row=kept[0].row_no, column=kept[0].column)
            failure = failure or first
    return CheckResult(load_id, failure, entities, rejects)
