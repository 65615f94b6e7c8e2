"""What `check` says, on real folders."""

from collections.abc import Callable
from pathlib import Path

import pytest

from crossdock.offline_check import EntityCheck, check, partner_of
from crossdock.pack import DropNotFound
from shared.manifest import MAX_MANIFEST_BYTES
from shared.partners import Partner, Partners
from tests.unit.local_drops import NOW, V1, Drop, customer, invoice, line_item, row, vehicle


def test_a_good_drop_is_ok(drop: Drop) -> None:
    assert drop.check().to_json() == {
        "ok": True,
        "load_id": "load-1",
        "failure": None,
        "failure_if_unresolved": None,
        "entities": {
            entity.name: {"rows": 1, "rejected": 0, "unresolved": 0} for entity in V1.entities
        },
        "rejects": [],
        "unresolved": [],
    }


def test_a_header_alone_is_a_good_file(drop: Drop) -> None:
    for entity in V1.entities:
        drop.write(entity.name)
    drop.pack()

    assert drop.check().ok


def test_a_failure_reads_as_in_the_report(drop: Drop) -> None:
    drop.write("vehicles", vehicle("V1", "C1"), vehicle("V2", "C1"))

    verdict = drop.check().to_json()

    assert verdict["ok"] is False
    assert verdict["failure"]["code"] == "file.checksum_mismatch"
    assert verdict["failure"]["file"] == "vehicles.csv"
    assert verdict["failure"].keys() == {"code", "message", "remedy", "file", "row", "column"}
    assert (verdict["entities"], verdict["rejects"]) == ({}, [])


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda it: it.update(load_id="load-2"), "manifest.load_id_mismatch"),
        (lambda it: it.update(source_system="globex"), "manifest.partner_mismatch"),
        (lambda it: it.update(schema_version="v9"), "manifest.unknown_schema_version"),
        (lambda it: it.update(created_at="2026-03-01T12:05:01Z"), "manifest.created_at_future"),
        (lambda it: it["files"].pop(), "manifest.file_missing"),
        (lambda it: it["files"][0].update(rows=2), "file.row_count_mismatch"),
        (lambda it: it["files"][0].update(sha256="0" * 64), "file.checksum_mismatch"),
        (lambda it: it["files"][3].update(totals={"line_total": "1.51"}), "file.total_mismatch"),
        (lambda it: it["files"][3].update(totals={"line_total": "1.5"}), None),
    ],
)
def test_the_manifest_is_held_to_the_validators_rules(
    drop: Drop, edit: Callable[[dict[str, object]], object], code: str | None
) -> None:
    drop.edit_manifest(edit)

    assert drop.code() == code
    assert drop.check().load_id == "load-1"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "manifest.invalid_json"),
        (b"\xef\xbb\xbf{}", "manifest.invalid_json"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "manifest.too_large"),
    ],
)
def test_an_unreadable_manifest_leaves_the_folders_name_as_load_id(
    drop: Drop, data: bytes, code: str
) -> None:
    (drop.folder / "manifest.json").write_bytes(data)

    assert (drop.code(), drop.check().load_id) == (code, "load-1")


def test_the_folder_is_held_against_the_manifest(drop: Drop) -> None:
    (drop.folder / "notes").mkdir()
    assert drop.code() is None
    (drop.folder / "notes" / "extra.csv").write_text("x")
    assert drop.code() == "file.unexpected"
    (drop.folder / "notes" / "extra.csv").unlink()
    (drop.folder / "invoices.csv").unlink()
    assert drop.code() == "file.missing"


def test_a_folder_without_a_manifest_is_no_drop(tmp_path: Path) -> None:
    with pytest.raises(DropNotFound, match=r"has no manifest\.json; write it with"):
        check(tmp_path, partner=None, partners=Partners(), now=NOW)
    with pytest.raises(DropNotFound, match="is no folder"):
        check(tmp_path / "nowhere", partner=None, partners=Partners(), now=NOW)


