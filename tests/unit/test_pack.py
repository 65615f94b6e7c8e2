"""What `pack` writes, on real folders."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from crossdock.pack import DropNotFound, WrongValue, pack
from shared.contracts.model import contracts
from shared.errors import Rejected
from shared.manifest import parse_manifest
from tests.unit.local_drops import FILE_NAMES, NOW, Drop, customer


def test_pack_writes_a_manifest_that_describes_the_files(drop: Drop) -> None:
    drop.write("customers", customer("C1", last_name="two\nlines, one row"), customer("C2"))

    manifest = pack(drop.folder, "load-1", "acme", NOW)

    data = (drop.folder / "manifest.json").read_bytes()
    assert manifest == parse_manifest(data, folder_load_id="load-1", now=NOW, contracts=contracts())
    assert (manifest.load_id, manifest.source_system) == ("load-1", "acme")
    assert (manifest.schema_version, manifest.created_at) == ("v1", NOW)
    assert [file.name for file in manifest.files] == FILE_NAMES
    assert [file.rows for file in manifest.files] == [2, 1, 1, 1]
    for file in manifest.files:
        content = (drop.folder / file.name).read_bytes()
        assert file.sha256 == hashlib.sha256(content).hexdigest()


def test_pack_takes_the_time_now_where_none_is_given(drop: Drop) -> None:
    before = datetime.now(UTC)

    created_at = pack(drop.folder, "load-1", "acme").created_at

    assert before <= created_at <= datetime.now(UTC)


def test_pack_leaves_nothing_in_the_folder_but_the_manifest(drop: Drop) -> None:
    assert {path.name for path in drop.folder.iterdir()} == {*FILE_NAMES, "manifest.json"}


def test_pack_names_every_file_that_is_missing(drop: Drop) -> None:
    (drop.folder / "vehicles.csv").unlink()
    (drop.folder / "line_items.csv").unlink()

    with pytest.raises(DropNotFound, match=r"no vehicles\.csv, no line_items\.csv"):
        pack(drop.folder, "load-1", "acme", NOW)


def test_pack_says_of_a_folder_that_is_not_there_that_it_is_none(drop: Drop) -> None:
    for place in ("nowhere", "customers.csv"):
        with pytest.raises(DropNotFound, match=f"{place} is no folder"):
            pack(drop.folder / place, "load-1", "acme", NOW)


@pytest.mark.parametrize(
    ("load_id", "source_system", "created_at", "problem"),
    [
        ("a b", "acme", NOW, "load_id is 'a b'"),
        ("load-1", "acme.v2", NOW, "source_system is 'acme.v2'"),
        ("load-1", "acme", datetime.now(UTC) + timedelta(days=1), "created_at is .* ahead"),
    ],
)
def test_pack_refuses_what_no_manifest_may_say(
    drop: Drop, load_id: str, source_system: str, created_at: datetime, problem: str
) -> None:
    before = (drop.folder / "manifest.json").read_bytes()

    with pytest.raises(WrongValue, match=problem):
        pack(drop.folder, load_id, source_system, created_at)

    assert (drop.folder / "manifest.json").read_bytes() == before


def test_pack_refuses_a_time_without_a_zone(drop: Drop) -> None:
    with pytest.raises(WrongValue, match="zone"):
        pack(drop.folder, "load-1", "acme", datetime(2026, 3, 1))  # noqa: DTZ001 - the case


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"a,b\n", "file.header_mismatch"),
        (b"", "file.header_missing"),
        (b"\x1f\x8b\x08\x00", "file.content_encoding"),
    ],
)
def test_pack_refuses_a_file_that_no_load_could_take(drop: Drop, data: bytes, code: str) -> None:
    (drop.folder / "invoices.csv").write_bytes(data)

    with pytest.raises(Rejected) as caught:
        pack(drop.folder, "load-1", "acme", NOW)
    assert (caught.value.failure.code, caught.value.failure.file) == (code, "invoices.csv")
