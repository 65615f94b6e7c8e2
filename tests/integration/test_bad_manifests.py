"""Every manifest that is no good: what the pipeline and the offline check make of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.model import contracts
from shared.manifest import MAX_MANIFEST_BYTES
from tests.drops import Drop
from tests.verdicts import Outcome, assert_accepted, assert_rejected, take_all

SHA256 = "0" * 64
LOOK_ALIKE = "сustomers.csv"  # noqa: RUF001 - its first letter is Cyrillic

Manifest = dict[str, Any]
Bend = Callable[[Manifest], object]


@dataclass(frozen=True)
class Case:
    """A manifest bent out of shape: what it gets, and what the message must say."""

    name: str
    code: str
    says: tuple[str, ...]
    text: Callable[[Drop], bytes]
    file: str = "manifest.json"

    def drop(self) -> Drop:
        return Drop(load_id=self.name, partner=self.name)


def raw(name: str, code: str, data: bytes, *says: str) -> Case:
    """A manifest of these bytes."""
    return Case(name, code, says, lambda _drop: data)


def bent(name: str, code: str, bend: Bend, *says: str, file: str = "manifest.json") -> Case:
    """A good manifest with one thing changed."""

    def text(drop: Drop) -> bytes:
        manifest = drop.manifest()
        bend(manifest)
        return json.dumps(manifest).encode()

    return Case(name, code, says, text, file)


def twice(name: str, pair: str, key: str) -> Case:
    """A good manifest in which one key stands twice."""

    def text(drop: Drop) -> bytes:
        found = json.dumps(drop.manifest())
        assert found.count(pair) >= 1
        return found.replace(pair, f"{pair}, {pair}", 1).encode()

    return Case(name, "manifest.duplicate_key", (key, "twice"), text)


def ahead(*, minutes: int) -> Bend:
    """created_at so far ahead of the clock at the time when the manifest is written."""

    def bend(manifest: Manifest) -> None:
        moment = datetime.now(UTC) + timedelta(minutes=minutes)
        manifest["created_at"] = moment.isoformat()

    return bend


def having(**changes: object) -> Bend:
    return lambda manifest: manifest.update(changes)


def without(key: str) -> Bend:
    return lambda manifest: manifest.pop(key)


def with_file(position: int, **changes: object) -> Bend:
    return lambda manifest: manifest["files"][position].update(changes)


def without_file_key(key: str) -> Bend:
    return lambda manifest: manifest["files"][1].pop(key)


INVALID = "manifest.invalid_json"
NOT_JSON = [
    raw("empty", INVALID, b"", "line 1, column 1"),
    raw("not-json", INVALID, b"load_id: load-1\n", "line 1, column 1"),
    raw("half-a-manifest", INVALID, b'{"load_id": "load-1", ', "line 1, column 23"),
    raw("trailing-comma", INVALID, b'{"load_id": "x",}', "line 1"),
    raw("two-documents", INVALID, b"{}{}", "line 1, column 3"),
    raw("bom", INVALID, b"\xef\xbb\xbf{}", "byte order mark"),
    raw("utf-16", INVALID, "{}".encode("utf-16"), "byte 1 is not UTF-8"),
    raw("utf-16-without-bom", INVALID, "{}".encode("utf-16-le"), "line 1, column 2"),
    raw("latin-1", INVALID, b'{"load_id": "\xe9"}', "byte 14 is not UTF-8"),
    raw("30000-levels", INVALID, b"[" * 30_000 + b"]" * 30_000, "nested too deep"),
    raw("30000-objects", INVALID, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested too deep"),
    raw("5000-digits", INVALID, b'{"rows": ' + b"1" * 5_000 + b"}", "5000 digits"),
    raw("nan", INVALID, b'{"rows": NaN}', "NaN"),
    raw("infinity", INVALID, b'{"rows": [Infinity]}', "Infinity"),
    raw("minus-infinity", INVALID, b'{"rows": -Infinity}', "-Infinity"),
]
TOO_LARGE = [
    raw("too-large", "manifest.too_large", b" " * (MAX_MANIFEST_BYTES + 1), "65537", "65536"),
]
TWICE = [
    twice("twice-outside", '"schema_version": "v1"', "'schema_version'"),
    twice("twice-in-a-file", '"rows": 3', "'rows'"),
    raw(
        "twice-escaped",
        "manifest.duplicate_key",
        rb'{"load_id": "a", "load\u005fid": "b"}',
        "'load_id'",
    ),
]

SCHEMA = "manifest.schema"
OUT_OF_FORM = [
    *(
        bent(f"without-{key}", SCHEMA, without(key), key, "missing")
        for key in ("load_id", "source_system", "schema_version", "created_at", "files")
    ),
    *(
        bent(f"file-without-{key}", SCHEMA, without_file_key(key), f"files[1].{key}", "missing")
        for key in ("name", "rows", "sha256")
    ),
    bent("unknown-key", SCHEMA, having(note="x"), "'note'"),
    bent("unknown-file-key", SCHEMA, with_file(2, encoding="x"), "files[2]", "'encoding'"),
    bent("rows-text", SCHEMA, with_file(0, rows="12"), "files[0].rows", "'12'"),
    bent("rows-float", SCHEMA, with_file(0, rows=12.0), "files[0].rows", "12.0"),
    bent("rows-true", SCHEMA, with_file(0, rows=True), "files[0].rows", "true"),
    bent("rows-negative", SCHEMA, with_file(0, rows=-1), "files[0].rows", "-1"),
    bent("rows-null", SCHEMA, with_file(3, rows=None), "files[3].rows", "null"),
    bent("rows-65-bits", SCHEMA, with_file(3, rows=2**64), "files[3].rows", str(2**64)),
    bent("sha-upper", SCHEMA, with_file(0, sha256="A" * 64), "files[0].sha256", "lower-case"),
    bent("sha-short", SCHEMA, with_file(0, sha256="0" * 63), "files[0].sha256", "63 characters"),
    bent("sha-break", SCHEMA, with_file(0, sha256=SHA256 + "\n"), "files[0].sha256", "65 char"),
    *(
        bent(f"created-at-{name}", SCHEMA, having(created_at=at), "created_at")
        for name, at in {
            "local": "2026-01-01T00:00:00",
            "date": "2026-01-01",
            "nanoseconds": "2026-01-01T00:00:00.0000001Z",
            "february-30": "2026-02-30T00:00:00Z",
            "number": 1767225600,
        }.items()
    ),
    bent("system-with-a-space", SCHEMA, having(source_system="a b"), "source_system"),
    bent("files-object", SCHEMA, having(files={}), "files must be a list"),
    bent("file-text", SCHEMA, lambda m: m["files"].append("x.csv"), "files[4]", "'x.csv'"),
    bent("totals-of-text", SCHEMA, with_file(0, totals={"city": "1"}), "'city'"),
    bent("total-number", SCHEMA, with_file(2, totals={"tax": 1.5}), "files[2].totals.tax"),
    bent("total-exponent", SCHEMA, with_file(2, totals={"tax": "1e2"}), "files[2].totals.tax"),
]
OTHER_VERSION = [
    bent(
        "version-unknown",
        "manifest.unknown_schema_version",
        having(schema_version="v0"),
        "'v0'",
        *contracts(),
    ),
]
OTHER_LOAD_ID = [
    bent(
        "load-id-other",
        "manifest.load_id_mismatch",
        having(load_id="another"),
        "'another'",
        "'load-id-other'",
    ),
    bent(
        "load-id-other-case",
        "manifest.load_id_mismatch",
        having(load_id="LOAD-ID-OTHER-CASE"),
        "'LOAD-ID-OTHER-CASE'",
    ),
    *(
        bent(
            f"load-id-{name}",
            "manifest.load_id_invalid",
            having(load_id=load_id),
            shown,
        )
        for name, load_id, shown in (
            ("empty", "", "''"),
            ("line-break", "load-1\n", r"\n"),
            ("quote", 'load"1', '"'),
            ("full-width-digit", "load-１", r"\uff11"),  # noqa: RUF001 - it looks like a 1
            ("101-characters", "x" * 101, "101 characters"),
            ("dots", "..", "'..'"),
            ("surrogate", "load\ud800", r"\ud800"),
        )
    ),
]
OTHER_PARTNER = [
    bent(
        "partner-other",
        "manifest.partner_mismatch",
        having(source_system="globex"),
        "'globex'",
        "'partner-other'",
    ),
    bent(
        "partner-other-case",
        "manifest.partner_mismatch",
        having(source_system="Partner-other-case"),
        "'Partner-other-case'",
    ),
]
FUTURE = [
    bent(
        "future",
        "manifest.created_at_future",
        ahead(minutes=6),
        "more than 5 minutes ahead",
    ),
    bent(
        "far-future",
        "manifest.created_at_future",
        having(created_at="9999-12-31T23:59:59.999999Z"),
        "'9999-12-31T23:59:59.999999Z'",
    ),
]
MISSING = "manifest.file_missing"
NAMES = [
    bent("no-vehicles", MISSING, lambda m: m["files"].pop(1), "vehicles.csv", file="vehicles.csv"),
    bent("no-file", MISSING, having(files=[]), "customers.csv", file="customers.csv"),
    bent(
        "invoices-twice",
        "manifest.file_duplicate",
        lambda manifest: manifest["files"].append(dict(manifest["files"][2])),
        "invoices.csv",
        file="invoices.csv",
    ),
    *(
        bent(f"name-{name}", "manifest.file_name_invalid", with_file(0, name=path), *says)
        for name, path, says in (
            ("above", "../customers.csv", ("files[0].name", "'../customers.csv'")),
            ("absolute", "/etc/passwd", ("'/etc/passwd'",)),
            ("capital", "Customers.csv", ("'Customers.csv'", "customers.csv")),
            ("percent", "cust%6Fmers.csv", ("'cust%6Fmers.csv'",)),
            ("look-alike", LOOK_ALIKE, (r"'\u0441ustomers.csv'",)),
            ("space", "customers.csv ", ("'customers.csv '",)),
            ("empty", "", ("''",)),
            ("manifest", "manifest.json", ("'manifest.json'",)),
        )
    ),
]
CASES = [
    *NOT_JSON,
    *TOO_LARGE,
    *TWICE,
    *OUT_OF_FORM,
    *OTHER_VERSION,
    *OTHER_LOAD_ID,
    *OTHER_PARTNER,
    *FUTURE,
    *NAMES,
]


def as_large_as_may_be(drop: Drop) -> bytes:
    return json.dumps(drop.manifest()).encode().ljust(MAX_MANIFEST_BYTES)


def in_another_order(drop: Drop) -> bytes:
    manifest = drop.manifest()
    return json.dumps({key: manifest[key] for key in reversed(manifest)}).encode()


GOOD = [
    Case("65536-bytes", "", (), as_large_as_may_be),
    Case("keys-in-another-order", "", (), in_another_order),
    bent("files-in-another-order", "", lambda manifest: manifest["files"].reverse()),
    bent("no-totals", "", with_file(0, totals={})),
    bent("4-minutes-ahead", "", ahead(minutes=4)),
    bent("lower-case-zone", "", having(created_at="2026-01-01t00:00:00.5z")),
    bent("year-1", "", having(created_at="0001-01-01T00:00:00Z")),
    bent("year-1969", "", having(created_at="1969-12-31T23:59:59.999999Z")),
]


@pytest.fixture(scope="module")
def outcomes(mysql_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    drops = [(case.drop(), case.text(case.drop())) for case in (*CASES, *GOOD)]
    return take_all(mysql_server_url, tmp_path_factory.mktemp("bucket"), drops)


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in (*CASES, *GOOD)]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_manifest_fails_its_load_and_the_message_says_why(
    case: Case, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[case.name]
    assert_rejected(outcome, case.code)
    failure = outcome.failure
    assert (failure["file"], failure["row"], failure["column"]) == (case.file, None, None)
    for words in case.says:
        assert words in failure["message"]
    assert failure["message"].isascii()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_offline_check_gives_a_bad_manifest_the_same_verdict(
    case: Case, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[case.name]
    assert outcome.checked.load_id == case.name
    told, offline = dict(outcome.failure), dict(outcome.offline_failure)
    if case.code == "manifest.created_at_future":  # it names the clock, which has gone on
        del told["message"], offline["message"]
    assert offline == told


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_a_manifest_that_looks_odd_but_keeps_the_contract_is_taken(
    case: Case, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[case.name]
    assert_accepted(outcome)
    assert outcome.offline_failure == {}


def test_a_manifest_that_claims_another_partner_is_marked_as_a_security_event(
    mysql_server_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_name = {case.name: case for case in CASES}
    for name, is_one in (("partner-other", True), ("rows-text", False)):
        case = by_name[name]
        take_all(mysql_server_url, tmp_path, [(case.drop(), case.text(case.drop()))])
        logged = capsys.readouterr().out
        assert "load.notice" in logged
        assert (f"security={is_one}" in logged) is True
