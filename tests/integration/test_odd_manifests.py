"""Manifests that look odd and keep the contract: taken like any other."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.manifest import MAX_MANIFEST_BYTES
from tests.drops import Drop
from tests.verdicts import Outcome, assert_accepted, take_all

Manifest = dict[str, Any]


def bent(bend: Callable[[Manifest], object]) -> Callable[[Drop], bytes]:
    """A good manifest with one thing changed."""

    def text(drop: Drop) -> bytes:
        manifest = drop.manifest()
        bend(manifest)
        return json.dumps(manifest).encode()

    return text


def created(at: str) -> Callable[[Drop], bytes]:
    return bent(lambda manifest: manifest.update(created_at=at))


def in_another_order(drop: Drop) -> bytes:
    manifest = drop.manifest()
    return json.dumps({key: manifest[key] for key in reversed(manifest)}).encode()


ODD: dict[str, Callable[[Drop], bytes]] = {
    "65536-bytes": lambda drop: json.dumps(drop.manifest()).encode().ljust(MAX_MANIFEST_BYTES),
    "keys-in-another-order": in_another_order,
    "files-in-another-order": bent(lambda manifest: manifest["files"].reverse()),
    "no-totals": bent(lambda manifest: manifest["files"][0].update(totals={})),
    "4-minutes-ahead": created((datetime.now(UTC) + timedelta(minutes=4)).isoformat()),
    "lower-case-zone": created("2026-01-01t00:00:00.5z"),
    "year-1": created("0001-01-01T00:00:00Z"),
    "year-1969": created("1969-12-31T23:59:59.999999Z"),
}


@pytest.fixture(scope="module")
def outcomes(mysql_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    drops = [Drop(load_id=name, partner=name) for name in ODD]
    root = tmp_path_factory.mktemp("bucket")
    return take_all(mysql_server_url, root, [(drop, ODD[drop.load_id](drop)) for drop in drops])


@pytest.mark.parametrize("name", ODD)
def test_a_manifest_that_looks_odd_but_keeps_the_contract_is_taken(
    name: str, outcomes: dict[str, Outcome]
) -> None:
    assert_accepted(outcomes[name])
    assert outcomes[name].offline_failure == {}
