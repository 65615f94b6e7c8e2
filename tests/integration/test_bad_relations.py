"""Rows that are no good because of other rows: copies, orphans, rejected parents, too many of them.

Loads follow each other on one database, those of one partner by created_at.
"""

from pathlib import Path

import pytest

from tests.drops import Drop, later
from tests.verdicts import (
    LENIENT,
    Bench,
    Outcome,
    assert_accepted,
    assert_rejected,
    open_bench,
    take_all,
)

Rows = list[dict[str, str]]


def customers(*keys: str, **values: str) -> Rows:
    return [{"source_customer_id": key, **values} for key in keys]


def vehicles(*pairs: tuple[str, str]) -> Rows:
    return [{"source_vehicle_id": key, "source_customer_id": parent} for key, parent in pairs]


def invoices(*pairs: tuple[str, str]) -> Rows:
    good = {"invoice_number": "R", "invoice_date": "2026-02-28", "currency": "EUR", "total": "1"}
    return [{"source_invoice_id": key, "source_vehicle_id": up, **good} for key, up in pairs]


def line_items(*pairs: tuple[str, str]) -> Rows:
    good = {"line_number": "1", "quantity": "1", "unit_price": "1", "line_total": "1"}
    return [{"source_line_item_id": key, "source_invoice_id": up, **good} for key, up in pairs]


def faulty(*keys: str) -> Rows:
    return customers(*keys, country="GBR")


def names(prefix: str, count: int, start: int = 1) -> list[str]:
    return [f"{prefix}{number}" for number in range(start, start + count)]


def mixed(bad: int, of: int) -> Rows:
    """So many faulty customers among so many, the first of them in row 3."""
    return customers("c1", "c2") + faulty(*names("x", bad)) + customers(*names("k", of - bad - 2))


DROPS: dict[str, Drop] = {}


def drop(load_id: str, partner: str, minute: int = 0, **rows: Rows) -> None:
    DROPS[load_id] = Drop.of(rows, load_id=load_id, partner=partner, created_at=later(minute))


drop(
    "copies",
    "copies",
    customers=customers("K", "other") + faulty("K") + customers("K", city="elsewhere"),
    vehicles=vehicles(("V", "K"), ("W", "other"), ("W", "nobody")),
    invoices=invoices(("I", "V"), ("J", "W")),
)
drop("many-copies", LENIENT, 1, customers=customers(*["K"] * 15))
drop(
    "orphans",
    "orphans",
    customers=customers("C"),
    vehicles=vehicles(("V", "nobody"), ("W", "C"), ("X", "c")),
    invoices=invoices(("I", "V"), ("J", "W")),
    line_items=line_items(("L", "I"), ("M", "J")),
)
drop("orphans-of-another-partner", "globex", vehicles=vehicles(("V", "C")))
drop("parents", "split", customers=customers("C", "c", "\xe9", "e\u0301", city="first"))
drop(
    "children",
    "split",
    1,
    vehicles=vehicles(("1", "C"), ("2", "c"), ("3", "\xe9"), ("4", "e\u0301"), ("5", "C ")),
)
drop(
    "standing-parent",
    "split",
    2,
    customers=faulty("C") + customers("c", "c"),
    vehicles=vehicles(("6", "C"), ("7", "c")),
    invoices=invoices(("I", "6"), ("J", "1")),
)
drop("failed-parents", "failing", customers=mixed(10, of=100))
drop("children-of-a-failed-load", "failing", 1, vehicles=vehicles(("V", "c1")))
drop("nothing", "nothing")

LIMITS = {  # load_id: rejected customers, of so many, and whether they are too many
    "9-of-100": (9, 100, False),
    "10-of-100": (10, 100, True),
    "11-of-100": (11, 100, True),
    "9-of-11": (9, 11, False),
    "10-of-999": (10, 999, True),
    "10-of-1000": (10, 1000, False),
    "20-of-2000": (20, 2000, False),
    "21-of-2000": (21, 2000, True),
}
for _name, (_bad, _of, _) in LIMITS.items():
    drop(_name, _name, customers=mixed(_bad, _of))
drop(
    "10-orphans-of-100",
    "10-orphans-of-100",
    customers=customers("C"),
    vehicles=vehicles(
        *((key, "C") for key in names("v", 90)), *((key, "nobody") for key in names("w", 10))
    ),
)
drop(
    "orphans-alone",
    "orphans-alone",
    vehicles=vehicles(*((key, "nobody") for key in names("v", 20))),
    invoices=invoices(*((f"i-{key}", key) for key in names("v", 20))),
    line_items=line_items(*((f"l-{key}", f"i-{key}") for key in names("v", 20))),
)
drop(
    "5-rejects-and-5-orphans",
    "5-rejects-and-5-orphans",
    customers=faulty("x"),
    vehicles=vehicles(
        *((key, "nobody") for key in names("v", 5)), *((key, "x") for key in names("w", 5))
    ),
)
drop(
    "10-descendants-of-100",
    "10-descendants-of-100",
    customers=mixed(9, of=100),
    vehicles=vehicles(("v1", "c1"), *((key, "x1") for key in names("w", 10))),
)


