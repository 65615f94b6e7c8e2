"""What the validator decides about a folder, a partner and a file's bytes."""

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from services.validator.checks import (
    check_contents,
    check_first_bytes,
    check_folder,
    check_partner,
    missing_files,
)
from services.validator.inspect import InspectedFile, inspect_file
from shared.contracts.model import contracts
from shared.errors import Failure, Rejected
from shared.manifest import Manifest, ManifestFile
from shared.partners import Partner, Partners
from shared.storage.port import ObjectInfo

PREFIX = "imports/acme/load-1/"
NAMES = ("customers.csv", "vehicles.csv", "invoices.csv", "line_items.csv")
LINE_ITEMS = contracts()["v1"].entity("line_items")
HEADER = ",".join(LINE_ITEMS.header)
MANIFEST = Manifest(
    load_id="load-1",
    source_system="acme",
    schema_version="v1",
    created_at=datetime(2026, 3, 1, tzinfo=UTC),
    files=tuple(ManifestFile(name, 0, "0" * 64, {}) for name in NAMES),
)


def an_object(
    name: str, *, size_bytes: int = 10, content_encoding: str | None = None
) -> ObjectInfo:
    generation = 1_000 + len(name)
    return ObjectInfo(PREFIX + name, generation, size_bytes, content_encoding)


COMPLETE = [an_object(name) for name in (*NAMES, "manifest.json")]


def folder_failure(objects: list[ObjectInfo]) -> Failure:
    with pytest.raises(Rejected) as caught:
        check_folder(MANIFEST, PREFIX, objects)
    return caught.value.failure


def test_a_complete_folder_pins_each_listed_file_at_its_generation() -> None:
    folder = check_folder(MANIFEST, PREFIX, COMPLETE)

    assert folder.missing == ()
    assert dict(folder.files) == {name: an_object(name) for name in NAMES}


def test_the_consoles_empty_folder_object_is_ignored() -> None:
    folder = check_folder(MANIFEST, PREFIX, [*COMPLETE, an_object("", size_bytes=0)])

    assert set(folder.files) == set(NAMES)


@pytest.mark.parametrize(
    "name",
    [
        "extra.csv",
        "Customers.csv",
        "customers.csv.gz",
        "customers.csv~",
        "sub/customers.csv",
        "sub/",
        "manifest.json.bak",
        "Manifest.json",
        ".DS_Store",
        "cust\u043emers.csv",
        "a\nb",
        "ack.json",
    ],
)
def test_an_object_that_the_manifest_does_not_list_is_unexpected(name: str) -> None:
    failure = folder_failure([*COMPLETE, an_object(name, size_bytes=0)])

    assert failure.code == "file.unexpected"
    assert failure.message.isascii()
    assert failure.message.isprintable()
    assert failure.file in {name, None}


def test_a_folder_object_with_content_is_unexpected() -> None:
    assert folder_failure([*COMPLETE, an_object("", size_bytes=1)]).code == "file.unexpected"


def test_many_unexpected_objects_are_counted_not_listed() -> None:
    failure = folder_failure([*COMPLETE, *(an_object(f"x{i}" * 100) for i in range(500))])

    assert "and 497 more" in failure.message
    assert len(failure.message) < 600


def test_an_unexpected_object_is_told_together_with_what_is_missing() -> None:
    failure = folder_failure([*COMPLETE[1:], an_object("Customers.csv")])

    assert failure.code == "file.unexpected"
    assert failure.file == "Customers.csv"
    assert "not there: customers.csv" in failure.message


def test_missing_files_are_told_apart_for_they_may_still_come() -> None:
    folder = check_folder(MANIFEST, PREFIX, [COMPLETE[0], COMPLETE[3], COMPLETE[4]])

    assert folder.missing == ("vehicles.csv", "invoices.csv")
    assert set(folder.files) == {"customers.csv", "line_items.csv"}
    failure = missing_files(folder, PREFIX)
    assert (failure.code, failure.file) == ("file.missing", "vehicles.csv")
    assert failure.message == (
        f"listed in manifest.json, but not in the folder {PREFIX}: vehicles.csv, invoices.csv"
    )