@pytest.mark.parametrize("name", ["load-1", "my export", "drop"])
def test_a_folder_that_stands_nowhere_takes_the_manifests_load_id(
    tmp_path: Path, name: str
) -> None:
    drop = Drop(tmp_path / name)

    assert drop.check().to_json()["load_id"] == "load-1"
    assert drop.check().ok
    drop.edit_manifest(lambda it: it.update(created_at="yesterday"))
    assert (drop.code(), drop.check().load_id) == ("manifest.schema", "load-1")
    drop.edit_manifest(lambda it: it.update(load_id="../x"))
    assert (drop.code(), drop.check().load_id) == ("manifest.load_id_invalid", name)


@pytest.mark.parametrize("data", [b"{", b"[]", b"[" * 30_000, b"\xff", b" " * 70_000])
def test_a_folder_that_stands_nowhere_is_named_by_itself_if_the_manifest_cannot_be_read(
    tmp_path: Path, data: bytes
) -> None:
    drop = Drop(tmp_path / "drop")
    (drop.folder / "manifest.json").write_bytes(data)

    assert drop.check().load_id == "drop"
    assert not drop.check().ok


@pytest.mark.parametrize(
    ("path", "named", "partner"),
    [
        ("imports/acme/load-1", None, "acme"),
        ("imports/acme/load-1", "globex", "acme"),
        ("exports/acme/load-1", "globex", "globex"),
        ("exports/acme/load-1", None, "system"),
    ],
)
def test_the_path_tells_the_partner_then_the_option_then_the_manifest(
    tmp_path: Path, path: str, named: str | None, partner: str
) -> None:
    assert partner_of(tmp_path / path, named, "system") == partner


def test_the_configured_partner_is_the_one_that_counts(tmp_path: Path) -> None:
    drop = Drop(tmp_path / "load-1")
    partners = Partners(partners={"acme": Partner(folder="box-7", source_system="acme")})

    assert drop.check(partners, partner="box-7").ok
    for partner, code in (("acme", "partner.unknown"), ("other", "manifest.partner_mismatch")):
        failure = drop.check(partners, partner=partner).failure
        assert failure is not None
        assert failure.code == code


def test_a_faulty_row_is_a_reject_with_its_place(drop: Drop) -> None:
    drop.write("line_items", line_item("L1", "I1"), line_item("L2", "I1", quantity="1e3"))
    drop.pack()

    verdict = drop.check().to_json()

    assert verdict["ok"] is True
    assert verdict["entities"]["line_items"] == {"rows": 2, "rejected": 1, "unresolved": 0}
    assert verdict["rejects"] == [
        {
            "entity": "line_items",
            "row_no": 2,
            "source_key": "L2",
            "column": "quantity",
            "code": "row.type",
            "message": "quantity is not a number: optional sign, digits, and at most one point "
            "between digits",
        }
    ]


@pytest.mark.parametrize(
    ("values", "code", "column"),
    [
        ({"line_number": "12x"}, "row.type", "line_number"),
        ({"unit_price": "1,234.50"}, "row.type", "unit_price"),
        ({"unit_price": "\u0663"}, "row.type", "unit_price"),
        ({"unit_price": "1.23456"}, "row.range", "unit_price"),
        ({"line_number": "9223372036854775808"}, "row.range", "line_number"),
        ({"item_type": "x" * 21}, "row.too_long", "item_type"),
        ({"line_total": ""}, "row.required", "line_total"),
        ({"source_line_item_id": "L1 "}, "row.key_whitespace", "source_line_item_id"),
    ],
)
def test_each_row_rule_gives_its_code(
    drop: Drop, values: dict[str, str], code: str, column: str
) -> None:
    fields = {"source_line_item_id": "L1", "source_invoice_id": "I1", "line_number": "1"}
    fields |= {"quantity": "1", "unit_price": "1", "line_total": "1"}
    drop.write("line_items", row("line_items", **fields | values))
    drop.pack()

    (reject,) = drop.check().rejects

    assert (reject.code, reject.column) == (code, column)


