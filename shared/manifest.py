"""The manifest: what a partner says about a drop, read so strictly that no two readers differ."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NoReturn

from shared.contracts.model import Contract, Entity, Kind, contracts
from shared.contracts.notation import parse_decimal, parse_timestamp
from shared.errors import Failure, Rejected, shown

MANIFEST_NAME: Final = "manifest.json"
MAX_MANIFEST_BYTES: Final = 65_536
LOAD_ID_FORM: Final = (
    "1 to 100 of the characters A-Z a-z 0-9 _ . - and begin with a letter or a digit"
)
FUTURE_TOLERANCE: Final = timedelta(minutes=5)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOAD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SOURCE_SYSTEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEYS = ("load_id", "source_system", "schema_version", "created_at", "files")
_FILE_KEYS = ("name", "rows", "sha256", "totals")
_MOST_ROWS = 2**63 - 1
_MOST_DIGITS = 1_000
_MOST_LEVELS = 32
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file as the manifest describes it.

    Attributes:
        name: the entity's file name.
        rows: data rows, the header not counted.
        sha256: of the file's bytes as stored, in lower-case hex.
        totals: the exact sum of each decimal column that the partner chose to name.
    """

    name: str
    rows: int
    sha256: str
    totals: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that keeps the contract; its files stand in the manifest's own order."""

    load_id: str
    source_system: str
    schema_version: str
    created_at: datetime
    files: tuple[ManifestFile, ...]

    @property
    def version(self) -> int:
        """`created_at` in whole microseconds since 1970: what orders the loads of a partner."""
        return (self.created_at - _EPOCH) // timedelta(microseconds=1)

    def file(self, name: str) -> ManifestFile:
        """The entry of that file.

        Raises:
            KeyError: the manifest lists no such file.
        """
        for file in self.files:
            if file.name == name:
                return file
        raise KeyError(name)


def is_load_id(text: str) -> bool:
    """Whether the text may be a load_id, and so the name of a drop's folder."""
    return _LOAD_ID.fullmatch(text) is not None


def is_source_system(text: str) -> bool:
    """Whether the text may be a source_system."""
    return _SOURCE_SYSTEM.fullmatch(text) is not None


def check_manifest_size(size_bytes: int) -> None:
    """Whether the manifest is small enough to be read at all.

    Raises:
        Rejected: `manifest.too_large`.
    """
    if size_bytes > MAX_MANIFEST_BYTES:
        _reject(
            "manifest.too_large",
            f"{MANIFEST_NAME} has {size_bytes} bytes; at most {MAX_MANIFEST_BYTES} are read",
        )


def parse_manifest(
    data: bytes, *, folder_load_id: str, now: datetime, contracts: Mapping[str, Contract]
) -> Manifest:
    """Read and check manifest.json as far as it can be judged by itself.

    Args:
        data: the object's bytes as stored.
        folder_load_id: the name of the folder that the manifest stands in.
        now: the clock that created_at is held against.
        contracts: the contract of every schema_version.

    Raises:
        Rejected: with the first code that applies, in the order of the checks below.
    """
    document = _read_json(data)
    contract = _contract(document, contracts)
    _refuse_unknown_keys(document, _KEYS, where="the manifest")
    load_id = _load_id(document, folder_load_id)
    source_system = _text(document, "source_system")
    if not is_source_system(source_system):
        _reject_schema(
            f"source_system is {shown(source_system)}; it must be 1 to 50 of the characters "
            "A-Z a-z 0-9 _ - and begin with a letter or a digit"
        )
    return Manifest(
        load_id=load_id,
        source_system=source_system,
        schema_version=contract.schema_version,
        created_at=_created_at(document, now),
        files=_files(document, contract),
    )


def reread_manifest(data: bytes, load_id: str) -> Manifest:
    """A manifest that was checked when it arrived, read again from the ledger."""
    return parse_manifest(
        data,
        folder_load_id=load_id,
        now=datetime.max.replace(tzinfo=UTC) - FUTURE_TOLERANCE,
        contracts=contracts(),
    )


