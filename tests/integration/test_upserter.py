"""Which rows are rejected, why, and when that fails the load: on the real MySQL."""

from dataclasses import replace
from decimal import Decimal

import pytest

from shared.csv_records import encode_record
from shared.errors import Rejected, TransientFault
from shared.mysql.connect import Database
from shared.partners import Partner, Partners
from shared.stage import Parts
from tests.production import content, is_empty
from tests.upserts import apply, counts, deliver, family, ids, pin, production, rejects, row, stage


@pytest.fixture
def lenient(parts: Parts) -> Parts:
    """Parts under which a file may consist of rejects."""
    acme = Partner(folder="acme", source_system="acme", reject_limit_percent=Decimal(100))
    return replace(parts, partners=Partners(partners={"acme": acme}))


KEYS_OF_A_VEHICLE = ("source_vehicle_id", "source_customer_id")
WRONG_VEHICLES = {
    "row.type": [
        {"odometer": value} for value in ("12x", "1e3", "1,234", " 5", "٣", "+", "--1", "1.0", "\n")
    ],
    "row.range": [{"odometer": "9223372036854775808"}, {"model_year": "-9223372036854775809"}],
    "row.too_long": [
        {"vin": "x" * 18},
        {"make": "é" * 61},
        *({key: "é" * size} for key in KEYS_OF_A_VEHICLE for size in (65, 256, 32_768)),
    ],
    "row.key_whitespace": [
        {"source_vehicle_id": value} for value in (" V", "V\t", "\u00a0V", "V\u3000", "V\u2028")
    ],
    "row.required": [{"source_vehicle_id": ""}],
}
WRONG_INVOICES = {
    "row.type": [
        *(
            {"invoice_date": value}
            for value in ("2025-02-30", "0000-00-00", "25/12/01", "2025-1-1")
        ),
        *({"total": value} for value in ("1e3", "1,234.50", ".5", "5.", "NaN", "")),
    ],
    "row.range": [{"total": "1.234"}, {"tax": "12345678901"}],
    "row.required": [{"invoice_number": ""}, {"invoice_date": ""}],
}


@pytest.mark.parametrize(
    ("entity", "parent", "wrong"),
    [("vehicles", "C-1", WRONG_VEHICLES), ("invoices", "V-1", WRONG_INVOICES)],
)
async def test_a_wrong_value_rejects_its_row_with_code_and_column_and_no_other_row(
    lenient: Parts,
    database: Database,
    entity: str,
    parent: str,
    wrong: dict[str, list[dict[str, str]]],
) -> None:
    cases = [(code, values) for code, several in wrong.items() for values in several]
    bad = [row(entity, f"bad-{no}", parent) | values for no, (_, values) in enumerate(cases)]
    rows = {**family("1"), entity: [*family("1")[entity], *bad]}
    told = await deliver(lenient, database, "L", 1, rows)
    expected = {
        row_no: ("row.required" if values.get("total") == "" else code, next(iter(values)))
        for row_no, (code, values) in enumerate(cases, start=2)
    }
    assert await rejects(database, "L", entity) == expected
    assert told[entity] == {"inserted": 1, "rejected": len(bad)}


async def test_every_copy_of_a_key_is_rejected_and_names_the_others_faulty_ones_counted(
    parts: Parts, database: Database
) -> None:
    customers = [
        row("customers", "C-2"),
        row("customers", "C-1"),
        row("customers", "C-2", country="too long"),
        row("customers", "C-2"),
    ]
    told = await deliver(parts, database, "L", 1, {"customers": customers})
    key = "source_customer_id"
    assert await rejects(database, "L", "customers") == {
        1: ("row.duplicate_key", key),
        3: ("row.too_long", "country"),
        4: ("row.duplicate_key", key),
    }
    messages = await database.fetch_all("SELECT row_no, message FROM load_reject ORDER BY row_no")
    assert [told["message"] for told in messages] == [
        f"{key} stands in other rows too: 3, 4",
        "country has more than 2 characters",
        f"{key} stands in other rows too: 1, 3",
    ]
    assert told["customers"] == {"inserted": 1, "rejected": 3}
    assert list(await ids(database, "customers")) == ["C-1"]