def test_a_content_encoding_is_refused_and_shown() -> None:
    failure = folder_failure([an_object("customers.csv", content_encoding="gzip"), *COMPLETE[1:]])

    assert (failure.code, failure.file) == ("file.content_encoding", "customers.csv")
    assert "'gzip'" in failure.message


def test_the_folder_decides_who_the_partner_is() -> None:
    partners = Partners(partners={"a": Partner(folder="box-7", source_system="acme")})

    check_partner(MANIFEST, "box-7", partners)
    check_partner(MANIFEST, "acme", Partners())
    for folder, configured in (("globex", Partners()), ("acme2", partners)):
        with pytest.raises(Rejected) as caught:
            check_partner(MANIFEST, folder, configured)
        failure = caught.value.failure
        assert (failure.code, failure.file) == ("manifest.partner_mismatch", "manifest.json")
        assert "'acme'" in failure.message
        assert folder in failure.message


def test_an_unknown_partner_is_refused_before_the_manifests_claim_is_looked_at() -> None:
    with pytest.raises(Rejected) as caught:
        check_partner(MANIFEST, "globex", Partners(unknown_folders="refuse"))
    assert caught.value.failure.code == "partner.unknown"


@pytest.mark.parametrize("head", [b"\x1f\x8b", b"\x1f\x8b\x08\x00"])
def test_gzip_is_known_by_its_first_bytes(head: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        check_first_bytes("customers.csv", head)
    assert caught.value.failure.code == "file.content_encoding"


@pytest.mark.parametrize("head", [b"", b"\x1f", b"source", b"\x8b\x1f"])
def test_other_first_bytes_are_no_gzip(head: bytes) -> None:
    check_first_bytes("customers.csv", head)


def test_a_row_count_comes_before_a_total() -> None:
    file = ManifestFile("line_items.csv", 3, "0" * 64, {"line_total": Decimal(1)})

    with pytest.raises(Rejected, match="2 data rows; the manifest says 3") as caught:
        check_contents(file, rows=2, sums={"line_total": Decimal(2)})
    assert caught.value.failure.code == "file.row_count_mismatch"


@pytest.mark.parametrize(
    ("found", "told"),
    [(Decimal("10442.11"), "adds up to 10442.11"), (None, "has a value that is no number")],
)
def test_a_total_that_differs_by_a_cent_is_told_with_both_sums(
    found: Decimal | None, told: str
) -> None:
    file = ManifestFile("line_items.csv", 0, "0" * 64, {"line_total": Decimal("10442.10")})

    with pytest.raises(Rejected) as caught:
        check_contents(file, rows=0, sums={"line_total": found})

    failure = caught.value.failure
    assert (failure.code, failure.column) == ("file.total_mismatch", "line_total")
    assert told in failure.message
    assert "the manifest says 10442.10" in failure.message


def test_equal_totals_agree_however_they_are_written() -> None:
    file = ManifestFile("line_items.csv", 0, "0" * 64, {"line_total": Decimal("10.50")})

    check_contents(file, rows=0, sums={"line_total": Decimal("10.5")})


def line_items(*totals: str) -> bytes:
    rows = [f"L{i},I1,{i},part,,,1,1,{total}" for i, total in enumerate(totals)]
    return "".join(f"{line}\n" for line in (HEADER, *rows)).encode()


async def in_chunks(data: bytes, size_bytes: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size_bytes):
        yield data[start : start + size_bytes]


def inspect(
    data: bytes,
    *,
    rows: int,
    sha256: str | None = None,
    totals: Mapping[str, Decimal] | None = None,
    chunk_bytes: int = 7,
) -> InspectedFile:
    digest = sha256 or hashlib.sha256(data).hexdigest()
    file = ManifestFile("line_items.csv", rows, digest, totals or {})
    return asyncio.run(inspect_file(in_chunks(data, chunk_bytes), file, LINE_ITEMS))


def inspection_failure(data: bytes, **said: object) -> Failure:
    with pytest.raises(Rejected) as caught:
        inspect(data, **{"rows": 0, **said})  # type: ignore[arg-type]
    return caught.value.failure


@pytest.mark.parametrize("chunk_bytes", [1, 2, 7, 1_000_000])
def test_a_file_that_is_what_the_manifest_says_is_measured(chunk_bytes: int) -> None:
    data = line_items("1.50", "-0.5", "abc")

    found = inspect(
        data,
        rows=3,
        totals={"quantity": Decimal(3), "line_number": Decimal(3)},
        chunk_bytes=chunk_bytes,
    )

    assert found == InspectedFile(
        rows=3,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        sums={"quantity": Decimal(3), "line_number": Decimal(3)},
    )


def test_a_header_alone_is_a_file_without_rows() -> None:
    assert inspect(line_items(), rows=0).rows == 0


def test_a_checksum_that_differs_is_told_with_both_values() -> None:
    data = line_items("1.50")

    failure = inspection_failure(data, rows=7, sha256="0" * 64)

    assert (failure.code, failure.file) == ("file.checksum_mismatch", "line_items.csv")
    assert "0" * 64 in failure.message
    assert hashlib.sha256(data).hexdigest() in failure.message


@pytest.mark.parametrize(
    "data",
    [line_items("1.50")[:-20] + b'"', b"", line_items() + b"\xff\n" + b"x" * 100, b"a,b\n"],
    ids=["cut in a quote", "empty", "not UTF-8", "another header"],
)
def test_other_bytes_than_meant_are_told_as_such_even_if_they_are_no_csv_either(
    data: bytes,
) -> None:
    assert inspection_failure(data, sha256="0" * 64).code == "file.checksum_mismatch"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "file.header_missing"),
        (b"a,b\n", "file.header_mismatch"),
        (line_items() + b"\xff\n", "csv.encoding"),
        (line_items() + b"a,b\n", "csv.field_count"),
        (line_items() + b'a,"b', "csv.quoting"),
        (b"\xef\xbb\xbf" + line_items(), "csv.bom"),
    ],
)
def test_the_meant_bytes_that_are_no_csv_are_told_what_is_wrong(data: bytes, code: str) -> None:
    assert inspection_failure(data).code == code


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1_000])
@pytest.mark.parametrize("sha256", [None, "0" * 64])
def test_a_compressed_file_is_told_as_such_whatever_its_checksum(
    sha256: str | None, chunk_bytes: int
) -> None:
    data = gzip.compress(line_items("1.50"))

    failure = inspection_failure(data, sha256=sha256, chunk_bytes=chunk_bytes)

    assert failure.code == "file.content_encoding"