@pytest.fixture(scope="module")
def outcomes(mysql_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    root = tmp_path_factory.mktemp("bucket")
    return take_all(mysql_server_url, root, [(each, None) for each in DROPS.values()])


def messages(outcome: Outcome, entity: str) -> dict[int, str]:
    return {row["row_no"]: row["message"] for row in outcome.rejects if row["entity"] == entity}


def offline_codes(outcome: Outcome, entity: str) -> dict[int, str]:
    return {row.row_no: row.code for row in outcome.checked.rejects if row.entity == entity}


def unresolved_codes(outcome: Outcome, entity: str) -> dict[int, str]:
    return {row.row_no: row.code for row in outcome.checked.unresolved if row.entity == entity}


def test_every_copy_of_a_key_is_rejected_and_names_the_other_rows(
    outcomes: dict[str, Outcome],
) -> None:
    outcome = outcomes["copies"]
    assert_accepted(outcome)
    copy = "row.duplicate_key"
    assert outcome.codes("customers") == {1: copy, 3: "row.too_long", 4: copy}
    said = messages(outcome, "customers")
    assert said[1].endswith(": 3, 4")
    assert said[4].endswith(": 1, 3")
    assert outcome.codes("vehicles") == {1: "row.parent_rejected", 2: copy, 3: copy}
    assert messages(outcome, "vehicles")[3].endswith(": 2")
    assert outcome.codes("invoices") == {1: "row.parent_rejected", 2: "row.parent_rejected"}
    for entity in ("customers", "vehicles", "invoices"):
        assert offline_codes(outcome, entity) == outcome.codes(entity)


def test_of_many_copies_some_are_named_and_the_rest_counted(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["many-copies"]
    assert_accepted(outcome)
    said = messages(outcome, "customers")
    assert len(said) == outcome.count("customers", "rejected") == 15
    assert said[1].endswith(": 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 4 more")
    assert said[15].endswith(": 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 4 more")


def test_a_child_without_a_parent_is_an_orphan_and_its_children_have_a_rejected_parent(
    outcomes: dict[str, Outcome],
) -> None:
    outcome = outcomes["orphans"]
    assert_accepted(outcome)
    assert outcome.codes("customers") == {}
    assert outcome.codes("vehicles") == {1: "row.orphan", 3: "row.orphan"}
    assert outcome.codes("invoices") == {1: "row.parent_rejected"}
    assert outcome.codes("line_items") == {1: "row.parent_rejected"}
    places = {row["code"]: row["column_name"] for row in outcome.rejects}
    assert places["row.orphan"] == "source_customer_id"
    assert [row["source_line_item_id"] for row in outcome.standing["line_items"]] == ["M"]


@pytest.mark.parametrize(
    "load_id", ["orphans", "orphans-of-another-partner", "10-orphans-of-100", "orphans-alone"]
)
def test_what_the_offline_check_lists_as_unresolved_is_rejected_if_no_earlier_load_has_it(
    load_id: str, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[load_id]
    checked = outcome.checked
    assert (checked.ok, checked.rejects) == (True, [])
    for entity, counts in checked.entities.items():
        assert unresolved_codes(outcome, entity) == outcome.codes(entity)
        assert (counts.rejected, counts.unresolved) == (0, outcome.count(entity, "rejected"))
    columns = {(it.entity, it.row_no): it.column for it in checked.unresolved}
    assert columns == {(it["entity"], it["row_no"]): it["column_name"] for it in outcome.rejects}
    foretold = checked.failure_if_unresolved
    assert (foretold.to_json() if foretold else {}) == outcome.failure


def test_unresolved_rows_count_beside_the_rejects_towards_the_limit(
    outcomes: dict[str, Outcome],
) -> None:
    outcome = outcomes["5-rejects-and-5-orphans"]
    assert_over_limit(outcome, "vehicles.csv", 10, 10, row=1, column="source_customer_id")
    foretold = outcome.checked.failure_if_unresolved
    assert foretold is not None
    assert (outcome.checked.ok, foretold.to_json()) == (True, outcome.failure)


def test_what_the_offline_check_lists_as_unresolved_is_taken_if_an_earlier_load_has_it(
    outcomes: dict[str, Outcome],
) -> None:
    outcome = outcomes["children"]
    assert unresolved_codes(outcome, "vehicles") == dict.fromkeys(range(1, 6), "row.orphan")
    assert outcome.codes("vehicles") == {5: "row.orphan"}


def test_another_partners_parent_does_not_count(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["orphans-of-another-partner"]
    assert_accepted(outcome)
    assert outcome.codes("vehicles") == {1: "row.orphan"}
    assert outcome.standing["vehicles"] == []


def test_a_parent_of_a_load_that_failed_does_not_count(outcomes: dict[str, Outcome]) -> None:
    assert_rejected(outcomes["failed-parents"], "rejects.over_limit")
    outcome = outcomes["children-of-a-failed-load"]
    assert_accepted(outcome)
    assert outcome.codes("vehicles") == {1: "row.orphan"}


def test_a_parent_may_stand_in_an_earlier_load_and_is_found_byte_for_byte(
    outcomes: dict[str, Outcome],
) -> None:
    assert_accepted(outcomes["parents"])
    outcome = outcomes["children"]
    assert_accepted(outcome)
    assert outcome.codes("vehicles") == {5: "row.orphan"}
    assert len({row["customer_id"] for row in outcome.standing["vehicles"]}) == 4
    keys = {row["internal_id"]: row["source_key"] for row in outcome.standing["crosswalk_vehicles"]}
    parents = {
        row["internal_id"]: row["source_key"] for row in outcome.standing["crosswalk_customers"]
    }
    found = {
        keys[row["vehicle_id"]]: parents[row["customer_id"]] for row in outcome.standing["vehicles"]
    }
    assert found == {"1": "C", "2": "c", "3": "\xe9", "4": "e\u0301"}


def test_children_of_a_row_that_is_rejected_but_stands_from_before_are_taken(
    outcomes: dict[str, Outcome],
) -> None:
    outcome = outcomes["standing-parent"]
    assert_accepted(outcome)
    copy = "row.duplicate_key"
    assert outcome.codes("customers") == {1: "row.too_long", 2: copy, 3: copy}
    assert outcome.codes("vehicles") == outcome.codes("invoices") == {}
    assert outcome.standing["customers"] == outcomes["parents"].standing["customers"]
    assert {row["city"] for row in outcome.standing["customers"]} == {"first"}
    parent_rejected = "row.parent_rejected"  # only the database can know better
    assert offline_codes(outcome, "vehicles") == {1: parent_rejected, 2: parent_rejected}


def test_a_drop_without_a_single_row_is_taken(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["nothing"]
    assert_accepted(outcome)
    assert {counts["production"] for counts in outcome.report["entities"].values()} == {0}


@pytest.mark.parametrize("load_id", LIMITS)
def test_a_file_may_have_nine_rejects_or_one_in_a_hundred(
    load_id: str, outcomes: dict[str, Outcome]
) -> None:
    bad, of, too_many = LIMITS[load_id]
    outcome = outcomes[load_id]
    assert (outcome.count("customers", "staged"), outcome.count("customers", "rejected")) == (
        of,
        bad,
    )
    if too_many:
        assert_over_limit(outcome, "customers.csv", bad, of, row=3, column="country")
        assert outcome.count("customers", "inserted") is None
        assert outcome.offline_failure == outcome.failure
    else:
        assert_accepted(outcome)
        assert outcome.count("customers", "inserted") == of - bad
        assert outcome.offline_failure == {}
    assert len(outcome.codes("customers")) == bad
    assert offline_codes(outcome, "customers") == outcome.codes("customers")


def assert_over_limit(
    outcome: Outcome, file: str, bad: int, of: int, *, row: int, column: str
) -> None:
    assert_rejected(outcome, "rejects.over_limit")
    failure = outcome.failure
    assert f"{bad} of {of} rows" in failure["message"]
    assert (failure["file"], failure["row"], failure["column"]) == (file, row, column)


def test_orphans_count_towards_the_limit(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["10-orphans-of-100"]
    assert_over_limit(outcome, "vehicles.csv", 10, 100, row=91, column="source_customer_id")
    assert set(outcome.codes("vehicles").values()) == {"row.orphan"}


def test_descendants_count_towards_the_limit(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["10-descendants-of-100"]
    assert_over_limit(outcome, "vehicles.csv", 10, 11, row=2, column="source_customer_id")
    assert set(outcome.codes("vehicles").values()) == {"row.parent_rejected"}
    assert outcome.count("customers", "rejected") == 9
    assert outcome.offline_failure == outcome.failure


async def test_stored_rejects_are_capped_and_their_counts_exact(
    mysql_server_url: str, tmp_path: Path
) -> None:
    many = 10_050
    drop = Drop.of(
        {
            "customers": faulty(*names("x", many)) + customers("good"),
            "vehicles": vehicles(("V", f"x{many}"), ("W", "good")),
        },
        load_id="many",
        partner=LENIENT,
    )
    async with open_bench(mysql_server_url, tmp_path) as bench:
        before = await inserts(bench)
        outcome = await bench.take(drop)
        done = await inserts(bench) - before
    assert_accepted(outcome)
    assert outcome.count("customers", "rejected") == many
    assert list(outcome.codes("customers")) == list(range(1, 10_001))
    assert outcome.codes("vehicles") == {1: "row.parent_rejected"}
    assert list(offline_codes(outcome, "customers")) == list(range(1, 10_001))
    assert outcome.checked.entities["customers"].rejected == many
    assert offline_codes(outcome, "vehicles") == outcome.codes("vehicles")
    assert done < 5_000  # a statement for each reject would be a commit for each


async def inserts(bench: Bench) -> int:
    """How many INSERT statements the server has run since it was started."""
    row = await bench.database.fetch_one("SHOW GLOBAL STATUS LIKE 'Com_insert'")
    assert row is not None
    return int(row["Value"])
