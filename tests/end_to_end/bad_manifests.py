"""Lines 1 to 12: manifests and folders that are no good."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.drops import Drop
from tests.end_to_end.bad_inputs import Bend, Case, bent, described

MOST_BYTES = 65_536
LOOK_ALIKE = "сustomers.csv"  # noqa: RUF001 - its first letter is Cyrillic
WIDE = "load-１"  # noqa: RUF001 - it looks like a 1


def raw(line: int, what: str, code: str, data: bytes, *says: str) -> Case:
    """A manifest of these bytes."""
    return Case(line, what, lambda _drop: data, code, "manifest.json", says=says)


def wrong(line: int, what: str, code: str, bend: Bend, *says: str) -> Case:
    """A good manifest with one thing changed."""
    return Case(line, what, bent(bend), code, "manifest.json", says=says)


def having(**changes: object) -> Bend:
    return lambda manifest: manifest.update(changes)


def without(key: str) -> Bend:
    return lambda manifest: manifest.pop(key)


def with_file(position: int, **changes: object) -> Bend:
    return lambda manifest: manifest["files"][position].update(changes)


def without_file_key(key: str) -> Bend:
    return lambda manifest: manifest["files"][1].pop(key)


def twice(what: str, pair: str, key: str) -> Case:
    """A good manifest in which one key stands twice."""

    def pack(drop: Drop) -> bytes:
        text = json.dumps(drop.manifest())
        assert pair in text
        return text.replace(pair, f"{pair}, {pair}", 1).encode()

    return Case(3, what, pack, "manifest.duplicate_key", "manifest.json", says=(key, "twice"))


def ahead(minutes: int) -> Bend:
    """created_at so far ahead of the clock when the manifest is written."""

    def bend(manifest: dict[str, Any]) -> None:
        manifest["created_at"] = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()

    return bend


INVALID = "manifest.invalid_json"
NOT_JSON = [
    raw(1, "no bytes", INVALID, b"", "empty"),
    raw(1, "not JSON", INVALID, b"load_id: load-1\n", "line 1, column 1"),
    raw(1, "half a manifest", INVALID, b'{"load_id": "load-1", ', "line 1, column 23"),
    raw(1, "byte order mark", INVALID, b"\xef\xbb\xbf{}", "byte order mark"),
    raw(1, "UTF-16", INVALID, "{}".encode("utf-16"), "UTF-16"),
    raw(1, "UTF-16 without mark", INVALID, "{}".encode("utf-16-le"), "UTF-16"),
    raw(1, "30000 levels", INVALID, b"[" * 30_000 + b"]" * 30_000, "nested too deep"),
    raw(1, "10000 objects", INVALID, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "too deep"),
    raw(1, "5000 digits", INVALID, b'{"rows": ' + b"1" * 5_000 + b"}", "5000 digits"),
    raw(1, "NaN", INVALID, b'{"rows": NaN}', "NaN"),
    raw(1, "Infinity", INVALID, b'{"rows": [Infinity]}', "Infinity"),
    raw(1, "minus Infinity", INVALID, b'{"rows": -Infinity}', "-Infinity"),
]
TOO_LARGE = [
    raw(2, "65537 bytes", "manifest.too_large", b" " * (MOST_BYTES + 1), "65537", "65536"),
    Case(2, "65536 bytes are read", lambda drop: described(drop).ljust(MOST_BYTES)),
]
TWICE = [
    twice("key twice", '"schema_version": "v1"', "'schema_version'"),
    twice("key of a file twice", '"rows": 3', "'rows'"),
    raw(
        3,
        "key twice in two spellings",
        "manifest.duplicate_key",
        rb'{"load_id": "a", "load\u005fid": "b"}',
        "'load_id'",
    ),
]

SCHEMA = "manifest.schema"
FORMS = [
    *(
        wrong(4, f"without {key}", SCHEMA, without(key), key, "missing")
        for key in ("load_id", "source_system", "schema_version", "created_at", "files")
    ),
    *(
        wrong(4, f"file without {key}", SCHEMA, without_file_key(key), f"files[1].{key}", "missing")
        for key in ("name", "rows", "sha256")
    ),
    *(
        wrong(4, f"rows as {what}", SCHEMA, with_file(0, rows=rows), "files[0].rows", shown)
        for what, rows, shown in (
            ("text", "12", "'12'"),
            ("12.0", 12.0, "12.0"),
            ("true", True, "true"),
            ("minus 1", -1, "-1"),
            ("65 bits", 2**64, str(2**64)),
        )
    ),
    *(
        wrong(4, f"sha256 {what}", SCHEMA, with_file(0, sha256=text), "files[0].sha256", shown)
        for what, text, shown in (
            ("upper case", "A" * 64, "lower-case"),
            ("short", "0" * 63, "63 characters"),
        )
    ),
    *(
        wrong(4, f"created_at {what}", SCHEMA, having(created_at=at), "created_at")
        for what, at in {
            "without zone": "2026-01-01T00:00:00",
            "in nanoseconds": "2026-01-01T00:00:00.0000001Z",
            "a number": 1767225600,
        }.items()
    ),
    wrong(4, "unknown key", SCHEMA, having(note="x"), "'note'"),
    wrong(4, "unknown key of a file", SCHEMA, with_file(2, size=1), "files[2]", "'size'"),
    wrong(4, "a list", SCHEMA, having(files={}), "files must be a list"),
    wrong(4, "source_system with a space", SCHEMA, having(source_system="a b"), "'a b'"),
    wrong(4, "total with exponent", SCHEMA, with_file(2, totals={"tax": "1e2"}), "totals.tax"),
]
OTHER_VERSION = [
    wrong(
        5,
        "unknown version",
        "manifest.unknown_schema_version",
        having(schema_version="v0"),
        "'v0'",
        "known: v1",
    ),
]

MISMATCH, NO_LOAD_ID = "manifest.load_id_mismatch", "manifest.load_id_invalid"
LOAD_IDS = [
    wrong(6, "another load_id", MISMATCH, having(load_id="x"), "'x'", "'06-another-load-id'"),
    wrong(6, "upper case", MISMATCH, having(load_id="06-UPPER-CASE"), "'06-UPPER-CASE'"),
    *(
        wrong(6, f"load_id {what}", NO_LOAD_ID, having(load_id=load_id), shown)
        for what, load_id, shown in (
            ("empty", "", "''"),
            ("with a line break", "load-1\n", r"\n"),
            ("with a quote", 'load"1', '"'),
            ("with a full-width digit", WIDE, r"\uff11"),
            ("of 101 characters", "x" * 101, "101 characters"),
            ("of half a surrogate pair", "load\ud800", r"\ud800"),
        )
    ),
]


def folder(what: str, partner: str, load_id: str, code: str, *says: str) -> Case:
    """A folder that can be no load's, whatever its manifest is."""
    return Case(6, f"folder {what}", lambda _: b"{", code, says=says, folder=(partner, load_id))


