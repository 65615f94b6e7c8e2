"""The validator's verdict and the row checks on a folder of this machine: no network, no database.

It reads with the services' own code, so the codes are theirs. What only the bucket or the database
can know stays open: a parent that is not in the drop counts as unresolved, and is no reject.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from crossdock.offline_rows import FileRows, JudgedRow, RejectedRow, open_rows
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
    MOST_ROWS_NAMED,
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

    Files are streamed, and what one row tells of another stands in a temporary file, so memory
    does not grow with the drop.

    Args:
        directory: the drop.
        partner: the partner's folder, where the path does not tell it.
        partners: who may speak for which source_system.
        now: the clock that created_at is held against.

    Raises:
        DropNotFound: there is no such folder, or no manifest.json in it.
        TransientFault: a file could not be read, or the temporary one not be written.
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
    # Threads take turns here, and each that has read would keep memory of its own.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
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


@dataclass(frozen=True, slots=True)
class _CheckedFile:
    """What is told of one file's rows."""

    entity: Entity
    counts: EntityCheck
    rejects: Sequence[Reject]


async def _check_rows(
    storage: DirectoryStorage, contract: Contract, files: Mapping[str, ObjectInfo]
) -> list[_CheckedFile]:
    checked = []
    with open_rows() as database:
        for entity in contract.entities:
            rows = FileRows(database, entity)
            pinned = files[entity.file_name]
            async for records in _records(storage.read(pinned.name, pinned.generation), entity):
                rows.add(_judged(entity, records))
            rows.judge()
            checked.append(
                _CheckedFile(entity, EntityCheck(*rows.counts()), _rejects(entity, rows))
            )
    return checked


def _judged(entity: Entity, records: Iterable[bytes]) -> Iterator[JudgedRow]:
    key = entity.header.index(entity.key)
    parent_key = None if entity.parent_key is None else entity.header.index(entity.parent_key)
    for record in records:
        fields = fields_of(record)
        violation = first_violation(entity, fields)
        yield (
            fields[key],
            None if parent_key is None else fields[parent_key],
            None if violation is None else violation.code,
            None if violation is None else violation.column,
        )


def _rejects(entity: Entity, rows: FileRows) -> list[Reject]:
    """The first rejected rows, at most MOST_REJECTS_KEPT, in the order of the file."""
    count_copies = cache(rows.count_copies)  # asked of a key's first row, so once for each key

    def message(row: RejectedRow) -> str:
        match row.code:
            case "row.duplicate_key":
                copy_rows = rows.first_copies(row.row_no, MOST_ROWS_NAMED + 1)
                return copies_message(entity, row.row_no, copy_rows, count_copies(copy_rows[0]))
            case "row.parent_rejected":
                return parent_rejected_message(entity)
            case _:
                return violation_message(entity, Violation(row.code, row.column))

    return [
        Reject(entity.name, row.row_no, row.source_key, row.column, row.code, message(row))
        for row in rows.first_rejected(MOST_REJECTS_KEPT)
    ]


async def _records(chunks: AsyncIterator[bytes], entity: Entity) -> AsyncIterator[list[bytes]]:
    reader = RecordReader(entity.file_name, entity.header)
    async for chunk in chunks:
        yield reader.feed(chunk)
    yield reader.finish()


def _result(load_id: str, checked: Iterable[_CheckedFile], limit: RejectLimit) -> CheckResult:
    failure = None
    entities: dict[str, EntityCheck] = {}
    rejects: list[Reject] = []
    for file in checked:
        counts = entities[file.entity.name] = file.counts
        rejects += file.rejects
        try:
            limit.check(file.entity.file_name, rows=counts.rows, rejected=counts.rejected)
        except Rejected as over:
            place = file.rejects[0]
            first = replace(over.failure, row=place.row_no, column=place.column)
            failure = failure or first
    return CheckResult(load_id, failure, entities, rejects)