def render_manifest(manifest: Manifest) -> bytes:
    """The manifest as JSON that a person can read and `parse_manifest` takes."""
    document = {
        "load_id": manifest.load_id,
        "source_system": manifest.source_system,
        "schema_version": manifest.schema_version,
        "created_at": manifest.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "files": [_render_file(file) for file in manifest.files],
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def _render_file(file: ManifestFile) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": file.name, "rows": file.rows, "sha256": file.sha256}
    if file.totals:
        entry["totals"] = {column: f"{total:f}" for column, total in file.totals.items()}
    return entry


def _read_json(data: bytes) -> dict[str, Any]:
    check_manifest_size(len(data))
    if data.startswith(b"\xef\xbb\xbf"):
        _reject_json("it begins with a UTF-8 byte order mark")
    if not data.strip():
        _reject_json("it is empty")
    if b"\0" in data:
        _reject_json("it holds NUL bytes, as a file in UTF-16 does; it must be UTF-8")
    try:
        text = data.decode()
        _check_levels(text)
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_constant=_reject_constant,
        )
    except UnicodeDecodeError as error:
        _reject_json(f"byte {error.start + 1} is not UTF-8")
    except json.JSONDecodeError as error:
        _reject_json(f"line {error.lineno}, column {error.colno}: {error.msg}")
    if not isinstance(document, dict):
        _reject_schema(f"it holds {_type_of(document)} where the manifest's object belongs")
    return document