FOLDERS = [
    folder("with a line break", "odd-folders", "lo\nad", NO_LOAD_ID, r"\n"),
    folder("with a quote", "odd-folders", 'lo"ad', NO_LOAD_ID, '"'),
    folder("with a full-width digit", "odd-folders", WIDE, NO_LOAD_ID, r"\uff11"),
    folder("of 101 characters", "odd-folders", "x" * 101, NO_LOAD_ID, "xxx"),
    folder("with a space", "odd-folders", "lo ad", NO_LOAD_ID, "'lo ad'"),
    folder("with percent signs", "odd-folders", "%2e%2e", NO_LOAD_ID, "'%2e%2e'"),
    folder(
        "of a partner with a space", "odd folders", "load-1", "partner.unknown", "'odd folders'"
    ),
    folder("of a partner with an accent", "é", "load-1", "partner.unknown", r"'\xe9'"),
]

PARTNER, FUTURE = "manifest.partner_mismatch", "manifest.created_at_future"
OTHERS = [
    wrong(7, "another source_system", PARTNER, having(source_system="globex"), "'globex'"),
    wrong(7, "other case", PARTNER, having(source_system="07-Other-case"), "'07-Other-case'"),
    wrong(8, "an hour ahead", FUTURE, ahead(60), "more than 5 minutes ahead", "clock, 20"),
    wrong(8, "year 9999", FUTURE, having(created_at="9999-12-31T23:59:59Z"), "'9999-12-31T23"),
    Case(8, "4 minutes ahead are taken", bent(ahead(4))),
]


