"""A good manifest, to be bent out of shape, and what the reader says of it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.contracts.model import contracts
from shared.errors import Failure, Rejected
from shared.manifest import (
    Manifest,
    parse_manifest,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LOAD_ID = "2026-03-01_acme"
FILE_NAMES = ("customers.csv", "vehicles.csv", "invoices.csv", "line_items.csv")
Edit = Callable[[dict[str, Any]], Any]


def document() -> dict[str, Any]:
    return {
        "load_id": LOAD_ID,
        "source_system": "acme",
        "schema_version": "v1",
        "created_at": "2026-03-01T09:15:00Z",
        "files": [
            {"name": name, "rows": position, "sha256": f"{position}" * 64}
            for position, name in enumerate(FILE_NAMES)
        ],
    }


def parse(data: bytes, folder: str = LOAD_ID) -> Manifest:
    return parse_manifest(data, folder_load_id=folder, now=NOW, contracts=contracts())


def parse_edited(edit: Edit) -> Manifest:
    edited = document()
    edit(edited)
    return parse(json.dumps(edited).encode())


def failure_of(data: bytes, folder: str = LOAD_ID) -> Failure:
    with pytest.raises(Rejected) as caught:
        parse(data, folder)
    return caught.value.failure


def failure_after(edit: Edit) -> Failure:
    edited = document()
    edit(edited)
    return failure_of(json.dumps(edited).encode())


def with_rows(value: str) -> bytes:
    return json.dumps(document()).replace('"rows": 2', f'"rows": {value}').encode()
