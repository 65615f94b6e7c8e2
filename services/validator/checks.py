"""What a drop must be beside its manifest: who sent it, what lies in its folder, what files hold.

The order in which the stage asks is the order of what helps a partner most: who, which files, are
they plain, are they the bytes that were meant, are they CSV, and only then what is in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NoReturn

from shared.errors import Failure, Rejected, shown
from shared.manifest import LOAD_ID_FORM, MANIFEST_NAME, Manifest, ManifestFile, is_load_id
from shared.partners import Partners
from shared.storage.port import ObjectInfo

MOST_OBJECTS: Final = 1_000
MAX_FILE_BYTES: Final = 64 * 1024**3

_GZIP_MAGIC = b"\x1f\x8b"
MAGIC_BYTES = len(_GZIP_MAGIC)
_MOST_NAMES = 3
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that holds nothing but what the manifest lists.

    Attributes:
        files: the object of each listed file that is there, pinned at the generation that was seen.
        missing: the listed files that are not there, or not yet, in the manifest's order.
    """

    files: Mapping[str, ObjectInfo]
    missing: tuple[str, ...]


def check_place(partner_folder: str, load_id: str, partners: Partners) -> str:
    """Whether a drop may lie where it lies; the source_system that its folder speaks for.

    Raises:
        Rejected: `partner.unknown` or `manifest.load_id_invalid`.
    """
    source_system = partners.source_system_of(partner_folder)
    if not is_load_id(load_id):
        _reject(
            "manifest.load_id_invalid",
            f"the folder is named {shown(load_id)} ({len(load_id)} characters), which is no "
            f"load_id; it must be {LOAD_ID_FORM}",
        )
    return source_system


def check_partner(manifest: Manifest, partner_folder: str, partners: Partners) -> None:
    """Whether the folder may speak for the manifest's source_system.

    Raises:
        Rejected: `partner.unknown`, or `manifest.partner_mismatch`, which is a security event.
    """
    allowed = partners.source_system_of(partner_folder)
    if manifest.source_system != allowed:
        _reject(
            "manifest.partner_mismatch",
            f"the manifest claims the source_system {shown(manifest.source_system)}, but the "
            f"folder {shown(partner_folder)} speaks for {shown(allowed)}",
            file=MANIFEST_NAME,
        )


def check_folder(manifest: Manifest, prefix: str, objects: Sequence[ObjectInfo]) -> Folder:
    """Hold a folder's objects against the manifest.

    A missing file is no verdict yet, for uploads may run side by side: see `missing_files`.

    Args:
        manifest: what should be there.
        prefix: the folder's name in the bucket, with its final slash.
        objects: the live objects whose names start with the prefix, in name order; more than
            MOST_OBJECTS are never needed, and stand for any number.

    Raises:
        Rejected: `file.unexpected`, `file.too_large` or `file.content_encoding`.
    """
    found = {item.name.removeprefix(prefix): item for item in objects}
    listed = [file.name for file in manifest.files]
    unexpected = [
        name
        for name, item in found.items()
        if name not in {*listed, MANIFEST_NAME} and not _is_folder_object(name, item)
    ]
    if unexpected:
        is_cut = len(objects) > MOST_OBJECTS
        missing = [] if is_cut else [name for name in listed if name not in found]
        _reject_unexpected(unexpected, missing, is_cut=is_cut)
    for name in listed:
        if name in found and found[name].size_bytes > MAX_FILE_BYTES:
            _reject(
                "file.too_large",
                f"{name} has {found[name].size_bytes} bytes; at most {MAX_FILE_BYTES} are read",
                file=name,
            )
        if name in found and found[name].content_encoding:
            encoding = shown(found[name].content_encoding)
            _reject(
                "file.content_encoding",
                f"{name} has the contentEncoding {encoding}; files are read as they are stored",
                file=name,
            )
    return Folder(
        files={name: found[name] for name in listed if name in found},
        missing=tuple(name for name in listed if name not in found),
    )


def missing_files(folder: Folder, prefix: str) -> Failure:
    """The verdict on a folder whose missing files were waited for long enough.

    Args:
        folder: what was found.
        prefix: the folder's name in the bucket, with its final slash.
    """
    names = ", ".join(folder.missing)
    return Failure.of(
        "file.missing",
        f"listed in {MANIFEST_NAME}, but not in the folder {prefix}: {names}",
        file=folder.missing[0],
    )


def check_first_bytes(file_name: str, head: bytes) -> None:
    """Whether a file begins like one that is not compressed.

    Raises:
        Rejected: `file.content_encoding`.
    """
    if head.startswith(_GZIP_MAGIC):
        _reject("file.content_encoding", f"{file_name} is compressed with gzip", file=file_name)


def check_checksum(file: ManifestFile, sha256: str) -> None:
    """Whether the file holds the bytes that the manifest was written for.

    Raises:
        Rejected: `file.checksum_mismatch`, with both values.
    """
    if sha256 != file.sha256:
        _reject(
            "file.checksum_mismatch",
            f"{file.name} has the SHA-256 {sha256}; the manifest says {file.sha256}",
            file=file.name,
        )


def check_contents(file: ManifestFile, *, rows: int, sums: Mapping[str, Decimal | None]) -> None:
    """Whether the file holds as many rows, and such sums, as the manifest says.

    Args:
        file: what the manifest says.
        rows: the file's data rows.
        sums: the exact sum of each column that has a control total; None where there is none
            because a value is no number.

    Raises:
        Rejected: `file.row_count_mismatch` or `file.total_mismatch`, with both values.
    """
    if rows != file.rows:
        _reject(
            "file.row_count_mismatch",
            f"{file.name} has {rows} data rows; the manifest says {file.rows}",
            file=file.name,
        )
    for column, total in file.totals.items():
        found = sums[column]
        if found != total:
            what = (
                "has a value that is no number" if found is None else f"adds up to {_amount(found)}"
            )
            _reject(
                "file.total_mismatch",
                f"{file.name}: {column} {what}; the manifest says {_amount(total)}",
                file=file.name,
                column=column,
            )


def _amount(number: Decimal) -> str:
    return shown(f"{number:f}").replace("'", "")


def _is_folder_object(name: str, item: ObjectInfo) -> bool:
    """The empty object by which the storage console shows a folder."""
    return name == "" and item.size_bytes == 0


def _reject_unexpected(names: Sequence[str], missing: Sequence[str], *, is_cut: bool) -> NoReturn:
    listing = ", ".join(shown(name) for name in names[:_MOST_NAMES])
    more = f"{len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    if more:
        more = f" and at least {more}" if is_cut else f" and {more}"
    absent = f"; listed, but not there: {', '.join(missing)}" if missing else ""
    first = names[0]
    is_plain = first.isascii() and first.isprintable() and len(first) <= _LONGEST_NAME
    _reject(
        "file.unexpected",
        f"in the folder, but not in the manifest: {listing}{more}{absent}",
        file=first if is_plain else None,
    )


def _reject(
    code: str, message: str, *, file: str | None = None, column: str | None = None
) -> NoReturn:
    raise Rejected(Failure.of(code, message, file=file, column=column))
