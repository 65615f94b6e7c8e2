"""Writes the manifest of a drop: counts its rows, hashes its files."""

import hashlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from services.validator.checks import MAGIC_BYTES, check_first_bytes
from shared.clock import now
from shared.contracts.model import Contract, Entity, contracts
from shared.csv_records import RecordReader
from shared.errors import Rejected
from shared.manifest import (
    MANIFEST_NAME,
    Manifest,
    ManifestFile,
    parse_manifest,
    render_manifest,
)
from shared.storage.port import CHUNK_BYTES

_NO_SHA256 = "0" * 64


class DropNotFound(Exception):  # noqa: N818 - a fact about what was asked for
    """The folder is not there, or lacks a file that it takes to begin; the text names it."""


class WrongValue(ValueError):  # noqa: N818 - a verdict on the call, not an error of ours
    """A value that was given is none that a manifest may have; the text names it."""


def pack(
    directory: Path,
    load_id: str,
    source_system: str,
    created_at: datetime | None = None,
) -> Manifest:
    """Write manifest.json for the CSV files of a folder, in the newest schema_version.

    The files are read once, in bounded memory. The manifest comes to its name complete, or not at
    all, and only if every file can be read as CSV.

    Args:
        directory: the folder with one CSV file per entity.
        load_id: the name of the drop's folder in the bucket.
        source_system: who delivers.
        created_at: the moment that the data stand for, with a zone; now if it is None.

    Raises:
        DropNotFound: the folder, or the file of an entity, is not there.
        Rejected: a file is no CSV of its entity.
        WrongValue: one of the other values is none that a manifest may have.
    """
    contract = list(contracts().values())[-1]
    manifest = _checked(_draft(contract, load_id, source_system, created_at))
    if not directory.is_dir():
        raise DropNotFound(f"{directory} is no folder")
    absent = [it.file_name for it in contract.entities if not (directory / it.file_name).is_file()]
    if absent:
        raise DropNotFound(f"{directory} has no {', no '.join(absent)}; a drop needs all of them")
    files = tuple(_describe(directory / it.file_name, it) for it in contract.entities)
    manifest = replace(manifest, files=files)
    _write(directory / MANIFEST_NAME, render_manifest(manifest))
    return manifest


def _draft(
    contract: Contract, load_id: str, source_system: str, created_at: datetime | None
) -> Manifest:
    """The manifest before its files were read."""
    if created_at is not None and created_at.tzinfo is None:
        raise WrongValue("created_at must have a zone")
    files = tuple(ManifestFile(it.file_name, 0, _NO_SHA256, {}) for it in contract.entities)
    return Manifest(load_id, source_system, contract.schema_version, created_at or now(), files)


def _checked(manifest: Manifest) -> Manifest:
    try:
        return parse_manifest(
            render_manifest(manifest),
            folder_load_id=manifest.load_id,
            now=now(),
            contracts=contracts(),
        )
    except Rejected as rejected:
        raise WrongValue(rejected.failure.message) from rejected


def _describe(path: Path, entity: Entity) -> ManifestFile:
    reader = RecordReader(entity.file_name, entity.header)
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        check_first_bytes(entity.file_name, file.read(MAGIC_BYTES))
        file.seek(0)
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            reader.feed(chunk)
    reader.finish()
    return ManifestFile(entity.file_name, reader.rows, sha256.hexdigest(), {})


def _write(path: Path, data: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(data)
    unfinished.replace(path)
