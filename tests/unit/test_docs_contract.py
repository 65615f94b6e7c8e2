"""docs/contract.md, by which a partner writes a drop, against the contract and its readers."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from crossdock.offline_check import check
from services.upserter.checks import MOST_STORED_REJECTS
from services.validator.checks import MAX_FILE_BYTES, MOST_OBJECTS
from shared import gcs_notification, manifest, push
from shared.contracts.model import Column, Entity, Kind, contracts
from shared.contracts.notation import parse_timestamp
from shared.contracts.row_rules import _RULES
from shared.csv_records.dialect import MAX_FIELD_BYTES
from shared.errors import catalogue
from shared.partners import FEWEST_REJECTS_OVER_LIMIT, Partners, RejectLimit
from tests.pages import code, column, page, section, table, unquoted

PAGE = page("docs/contract.md")
V1 = contracts()["v1"]


def type_of(column: Column) -> str:
    sizes = {
        Kind.TEXT: f"({column.size})",
        Kind.DECIMAL: f"({column.size},{column.scale})",
    }
    return f"{column.kind}{sizes.get(column.kind, '')}"


def test_the_files_stand_on_the_page_in_load_order() -> None:
    headings = [
        line.removeprefix("### ")
        for line in section(PAGE, "## The entities").splitlines()
        if line.startswith("### ")
    ]
    assert headings == [*(entity.file_name for entity in V1.entities), "Types", "Keys"]


@pytest.mark.parametrize("entity", V1.entities, ids=lambda entity: entity.name)
def test_a_files_table_tells_its_columns_types_and_keys(entity: Entity) -> None:
    rows = table(section(PAGE, f"### {entity.file_name}"))
    meanings = {entity.key: "the key"}
    if entity.parent_key is not None:
        meanings[entity.parent_key] = f"the parent: a key of {entity.parent}.csv"
    assert [tuple(map(unquoted, row.values())) for row in rows] == [
        (
            one.name,
            type_of(one),
            "required" if one.required else "optional",
            meanings.get(one.name, ""),
        )
        for one in entity.columns
    ]


def test_every_type_of_the_contract_is_explained() -> None:
    used = {one.kind for entity in V1.entities for one in entity.columns}
    explained = column(table(section(PAGE, "### Types")), "type")
    assert {kind.partition("(")[0] for kind in explained} == used


def test_the_example_is_a_valid_drop(tmp_path: Path) -> None:
    example = section(PAGE, "### An example")
    (document,) = code(example, "json")
    facts = json.loads(document)
    folder = tmp_path / "imports" / facts["source_system"] / facts["load_id"]
    folder.mkdir(parents=True)
    for entity, text in zip(V1.entities, code(example, "csv"), strict=True):
        (folder / entity.file_name).write_bytes(text.encode())
    (folder / "manifest.json").write_bytes(document.encode())

    clock = parse_timestamp(facts["created_at"]) + timedelta(hours=1)
    result = check(folder, partner=None, partners=Partners(), now=clock)

    assert result.failure is None
    assert not result.rejects
    assert all(counts.rows and not counts.unresolved for counts in result.entities.values())


def test_the_manifests_keys_are_those_that_are_read() -> None:
    keys = column(table(section(PAGE, "## manifest.json")), "key")
    assert [key for key in keys if "." not in key] == list(manifest._KEYS)
    members = [key.removeprefix("files[].") for key in keys if "." in key]
    assert members == list(manifest._FILE_KEYS)


def test_the_reasons_of_a_reject_stand_in_the_order_in_which_a_row_gets_them() -> None:
    rows = table(section(PAGE, "## Rejected rows"))
    codes = column(rows, "code")
    by_itself = [rule.code for rule in _RULES]
    assert codes[: len(by_itself)] == by_itself
    assert set(codes) == {code for code in catalogue() if code.startswith("row.")}


@pytest.mark.parametrize(
    ("heading", "promise"),
    [
        ("## manifest.json", f"at most {manifest.MAX_MANIFEST_BYTES // 1024} KiB"),
        (
            "## manifest.json",
            f"not more than {manifest.FUTURE_TOLERANCE // timedelta(minutes=1)} minutes in the",
        ),
        ("## The CSV dialect", f"at most {MAX_FIELD_BYTES:,} bytes"),
        ("## Rejected rows", f"more than {RejectLimit().percent} % of a file's rows"),
        ("## Rejected rows", f"at least {FEWEST_REJECTS_OVER_LIMIT},"),
        ("## Rejected rows", f"first {MOST_STORED_REJECTS:,} rejected rows"),
    ],
)
def test_limits_are_those_of_the_code(heading: str, promise: str) -> None:
    assert promise in " ".join(section(PAGE, heading).split())


def test_the_limits_on_what_a_stranger_sends_stand_in_one_table_with_their_codes() -> None:
    limits = section(PAGE, "## Limits")
    rejects = f"{RejectLimit().percent} % of its rows, or {FEWEST_REJECTS_OVER_LIMIT - 1}"
    assert [tuple(row.values()) for row in table(limits)] == [
        ("`manifest.json`", f"{manifest.MAX_MANIFEST_BYTES:,} bytes", "`manifest.too_large`"),
        (
            "brackets within brackets in `manifest.json`",
            f"{manifest._MOST_LEVELS}",
            "`manifest.invalid_json`",
        ),
        (
            "digits of an integer in `manifest.json`",
            f"{manifest._MOST_DIGITS:,}",
            "`manifest.invalid_json`",
        ),
        ("`load_id`", f"{longest(manifest.is_load_id)} characters", "`manifest.load_id_invalid`"),
        (
            "`source_system`",
            f"{longest(manifest.is_source_system)} characters",
            "`manifest.schema`",
        ),
        ("`files[].rows`", f"{manifest._MOST_ROWS:,}", "`manifest.schema`"),
        ("objects in the folder that are looked at", f"{MOST_OBJECTS:,}", "`file.unexpected`"),
        ("a file", f"{MAX_FILE_BYTES:,} bytes (64 GiB)", "`file.too_large`"),
        ("data rows of a file", "as `files[].rows` says", "`file.row_count_mismatch`"),
        ("fields of a row", "as the header has", "`csv.field_count`"),
        ("a field", f"{MAX_FIELD_BYTES:,} bytes", "`csv.field_too_large`"),
        ("rejected rows of a file", rejects, "`rejects.over_limit`"),
        ("a message pushed to a service", f"{push.LARGEST_BODY_BYTES:,} bytes", "HTTP status 400"),
    ]
    assert f"{gcs_notification.LONGEST_NAME:,} characters" in limits


def longest(accepts: Callable[[str], bool]) -> int:
    return max(size for size in range(1_000) if accepts("x" * size))