async def test_a_copy_that_is_an_orphan_too_is_told_as_a_copy(
    parts: Parts, database: Database
) -> None:
    vehicles = [row("vehicles", "V", "C-1"), row("vehicles", "V", "nobody")]
    await deliver(parts, database, "L", 1, {**family("1"), "vehicles": vehicles})
    told = await rejects(database, "L", "vehicles")
    assert {code for code, _ in told.values()} == {"row.duplicate_key"}


async def test_keys_compare_byte_for_byte_and_text_is_kept_as_it_came(
    parts: Parts, database: Database
) -> None:
    keys = ["ABC", "abc", "\u00e9", "e\u0301", "ss", "ß", "NULL", "a b", "=cmd()", "<script>"]
    names = ["=cmd()", "@x", "<script>", "NULL", r"\N", "a\r\nb", "😀\u2028", "\x85", "tail ", '"']
    customers = [
        row("customers", key, first_name=name) for key, name in zip(keys, names, strict=True)
    ]
    told = await deliver(parts, database, "L", 1, {"customers": customers})
    assert told["customers"] == {"inserted": len(keys)}
    stored = await production(database, "customers")
    by_key = await ids(database, "customers")
    assert [stored[by_key[key]]["first_name"] for key in keys] == names


async def test_a_child_without_a_parent_is_an_orphan_or_its_parent_was_rejected(
    parts: Parts, database: Database
) -> None:
    rows = {
        "customers": [row("customers", "C-1"), row("customers", "C-2", country="too long")],
        "vehicles": [
            row("vehicles", "V-1", "C-1"),
            row("vehicles", "V-2", "C-2"),
            row("vehicles", "V-3", "c-1"),
            row("vehicles", "V-4", ""),
        ],
        "invoices": [row("invoices", f"I-{no}", f"V-{no}") for no in (1, 2, 3, 5)],
    }
    told = await deliver(parts, database, "L", 1, rows)
    customer, vehicle = "source_customer_id", "source_vehicle_id"
    assert await rejects(database, "L", "vehicles") == {
        2: ("row.parent_rejected", customer),
        3: ("row.orphan", customer),
        4: ("row.required", customer),
    }
    assert await rejects(database, "L", "invoices") == {
        2: ("row.parent_rejected", vehicle),
        3: ("row.parent_rejected", vehicle),
        4: ("row.orphan", vehicle),
    }
    assert told["invoices"] == {"inserted": 1, "rejected": 3}


async def test_a_parent_of_an_earlier_load_serves_even_if_this_drop_rejects_its_row(
    parts: Parts, database: Database
) -> None:
    await deliver(parts, database, "L1", 1, {"customers": [row("customers", "C-1")]})
    rows = {
        "customers": [row("customers", "C-1", country="too long")],
        "vehicles": [row("vehicles", "V-1", "C-1")],
    }
    told = await deliver(parts, database, "L2", 2, rows)
    assert told == {"customers": {"rejected": 1}, "vehicles": {"inserted": 1}}


async def test_another_partners_parent_does_not_count(parts: Parts, database: Database) -> None:
    await deliver(parts, database, "L1", 1, {"customers": [row("customers", "C-1")]}, "other")
    await deliver(parts, database, "L2", 1, {"vehicles": [row("vehicles", "V-1", "C-1")]})
    assert await rejects(database, "L2", "vehicles") == {1: ("row.orphan", "source_customer_id")}


async def test_a_reject_keeps_the_row_as_one_csv_record(lenient: Parts, database: Database) -> None:
    nasty = ["a,b", 'say "hi"', "line\r\nbreak", "tab\t", "\x01", "\x7f", "\x85é😀", " ", "\\", "'"]
    rows = [
        row("customers", f"C-{no}", first_name=name, country="too long")
        for no, name in enumerate(nasty)
    ]
    rows.append(row("customers", 'C"9', country="too long"))
    await deliver(lenient, database, "L", 1, {"customers": rows})
    stored = await database.fetch_all("SELECT source_key, raw FROM load_reject ORDER BY row_no")
    assert [told["raw"] for told in stored] == [encode_record(fields.values()) for fields in rows]
    assert [told["source_key"] for told in stored] == [f["source_customer_id"] for f in rows]