def listing(what: str, code: str, file: str, bend: Bend, *says: str) -> Case:
    """A list of files that is no good."""
    return Case(10, what, bent(bend), code, file, says=(file, *says))


LISTS = [
    listing(
        "file not listed", "manifest.file_missing", "vehicles.csv", lambda m: m["files"].pop(1)
    ),
    listing("no file listed", "manifest.file_missing", "customers.csv", having(files=[])),
    listing(
        "file listed twice",
        "manifest.file_duplicate",
        "invoices.csv",
        lambda manifest: manifest["files"].append(dict(manifest["files"][2])),
        "twice",
    ),
    *(
        wrong(10, f"name {what}", "manifest.file_name_invalid", with_file(0, name=name), shown)
        for what, name, shown in (
            ("above", "../customers.csv", "files[0].name is '../customers.csv'"),
            ("absolute", "/etc/passwd", "'/etc/passwd'"),
            ("with a capital", "Customers.csv", "'Customers.csv'; the files of a drop are cust"),
            ("with a percent sign", "cust%6Fmers.csv", "'cust%6Fmers.csv'"),
            ("with a look-alike letter", LOOK_ALIKE, r"'\u0441ustomers.csv'"),
            ("with a space", "customers.csv ", "'customers.csv '"),
        )
    ),
]


def holding(name: str) -> Callable[[Drop], bytes]:
    """One object more than the manifest lists."""

    def pack(drop: Drop) -> bytes:
        manifest = described(drop)
        drop.files[name] = b""
        return manifest

    return pack


def lacking(*names: str) -> Callable[[Drop], bytes]:
    """Some files less than the manifest lists."""

    def pack(drop: Drop) -> bytes:
        manifest = described(drop)
        for name in names:
            del drop.files[name]
        return manifest

    return pack


FOLDER_CONTENTS = [
    Case(
        11,
        "two files not there",
        lacking("vehicles.csv", "line_items.csv"),
        "file.missing",
        "vehicles.csv",
        says=("vehicles.csv, line_items.csv", "imports/11-two-files-not-there/"),
    ),
    *(
        Case(12, what, holding(name), "file.unexpected", file, says=(shown,))
        for what, name, file, shown in (
            ("a note", "notes.txt", "notes.txt", "'notes.txt'"),
            ("other case", "Customers.csv", "Customers.csv", "'Customers.csv'"),
            ("hidden", ".DS_Store", ".DS_Store", "'.DS_Store'"),
            ("nested", "old/customers.csv", "old/customers.csv", "'old/customers.csv'"),
            ("line break", "line\nbreak", None, r"'line\nbreak'"),
            ("look-alike letter", LOOK_ALIKE, None, r"'\u0441ustomers.csv'"),
            ("long name", "x" * 150, None, "'xxx"),
        )
    ),
]
MANIFESTS = [
    *(*NOT_JSON, *TOO_LARGE, *TWICE, *FORMS, *OTHER_VERSION, *LOAD_IDS, *FOLDERS, *OTHERS),
    *(*LISTS, *FOLDER_CONTENTS),
]