def _check_levels(text: str) -> None:
    """Before it is parsed: how deep a parser can go depends on the parser."""
    levels = deepest = 0
    for token in _STRING_OR_BRACKET.findall(text):
        if token in {"[", "{"}:
            levels += 1
            deepest = max(deepest, levels)
        elif token in {"]", "}"}:
            levels -= 1
    if deepest > _MOST_LEVELS:
        problem = f"{deepest} levels, and at most {_MOST_LEVELS} are read"
        _reject_json(f"its brackets are nested too deep: {problem}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            _reject("manifest.duplicate_key", f"the key {shown(name)} stands twice in one object")
        members[name] = value
    return members


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        _reject_json(f"it holds a number of {len(digits)} digits")
    return int(digits)


def _reject_constant(name: str) -> NoReturn:
    _reject_json(f"{name} is no JSON value")


def _contract(document: Mapping[str, Any], contracts: Mapping[str, Contract]) -> Contract:
    """Decided before the other keys: another version may have other keys."""
    version = _text(document, "schema_version")
    if version not in contracts:
        _reject(
            "manifest.unknown_schema_version",
            f"schema_version {shown(version)} is not known; known: {', '.join(contracts)}",
        )
    return contracts[version]


def _load_id(document: Mapping[str, Any], folder_load_id: str) -> str:
    load_id = _text(document, "load_id")
    if not is_load_id(load_id):
        _reject(
            "manifest.load_id_invalid",
            f"load_id is {shown(load_id)} ({len(load_id)} characters); it must be {LOAD_ID_FORM}",
        )
    if load_id != folder_load_id:
        _reject(
            "manifest.load_id_mismatch",
            f"load_id is {shown(load_id)}, but the folder is named {shown(folder_load_id)}",
        )
    return load_id


def _created_at(document: Mapping[str, Any], now: datetime) -> datetime:
    text = _text(document, "created_at")
    try:
        created_at = parse_timestamp(text)
    except ValueError as problem:
        _reject_schema(f"created_at is {shown(text)}: {problem}")
    if created_at > now + FUTURE_TOLERANCE:
        _reject(
            "manifest.created_at_future",
            f"created_at is {shown(text)}, more than 5 minutes ahead of this system's clock, "
            f"{now.astimezone(UTC).isoformat(timespec='seconds')}",
        )
    return created_at


def _files(document: Mapping[str, Any], contract: Contract) -> tuple[ManifestFile, ...]:
    entries = _value(document, "files", where="")
    if not isinstance(entries, list):
        _reject_schema(f"files must be a list, not {_type_of(entries)}")
    entities = {entity.file_name: entity for entity in contract.entities}
    files: dict[str, ManifestFile] = {}
    for position, entry in enumerate(entries):
        file = _file(entry, entities, where=f"files[{position}]")
        if file.name in files:
            _reject("manifest.file_duplicate", f"{file.name} is listed twice", file=file.name)
        files[file.name] = file
    for name in entities:
        if name not in files:
            _reject("manifest.file_missing", f"{name} is not listed under files", file=name)
    return tuple(files.values())


def _file(entry: object, entities: Mapping[str, Entity], *, where: str) -> ManifestFile:
    if not isinstance(entry, dict):
        _reject_schema(f"{where} must be an object, not {_type_of(entry)}")
    prefix = f"{where}."
    _refuse_unknown_keys(entry, _FILE_KEYS, where=where)
    name = _text(entry, "name", where=prefix)
    if name not in entities:
        _reject(
            "manifest.file_name_invalid",
            f"{where}.name is {shown(name)}; the files of a drop are {', '.join(entities)}",
        )
    rows = _value(entry, "rows", where=prefix)
    if type(rows) is not int or not 0 <= rows <= _MOST_ROWS:
        _reject_schema(f"{where}.rows must be an integer from 0 on, not {_type_of(rows)}")
    sha256 = _text(entry, "sha256", where=prefix)
    if not _SHA256.fullmatch(sha256):
        _reject_schema(
            f"{where}.sha256 must be 64 lower-case hex digits, not {shown(sha256)} "
            f"({len(sha256)} characters)"
        )
    return ManifestFile(name, rows, sha256, _totals(entry, entities[name], where=prefix))


def _totals(entry: Mapping[str, Any], entity: Entity, *, where: str) -> Mapping[str, Decimal]:
    members = entry.get("totals", {})
    if not isinstance(members, dict):
        _reject_schema(f"{where}totals must be an object, not {_type_of(members)}")
    columns = [column.name for column in entity.columns if column.kind is Kind.DECIMAL]
    totals: dict[str, Decimal] = {}
    for name in members:
        if name not in columns:
            known = ", ".join(columns) or "none"
            _reject_schema(
                f"{where}totals names {shown(name)}; decimal columns of {entity.file_name}: {known}"
            )
        text = _text(members, name, where=f"{where}totals.")
        try:
            totals[name] = parse_decimal(text)
        except ValueError as problem:
            _reject_schema(f"{where}totals.{name} is {shown(text)}: {problem}")
    return totals


def _refuse_unknown_keys(members: Mapping[str, Any], known: tuple[str, ...], *, where: str) -> None:
    for key in members:
        if key not in known:
            _reject_schema(f"{where} has the unknown key {shown(key)}; known: {', '.join(known)}")


def _value(members: Mapping[str, Any], key: str, *, where: str) -> Any:
    if key not in members:
        _reject_schema(f"the key {where}{key} is missing")
    return members[key]


def _text(members: Mapping[str, Any], key: str, *, where: str = "") -> str:
    value = _value(members, key, where=where)
    if not isinstance(value, str):
        _reject_schema(f"{where}{key} must be a string, not {_type_of(value)}")
    return value


def _type_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {shown(value)}"
        case str():
            return f"the string {shown(value)}"
        case list():
            return "a list"
        case _:
            return "an object"


def _reject_json(problem: str) -> NoReturn:
    _reject("manifest.invalid_json", f"{MANIFEST_NAME} cannot be read: {problem}")


def _reject_schema(problem: str) -> NoReturn:
    _reject("manifest.schema", f"{MANIFEST_NAME}: {problem}")


def _reject(code: str, message: str, *, file: str = MANIFEST_NAME) -> NoReturn:
    raise Rejected(Failure.of(code, message, file=file))