def test_every_copy_of_a_key_is_rejected_and_names_the_other_rows(drop: Drop) -> None:
    drop.write(
        "customers", customer("C1"), customer("C2"), customer("C2"), customer("C2", country="DEU")
    )
    drop.pack()

    rejects = drop.check().rejects

    assert [(it.row_no, it.code) for it in rejects] == [
        (2, "row.duplicate_key"),
        (3, "row.duplicate_key"),
        (4, "row.too_long"),
    ]
    assert rejects[0].message.endswith(": 3, 4")
    assert rejects[1].message.endswith(": 2, 4")


def test_many_copies_are_counted_not_listed(drop: Drop) -> None:
    drop.write("customers", *[customer("C1")] * 500)
    drop.pack()

    rejects = drop.check().rejects

    assert rejects[0].message.endswith(": 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 489 more")
    assert rejects[499].message.endswith(": 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 489 more")


def test_keys_compare_byte_for_byte(drop: Drop) -> None:
    keys = ["ABC", "abc", "\xe9", "e\u0301", "ß", "ss", "C1"]
    drop.write("customers", *(customer(key) for key in keys))
    drop.pack()

    assert drop.check().rejects == []
    assert drop.check().entities["customers"].rows == 7


def test_a_rejected_parent_takes_its_children_with_it(drop: Drop) -> None:
    drop.write("customers", customer("C1"), customer("C2", country="DEU"))
    drop.write("vehicles", vehicle("V1", "C1"), vehicle("V2", "C2"))
    drop.write("invoices", invoice("I1", "V1"), invoice("I2", "V2"))
    drop.write("line_items", line_item("L1", "I1"), line_item("L2", "I2"))
    drop.pack()

    rejects = drop.check().rejects

    assert [(it.entity, it.source_key, it.column, it.code) for it in rejects] == [
        ("customers", "C2", "country", "row.too_long"),
        ("vehicles", "V2", "source_customer_id", "row.parent_rejected"),
        ("invoices", "I2", "source_vehicle_id", "row.parent_rejected"),
        ("line_items", "L2", "source_invoice_id", "row.parent_rejected"),
    ]


def test_the_copies_of_a_key_take_their_children_with_them(drop: Drop) -> None:
    drop.write("customers", customer("C1"), customer("C2"), customer("C2"))
    drop.write("vehicles", vehicle("V1", "C1"), vehicle("V2", "C2"), vehicle("V3", "C3"))
    drop.pack()

    result = drop.check()

    assert [(it.source_key, it.code) for it in result.rejects] == [
        ("C2", "row.duplicate_key"),
        ("C2", "row.duplicate_key"),
        ("V2", "row.parent_rejected"),
    ]
    assert result.entities["vehicles"] == EntityCheck(rows=3, rejected=1, unresolved=1)


def test_an_earlier_code_wins_over_a_rejected_parent(drop: Drop) -> None:
    drop.write("customers", customer("C1", country="DEU"))
    drop.write(
        "vehicles", vehicle("V1", "C1", odometer="x"), vehicle("V2", "C1"), vehicle("V2", "C9")
    )
    drop.pack()

    codes = [it.code for it in drop.check().rejects if it.entity == "vehicles"]

    assert codes == ["row.type", "row.duplicate_key", "row.duplicate_key"]
    assert drop.check().entities["vehicles"] == EntityCheck(rows=3, rejected=3, unresolved=0)


def test_odd_but_legal_texts_are_taken(drop: Drop) -> None:
    names = [
        "NULL",
        "\\N",
        '=cmd()|"x"',
        "@x",
        "<script>",
        "a,b",
        "two\nlines",
        "😀",
        "\u2028",
        "\\",
    ]
    drop.write("customers", *(customer(f"C{i}", last_name=name) for i, name in enumerate(names)))
    drop.pack()

    assert drop.check().rejects == []


def test_no_message_repeats_a_rows_value(drop: Drop) -> None:
    secret = "sk-7731"
    drop.write("customers", customer("C1", country=secret))
    drop.write("vehicles", vehicle("V1", "C1", odometer=secret))
    drop.write("invoices", invoice("I1", secret, total=secret))
    drop.write("line_items", line_item(secret, "I1"), line_item(secret, "I1"))
    drop.pack()

    rejects = drop.check().rejects

    assert len(rejects) == 5
    assert not any(secret in reject.message for reject in rejects)