async def test_no_message_holds_a_value_of_the_row(lenient: Parts, database: Database) -> None:
    secret = "s3cret"
    rows = {
        "customers": [row("customers", secret), row("customers", secret)],
        "vehicles": [
            row("vehicles", f"{secret}-1", "C-1", odometer=secret),
            row("vehicles", f"{secret}-2", secret),
            row("vehicles", f"{secret}-3", f"{secret}-nobody"),
        ],
    }
    await deliver(lenient, database, "L", 1, rows)
    messages = await database.fetch_all("SELECT message FROM load_reject")
    assert len(messages) == 5
    assert not any(secret in told["message"] for told in messages)


async def test_stored_rejects_are_capped_and_their_count_is_exact(
    lenient: Parts, database: Database
) -> None:
    await stage(database, "L", 1, {"customers": [row("customers", "C-1")]})
    await database.execute("SET SESSION cte_max_recursion_depth = 20000")
    await database.execute(
        "INSERT INTO staging_customers (load_id, run, row_no, hashed_id, source_customer_id) "
        "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 10051) "
        "SELECT 'L', 1, i, 7, '' FROM n"
    )
    await pin(database, "L")
    await apply(lenient, "L")
    assert (await counts(database, "L"))["customers"] == {"inserted": 1, "rejected": 10_050}
    stored = "SELECT COUNT(*), MAX(row_no) FROM load_reject"
    assert await database.fetch_one(stored) == {"COUNT(*)": 10_000, "MAX(row_no)": 10_001}


@pytest.mark.parametrize("missing", ["one row", "all rows", "the files"])
async def test_a_load_of_which_staging_lacks_rows_is_not_applied(
    parts: Parts, database: Database, missing: str
) -> None:
    await stage(database, "L", 1, family("1", "2"))
    losses = {
        "one row": "DELETE FROM staging_line_items LIMIT 1",
        "all rows": "DELETE FROM staging_line_items",
        "the files": "DELETE FROM load_file WHERE entity = 'line_items'",
    }
    await database.execute(losses[missing])
    with pytest.raises(TransientFault, match=r"line_items\.csv; replay the load from the stager"):
        await apply(parts, "L")
    assert is_empty(await content(database))


async def test_too_many_rejects_fail_the_load_and_production_stays_as_it_was(
    parts: Parts, database: Database
) -> None:
    bad = [row("vehicles", f"V-bad-{no}", "C-1", odometer="x") for no in range(9)]
    good = family(*map(str, range(1, 4)))
    vehicles = [*good["vehicles"], *bad, row("vehicles", "V-9", "nobody")]
    with pytest.raises(Rejected) as caught:
        await deliver(parts, database, "L", 1, {**good, "vehicles": vehicles})
    failure = caught.value.failure
    assert (failure.code, failure.file) == ("rejects.over_limit", "vehicles.csv")
    assert (failure.row, failure.column) == (4, "odometer")
    assert is_empty(await content(database))
    assert len(await rejects(database, "L", "vehicles")) == 10
    told = await database.fetch_all("SELECT * FROM load_count WHERE entity = 'vehicles'")
    assert [(one["staged"], one["rejected"], one["inserted"]) for one in told] == [(13, 10, None)]


async def test_fewer_than_ten_rejects_never_fail_a_load(parts: Parts, database: Database) -> None:
    bad = [row("customers", f"C-{no}", country="too long") for no in range(9)]
    told = await deliver(parts, database, "L", 1, {"customers": bad})
    assert told == {"customers": {"rejected": 9}}


async def test_a_new_run_tells_of_its_own_rejects_only(parts: Parts, database: Database) -> None:
    vehicles = {"vehicles": [row("vehicles", "V-1", "C-1")]}
    assert await deliver(parts, database, "L1", 1, vehicles) == {"vehicles": {"rejected": 1}}
    await deliver(parts, database, "L2", 2, {"customers": [row("customers", "C-1")]})
    await apply(parts, "L1")
    assert await counts(database, "L1") == {"vehicles": {"inserted": 1}}
    told = await database.fetch_all("SELECT run, code FROM load_reject WHERE load_id = 'L1'")
    assert told == [{"run": 1, "code": "row.orphan"}]
