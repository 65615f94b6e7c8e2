"""The validator's verdict and the row checks on a folder of this machine: no network, no database.

It reads with the services' own code, so the codes are theirs. What only the bucket or the database
can know stays open: a row whose parent is not in the drop is unresolved, as are those below it, and
no reject; what becomes of the load if no earlier one has these parents is told beside the verdict.
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

from crossdock.offline_rows import FileRows, JudgedRow, RefusedRow, open_rows
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
    """A row that would be refused while the rest of the load goes on; row_no counts from 1.

    Of an unresolved row, code and message tell what holds unless its parent stands already.
    """

    entity: str
    row_no: int
    source_key: str
    column: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class EntityCheck:
    """Exact counts of one file's rows; each is accepted, rejected or unresolved."""

    rows: int
    rejected: int
    unresolved: int


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The verdict on a drop.

    Attributes:
        load_id: the folder's.
        failure: why the load would fail, or None.
        failure_if_unresolved: why it would fail if no earlier load has the parents of unresolved
            rows; None where that changes nothing.
        entities: the counts of each file, in load order; empty if the rows were not looked at.
        rejects: in the order of the files and rows, at most MOST_REJECTS_KEPT of each file.
        unresolved: the rows that only the database can judge, in the same order and as many.
    """

    load_id: str
    failure: Failure | None
    failure_if_unresolved: Failure | None
    entities: Mapping[str, EntityCheck]
    rejects: Sequence[Reject]
    unresolved: Sequence[Reject]

    @property
    def ok(self) -> bool:
        """Whether the load would be taken, if unresolved rows find their parents."""
        return self.failure is None

    def to_json(self) -> dict[str, Any]:
        """The verdict as scripts read it."""
        return {
            "ok": self.ok,
            "load_id": self.load_id,
            "failure": self.failure and self.failure.to_json(),
            "failure_if_unresolved": (
                self.failure_if_unresolved and self.failure_if_unresolved.to_json()
            ),
            "entities": {name: asdict(counts) for name, counts in self.entities.items()},
            "rejects": [asdict(reject) for reject in self.rejects],
            "unresolved": [asdict(reject) for reject in self.unresolved],
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
    return CheckResult(folder.load_id, failure, None, {}, (), ())


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
    unresolved: Sequence[Reject]


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
            counts = EntityCheck(*rows.counts())
            refused = _rejects(entity, rows), _unresolved(entity, rows)
            checked.append(_CheckedFile(entity, counts, *refused))
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

    def message(row: RefusedRow) -> str:
        match row.code:
            case "row.duplicate_key":
                copy_rows = rows.first_copies(row.row_no, MOST_ROWS_NAMED + 1)
                return copies_message(entity, row.row_no, copy_rows, count_copies(copy_rows[0]))
            case "row.parent_rejected":
                return parent_rejected_message(entity)
            case _:
                return violation_message(entity, Violation(row.code, row.column))

    return [_reject(entity, row, message(row)) for row in rows.first_rejected(MOST_REJECTS_KEPT)]


def _unresolved(entity: Entity, rows: FileRows) -> list[Reject]:
    """The first unresolved rows, at most MOST_REJECTS_KEPT, in the order of the file."""
    parent = f"{entity.parent_key} names a row of {entity.parent}"
    messages = {
        "row.orphan": f"{parent} that is not in this drop",
        "row.parent_rejected": f"{parent} that is unresolved itself",
    }
    found = rows.first_unresolved(MOST_REJECTS_KEPT)
    return [_reject(entity, row, messages[row.code]) for row in found]


def _reject(entity: Entity, row: RefusedRow, message: str) -> Reject:
    return Reject(entity.name, row.row_no, row.source_key, row.column, row.code, message)


async def _records(chunks: AsyncIterator[bytes], entity: Entity) -> AsyncIterator[list[bytes]]:
    reader = RecordReader(entity.file_name, entity.header)
    async for chunk in chunks:
        yield reader.feed(chunk)
    yield reader.finish()


def _result(load_id: str, checked: Sequence[_CheckedFile], limit: RejectLimit) -> CheckResult:
    failure = _over_limit(checked, limit, with_unresolved=False)
    if_unresolved = _over_limit(checked, limit, with_unresolved=True)
    return CheckResult(
        load_id,
        failure,
        None if if_unresolved == failure else if_unresolved,
        {file.entity.name: file.counts for file in checked},
        [reject for file in checked for reject in file.rejects],
        [reject for file in checked for reject in file.unresolved],
    )


def _over_limit(
    checked: Iterable[_CheckedFile], limit: RejectLimit, *, with_unresolved: bool
) -> Failure | None:
    """The failure of the first file with too many rejects, or None."""
    for file in checked:
        rejected, refused = file.counts.rejected, file.rejects[:1]
        if with_unresolved:
            rejected += file.counts.unresolved
            refused = [*refused, *file.unresolved[:1]]
        try:
            limit.check(file.entity.file_name, rows=file.counts.rows, rejected=rejected)
        except Rejected as over:
            first = min(refused, key=lambda reject: reject.row_no)
            return replace(over.failure, row=first.row_no, column=first.column)
    return None
