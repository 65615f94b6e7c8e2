"""The manifest's rules, each with the code that a partner is told."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from shared.manifest import (
    MAX_MANIFEST_BYTES,
    Manifest,
    ManifestFile,
    is_load_id,
    is_source_system,
    render_manifest,
)
from tests.unit.manifests import (
    FILE_NAMES,
    LOAD_ID,
    NOW,
    Edit,
    document,
    failure_after,
    failure_of,
    parse,
    parse_edited,
    with_rows,
)


def test_a_manifest_that_keeps_the_contract_is_read_whole() -> None:
    edited = document()
    edited["files"][3]["totals"] = {"line_total": "10442.10", "quantity": "-3"}

    manifest = parse(json.dumps(edited).encode())

    assert manifest == Manifest(
        load_id=LOAD_ID,
        source_system="acme",
        schema_version="v1",
        created_at=datetime(2026, 3, 1, 9, 15, tzinfo=UTC),
        files=(
            *(ManifestFile(name, i, f"{i}" * 64, {}) for i, name in enumerate(FILE_NAMES[:3])),
            ManifestFile(
                "line_items.csv",
                3,
                "3" * 64,
                {"line_total": Decimal("10442.10"), "quantity": Decimal(-3)},
            ),
        ),
    )
    assert manifest.file("invoices.csv").rows == 2
    with pytest.raises(KeyError):
        manifest.file("unlisted.csv")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not json", id="not JSON"),
        pytest.param(json.dumps(document()).encode() + b"{}", id="two documents"),
        pytest.param(b"\xef\xbb\xbf" + json.dumps(document()).encode(), id="UTF-8 BOM"),
        pytest.param(json.dumps(document()).encode("utf-16"), id="UTF-16"),
        pytest.param(json.dumps(document()).encode("utf-16-le"), id="UTF-16 without BOM"),
        pytest.param(
            json.dumps(document()).replace("acme", "\xe9").encode("latin-1"), id="Latin-1"
        ),
        pytest.param(b"[" * 30_000 + b"]" * 30_000, id="30,000 levels of lists"),
        pytest.param(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, id="10,000 levels of objects"),
        pytest.param(with_rows("1" * 5_000), id="a 5,000-digit integer"),
        pytest.param(with_rows("-" + "1" * 5_000), id="a negative 5,000-digit integer"),
        pytest.param(with_rows("NaN"), id="NaN"),
        pytest.param(with_rows("Infinity"), id="Infinity"),
        pytest.param(with_rows("-Infinity"), id="-Infinity"),
        pytest.param(with_rows("012"), id="a leading zero"),
        pytest.param(json.dumps(document()).encode() + b",", id="a trailing comma"),
        pytest.param(b"{'load_id': 'x'}", id="single quotes"),
    ],
)
def test_what_is_no_json_document_is_invalid_json(data: bytes) -> None:
    assert failure_of(data).code == "manifest.invalid_json"


def test_the_largest_manifest_is_read_and_one_byte_more_is_not() -> None:
    data = json.dumps(document()).encode()
    padding = b" " * (MAX_MANIFEST_BYTES - len(data))

    assert parse(data + padding).load_id == LOAD_ID
    assert failure_of(data + padding + b" ").code == "manifest.too_large"


@pytest.mark.parametrize(
    "twice",
    [
        ('"load_id": ', f'"load_id": "{LOAD_ID}", "load_id": '),
        ('"rows": 1', '"rows": 1, "rows": 1'),
        ('"rows": 3', '"rows": 3, "totals": {"line_total": "1", "line_total": "2"}'),
        ('"load_id": ', '"load\\u005fid": "other", "load_id": '),
    ],
    ids=["at the top", "in a file", "in totals", "once escaped"],
)
def test_the_same_key_twice_is_a_duplicate_at_every_level(twice: tuple[str, str]) -> None:
    data = json.dumps(document()).replace(*twice).encode()

    assert failure_of(data).code == "manifest.duplicate_key"


@pytest.mark.parametrize(
    "key", ["load_id", "source_system", "schema_version", "created_at", "files"]
)
def test_a_missing_key_is_named(key: str) -> None:
    failure = failure_after(lambda it: it.pop(key))

    assert failure.code == "manifest.schema"
    assert key in failure.message


@pytest.mark.parametrize("value", [None, True, 12, 1.5, ["x"], {"x": "y"}])
@pytest.mark.parametrize("key", ["load_id", "source_system", "schema_version", "created_at"])
def test_a_text_of_another_type_is_a_schema_error_that_names_the_key(
    key: str, value: object
) -> None:
    failure = failure_after(lambda it: it.update({key: value}))

    assert failure.code == "manifest.schema"
    assert key in failure.message


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda it: it.update(comment="hello"), "comment"),
        (lambda it: it.update(Load_id="x"), "Load_id"),
        (lambda it: it["files"][0].update(bytes=1), "bytes"),
        (lambda it: it["files"][0].update({"row\u0455": 1}), "row\\u0455"),
    ],
)
def test_an_unknown_key_is_named(edit: Edit, named: str) -> None:
    failure = failure_after(edit)

    assert failure.code == "manifest.schema"
    assert named in failure.message


@pytest.mark.parametrize("whole", [b"[]", b'"text"', b"12", b"null", b"true", b"{}"])
def test_a_document_that_is_no_manifest_object_is_a_schema_error(whole: bytes) -> None:
    assert failure_of(whole).code == "manifest.schema"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T09:15:00Z", datetime(2026, 3, 1, 9, 15, tzinfo=UTC)),
        ("2026-03-01t09:15:00z", datetime(2026, 3, 1, 9, 15, tzinfo=UTC)),
        ("2026-03-01T09:15:00.5Z", datetime(2026, 3, 1, 9, 15, 0, 500_000, tzinfo=UTC)),
        ("2026-03-01T09:15:00.000001Z", datetime(2026, 3, 1, 9, 15, 0, 1, tzinfo=UTC)),
        ("2026-03-01T09:15:00+05:30", datetime(2026, 3, 1, 3, 45, tzinfo=UTC)),
        ("2026-02-28T23:15:00-08:00", datetime(2026, 3, 1, 7, 15, tzinfo=UTC)),
        ("2026-03-01T09:15:00-00:00", datetime(2026, 3, 1, 9, 15, tzinfo=UTC)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_created_at_is_read_with_its_zone(text: str, moment: datetime) -> None:
    assert parse_edited(lambda it: it.update(created_at=text)).created_at == moment


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T09:15:00",
        "2026-03-01 09:15:00Z",
        "2026-03-01T09:15Z",
        "2026-03-01",
        "20260301T091500Z",
        "2026-03-01T09:15:00.1234567Z",
        "2026-03-01T09:15:00.Z",
        "2026-03-01T09:15:00,5Z",
        "2026-03-01T09:15:60Z",
        "2026-03-01T24:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "2026-03-01T09:15:00+0530",
        "2026-03-01T09:15:00+24:00",
        "2026-03-01T09:15:00 Z",
        "2026-03-01T09:15:00Z\n",
        " 2026-03-01T09:15:00Z",
        "\uff12026-03-01T09:15:00Z",
        "2026-W09-7T09:15:00Z",
        "",
    ],
)
def test_created_at_in_another_form_is_a_schema_error(text: str) -> None:
    failure = failure_after(lambda it: it.update(created_at=text))

    assert failure.code == "manifest.schema"
    assert "created_at" in failure.message


def test_created_at_may_run_ahead_by_five_minutes_and_no_more() -> None:
    limit = NOW + timedelta(minutes=5)
    later = limit + timedelta(microseconds=1)

    assert parse_edited(lambda it: it.update(created_at=limit.isoformat())).created_at == limit
    failure = failure_after(lambda it: it.update(created_at=later.isoformat()))
    assert failure.code == "manifest.created_at_future"


@pytest.mark.parametrize("version", ["v0", "v2", "V1", "v1 ", "1", ""])
def test_an_unknown_schema_version_is_told_which_ones_are_known(version: str) -> None:
    failure = failure_after(lambda it: it.update(schema_version=version))

    assert failure.code == "manifest.unknown_schema_version"
    assert "v1" in failure.message.split("known:")[1]


def test_a_later_version_with_keys_of_its_own_is_told_about_the_version() -> None:
    failure = failure_after(lambda it: it.update(schema_version="v2", region="eu"))

    assert failure.code == "manifest.unknown_schema_version"


@pytest.mark.parametrize(
    "load_id",
    [
        "",
        "a\nb",
        "a\n",
        'a"b',
        "a'b",
        "\uff11",
        "a" * 101,
        ".a",
        "-a",
        "_a",
        "a/b",
        "a b",
        "\xe9",
        "a\0",
    ],
)
def test_a_load_id_of_other_characters_is_invalid_even_if_the_folder_has_it_too(
    load_id: str,
) -> None:
    edited = document() | {"load_id": load_id}

    failure = failure_of(json.dumps(edited).encode(), folder=load_id)

    assert failure.code == "manifest.load_id_invalid"
    assert failure.message.isascii()
    assert failure.message.isprintable()
    assert not is_load_id(load_id)


@pytest.mark.parametrize("folder", ["2026-03-01_ACME", "other", ""])
def test_a_load_id_that_is_not_the_folders_name_is_a_mismatch(folder: str) -> None:
    failure = failure_of(json.dumps(document()).encode(), folder=folder)

    assert failure.code == "manifest.load_id_mismatch"
    assert LOAD_ID in failure.message


@pytest.mark.parametrize("load_id", ["a", "0", "a" * 100, "2026-03-01_acme.v2", "A-b_c.d"])
def test_a_load_id_of_the_allowed_characters_is_taken(load_id: str) -> None:
    edited = document() | {"load_id": load_id}

    assert parse(json.dumps(edited).encode(), folder=load_id).load_id == load_id
    assert is_load_id(load_id)


@pytest.mark.parametrize(
    "name", ["", "a" * 51, "a.b", "-a", "_a", "a b", "acme\n", "\uff41", "\xe9"]
)
def test_a_source_system_of_other_characters_is_a_schema_error(name: str) -> None:
    failure = failure_after(lambda it: it.update(source_system=name))

    assert failure.code == "manifest.schema"
    assert "source_system" in failure.message
    assert not is_source_system(name)


@pytest.mark.parametrize("name", ["a", "0", "A-b_c", "a" * 50])
def test_a_source_system_of_the_allowed_characters_is_taken(name: str) -> None:
    assert parse_edited(lambda it: it.update(source_system=name)).source_system == name
    assert is_source_system(name)


def test_the_version_is_created_at_in_whole_microseconds() -> None:
    manifest = parse_edited(lambda it: it.update(created_at="2026-03-01T09:15:00.123457Z"))

    assert manifest.version == 1_772_356_500_123_457
    assert type(manifest.version) is int


def test_a_moment_before_1970_has_a_version_too() -> None:
    manifest = parse_edited(lambda it: it.update(created_at="1969-12-31T23:59:59.999999Z"))

    assert manifest.version == -1


def test_a_rendered_manifest_reads_back_as_itself() -> None:
    manifest = parse_edited(
        lambda it: it["files"][2].update(totals={"total": "-10442.10", "tax": "0.00"})
    )
    elsewhere = dataclasses.replace(
        manifest,
        created_at=datetime(2026, 3, 1, 9, 15, 0, 7, tzinfo=timezone(timedelta(hours=2))),
    )

    assert parse(render_manifest(manifest)) == manifest
    assert parse(render_manifest(elsewhere)) == elsewhere
    assert b'"created_at": "2026-03-01T07:15:00.000007Z"' in render_manifest(elsewhere)
    assert b'"total": "-10442.10"' in render_manifest(manifest)
