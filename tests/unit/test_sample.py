"""The sample drop: legal, odd enough, the same every time, and of any size."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from crossdock.offline_check import check
from crossdock.pack import pack
from infra.local.sample import generate
from shared.contracts.model import contracts
from shared.csv_records import RecordReader, fields_of
from shared.partners import Partners

V1 = contracts()["v1"]
Rows = dict[str, list[Mapping[str, str]]]


def read(folder: Path) -> Rows:
    rows: Rows = {}
    for entity in V1.entities:
        reader = RecordReader(entity.file_name, entity.header)
        records = reader.feed((folder / entity.file_name).read_bytes()) + reader.finish()
        rows[entity.name] = [
            dict(zip(entity.header, fields_of(record), strict=True)) for record in records
        ]
    return rows


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drops") / "imports" / "acme" / "sample-1"
    generate(folder, seed=7)
    return folder


@pytest.fixture(scope="module")
def rows(folder: Path) -> Rows:
    return read(folder)


def test_the_sample_is_a_good_drop_without_a_reject(folder: Path) -> None:
    pack(folder, "sample-1", "acme", datetime(2026, 3, 1, tzinfo=UTC))

    verdict = check(folder, partner=None, partners=Partners(), now=datetime.now(UTC)).to_json()

    assert verdict["ok"]
    assert verdict["rejects"] == []
    assert [counts["unresolved"] for counts in verdict["entities"].values()] == [0, 0, 0, 0]


def test_the_counts_returned_are_those_of_the_files(tmp_path: Path) -> None:
    counts = generate(tmp_path, seed=1, customers=40)

    assert counts == {name: len(rows) for name, rows in read(tmp_path).items()}
    assert counts["customers"] == 40


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(tmp_path / name, seed=seed, customers=30)

    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_a_drop_has_a_few_thousand_rows_in_the_shape_of_a_real_one(rows: Rows) -> None:
    per_customer = {name: len(rows[name]) / 500 for name in rows}

    assert per_customer["customers"] == 1
    assert per_customer["vehicles"] == pytest.approx(1.5, rel=0.1)
    assert per_customer["invoices"] == pytest.approx(3, rel=0.1)
    assert per_customer["line_items"] == pytest.approx(5.5, rel=0.1)


def test_a_row_has_about_84_bytes(folder: Path, rows: Rows) -> None:
    size_bytes = sum((folder / entity.file_name).stat().st_size for entity in V1.entities)

    assert size_bytes / sum(map(len, rows.values())) == pytest.approx(84, rel=0.1)


def test_one_file_has_crlf_and_the_others_lf(folder: Path) -> None:
    for entity in V1.entities:
        header = ",".join(entity.header).encode()
        end = b"\r\n" if entity.name == "vehicles" else b"\n"
        assert (folder / entity.file_name).read_bytes().startswith(header + end)


def test_each_oddity_of_real_exports_is_there(rows: Rows) -> None:
    customers = rows["customers"]
    keys = [row["source_customer_id"] for row in customers]
    names = {value for row in customers for value in row.values()}

    assert {"C-ABC", "C-abc", "C-caf\xe9", "C-cafe\u0301", "12", "0012"} <= set(keys)
    assert {"NULL", "\\N", "C:\\temp\\new", "@lias", "=SUM(A1:A9) Motors", "+1 Autos"} <= names
    for part in ("\n", "\r\n", '"', ",", "\U0001f697", "\u2028", "\x85", "<script>", "\\"):
        assert any(part in name for name in names), part
    for script in ("Müller", "Шевченко", "佐藤", "محمد", "शर्मा", "כהן", "Παπαδόπουλος"):
        assert script in names
    assert any(all(not row[it] for it in row if it != "source_customer_id") for row in customers)
    assert any(row["line_total"].endswith("0") for row in rows["line_items"])
    assert any(row["line_total"].startswith("-") for row in rows["line_items"])


def test_money_adds_up(rows: Rows) -> None:
    sums: dict[str, Decimal] = {}
    for row in rows["line_items"]:
        product = Decimal(row["quantity"]) * Decimal(row["unit_price"])
        assert product == Decimal(row["line_total"])
        invoice = row["source_invoice_id"]
        sums[invoice] = sums.get(invoice, Decimal(0)) + product
    for row in rows["invoices"]:
        assert Decimal(row["subtotal"]) == sums[row["source_invoice_id"]]
        assert Decimal(row["total"]) == Decimal(row["subtotal"]) + Decimal(row["tax"] or 0)


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_another_version_changes_that_share_of_the_rows_and_no_key(
    tmp_path: Path, share: float
) -> None:
    generate(tmp_path / "base", seed=3, customers=400)
    counts = generate(tmp_path / "next", seed=3, customers=400, version=2, changed_share=share)
    base, changed = read(tmp_path / "base"), read(tmp_path / "next")

    different = 0
    for entity in V1.entities:
        for before, after in zip(base[entity.name], changed[entity.name], strict=True):
            different += before != after
            for key in filter(None, (entity.key, entity.parent_key)):
                assert before[key] == after[key]
    assert different / sum(counts.values()) == pytest.approx(share, rel=0.15)
    pack(tmp_path / "next", "next", "acme", datetime(2026, 3, 1, tzinfo=UTC))
    verdict = check(tmp_path / "next", partner=None, partners=Partners(), now=datetime.now(UTC))
    assert verdict.ok
    assert verdict.rejects == []


def test_a_version_is_the_same_whenever_it_is_asked_for(tmp_path: Path) -> None:
    for name, version in (("a", 2), ("b", 2), ("c", 3)):
        generate(tmp_path / name, seed=3, customers=50, version=version, changed_share=0.2)

    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_a_share_of_zero_changes_nothing(tmp_path: Path) -> None:
    generate(tmp_path / "a", seed=3, customers=50)
    generate(tmp_path / "b", seed=3, customers=50, version=9, changed_share=0)

    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_the_smallest_drop_is_empty_files_with_headers(tmp_path: Path) -> None:
    assert generate(tmp_path, seed=1, customers=0) == dict.fromkeys(read(tmp_path), 0)