def test_a_row_count_that_differs_is_told_with_both_counts() -> None:
    failure = inspection_failure(line_items("1", "2"), rows=3)

    assert failure.code == "file.row_count_mismatch"
    assert "2 data rows; the manifest says 3" in failure.message


def test_a_total_counts_every_row_as_delivered() -> None:
    data = line_items("0.10", "0.20", "99999999999999999999.999")
    exact = Decimal("99999999999999999999.999") + Decimal("0.30")

    assert inspect(data, rows=3, totals={"line_total": exact}).sums == {"line_total": exact}
    failure = inspection_failure(data, rows=3, totals={"line_total": exact - Decimal("0.01")})
    assert (failure.code, failure.column) == ("file.total_mismatch", "line_total")


def test_a_value_that_is_no_number_makes_its_total_wrong() -> None:
    failure = inspection_failure(line_items("1", "12x"), rows=2, totals={"line_total": Decimal(1)})

    assert failure.code == "file.total_mismatch"
    assert "12x" not in failure.message


def test_the_event_loop_stays_free_while_a_chunk_is_read() -> None:
    data = line_items(*["1.50"] * 20_000)
    file = ManifestFile("line_items.csv", 20_000, hashlib.sha256(data).hexdigest(), {})

    async def tick(done: asyncio.Event) -> int:
        ticks = 0
        while not done.is_set():
            ticks += 1
            await asyncio.sleep(0)
        return ticks

    async def both() -> int:
        done = asyncio.Event()
        ticking = asyncio.create_task(tick(done))
        await inspect_file(in_chunks(data, len(data)), file, LINE_ITEMS)
        done.set()
        return await ticking

    assert asyncio.run(both()) > 10
