"""What a load does to a row, in whatever order loads arrive: on the real MySQL."""

from decimal import Decimal

import pytest

from shared.errors import Rejected
from shared.ledger.states import State
from shared.mysql.connect import Database
from shared.stage import Parts
from tests.production import content
from tests.upserts import V1, apply, counts, deliver, family, ids, production, row

NAMES = ("customers", "vehicles", "invoices", "line_items")


def everywhere(**outcomes: int) -> dict[str, dict[str, int]]:
    """The same outcomes for every entity."""
    return {name: dict(outcomes) for name in NAMES}


async def test_a_first_load_is_inserted_and_its_replay_changes_nothing(
    parts: Parts, database: Database
) -> None:
    told = await deliver(parts, database, "L", 1, family("1", "2", "3"))
    assert told == everywhere(inserted=3)
    before = await content(database)
    await apply(parts, "L")
    assert await counts(database, "L") == everywhere(unchanged=3)
    assert await content(database) == before


async def test_equal_values_are_unchanged_however_they_are_written(
    parts: Parts, database: Database
) -> None:
    first = row(
        "line_items",
        "L-1",
        "I-1",
        line_number="7",
        quantity="1.5",
        unit_price="2",
        line_total="3.00",
    )
    again = first | {
        "line_number": "+007",
        "quantity": "01.500",
        "unit_price": "2.0000",
        "line_total": "3",
    }
    await deliver(parts, database, "L1", 1, {**family("1"), "line_items": [first]})
    before = await content(database)
    told = await deliver(parts, database, "L2", 2, {"line_items": [again]})
    assert told == {"line_items": {"unchanged": 1}}
    assert (await content(database))["line_items"] == before["line_items"]


@pytest.mark.parametrize(
    ("before", "after"),
    [("Ada", "ada"), ("Ada", "Ada "), ("\u00e9", "e\u0301"), ("", "x"), ("x", ""), ("ss", "ß")],
)
async def test_text_that_differs_by_a_byte_is_updated(
    parts: Parts, database: Database, before: str, after: str
) -> None:
    old, new = ([row("customers", "C-1", first_name=name)] for name in (before, after))
    await deliver(parts, database, "L1", 1, {"customers": old})
    told = await deliver(parts, database, "L2", 2, {"customers": new})
    assert told == {"customers": {"updated": 1}}
    (stored,) = (await production(database, "customers")).values()
    assert stored["first_name"] == (after or None)
    assert (stored["source_version"], stored["first_load_id"], stored["last_load_id"]) == (
        2,
        "L1",
        "L2",
    )


async def test_a_row_that_moves_to_another_parent_is_updated(
    parts: Parts, database: Database
) -> None:
    await deliver(parts, database, "L1", 1, family("1", "2"))
    told = await deliver(parts, database, "L2", 2, {"vehicles": [row("vehicles", "V-1", "C-2")]})
    assert told == {"vehicles": {"updated": 1}}
    vehicle = (await production(database, "vehicles"))[(await ids(database, "vehicles"))["V-1"]]
    assert vehicle["customer_id"] == (await ids(database, "customers"))["C-2"]


async def test_a_load_writes_only_the_rows_that_differ(parts: Parts, database: Database) -> None:
    await deliver(parts, database, "L1", 1, {"customers": list(family("1", "2")["customers"])})
    rows = [row("customers", "C-1"), row("customers", "C-2", city="Oslo"), row("customers", "C-3")]
    told = await deliver(parts, database, "L2", 2, {"customers": rows})
    assert told == {"customers": {"inserted": 1, "updated": 1, "unchanged": 1}}
    stored = await production(database, "customers")
    by_key = await ids(database, "customers")
    assert {key: stored[by_key[key]]["last_load_id"] for key in by_key} == {
        "C-1": "L1",
        "C-2": "L2",
        "C-3": "L2",
    }


@pytest.mark.parametrize("city", ["x", "Oslo"], ids=["the same content", "other content"])
async def test_a_row_that_a_newer_load_has_written_is_stale(
    parts: Parts, database: Database, city: str
) -> None:
    await deliver(parts, database, "new", 2, {"customers": [row("customers", "C-1", city="x")]})
    before = await production(database, "customers")
    late = {"customers": [row("customers", "C-1", city=city), row("customers", "C-2")]}
    told = await deliver(parts, database, "old", 1, late)
    assert told == {"customers": {"inserted": 1, "stale": 1}}
    after = await production(database, "customers")
    assert {key: after[key] for key in before} == before


async def test_a_row_that_a_newer_load_repeated_unchanged_is_stale_too(
    parts: Parts, database: Database
) -> None:
    x, y = family("1"), {"customers": [row("customers", "C-1", city="Y")]}
    await deliver(parts, database, "at-1", 1, x)
    assert await deliver(parts, database, "at-3", 3, x) == everywhere(unchanged=1)
    before = await content(database)
    assert await deliver(parts, database, "at-2", 2, y) == {"customers": {"stale": 1}}
    assert await content(database) == before


async def test_a_late_load_changes_what_no_newer_load_has_delivered(
    parts: Parts, database: Database
) -> None:
    await deliver(parts, database, "at-1", 1, family("1", "2", "3"))
    await deliver(parts, database, "at-3", 3, {"customers": [row("customers", "C-1")]})
    await deliver(parts, database, "at-4", 4, {"customers": [row("customers", "C-3")]})
    rows = {"customers": [row("customers", f"C-{no}", city="Oslo") for no in (1, 2, 3)]}
    told = await deliver(parts, database, "at-2", 2, rows)
    assert told == {"customers": {"updated": 1, "stale": 2}}


async def test_a_replay_of_a_load_that_was_overtaken_is_stale(
    parts: Parts, database: Database
) -> None:
    await deliver(parts, database, "L1", 1, family("1"))
    await deliver(parts, database, "L2", 2, {"customers": [row("customers", "C-1", city="Oslo")]})
    before = await content(database)
    await apply(parts, "L1")
    assert await counts(database, "L1") == everywhere(unchanged=1) | {"customers": {"stale": 1}}
    assert await content(database) == before


async def test_the_crosswalk_tells_first_and_last_seen_whatever_the_order(
    parts: Parts, database: Database
) -> None:
    for load_id, version in (("at-2", 2), ("at-3", 3), ("at-1", 1)):
        await deliver(parts, database, load_id, version, {"customers": [row("customers", "C-1")]})
    seen = await database.fetch_one("SELECT * FROM crosswalk_customers")
    assert seen is not None
    assert (seen["first_seen_load_id"], seen["last_seen_load_id"]) == ("at-1", "at-3")


async def test_loads_of_two_partners_with_the_same_keys_stay_apart(
    parts: Parts, database: Database
) -> None:
    await deliver(parts, database, "L1", 2, family("1"))
    told = await deliver(parts, database, "L2", 1, family("1"), "other")
    assert told == everywhere(inserted=1)
    for name in NAMES:
        mine, theirs = await ids(database, name), await ids(database, name, "other")
        assert mine.keys() == theirs.keys()
        assert not set(mine.values()) & set(theirs.values())


async def test_work_rows_of_lost_attempts_go_and_those_of_the_applied_one_stay(
    parts: Parts, database: Database
) -> None:
    await deliver(parts, database, "L", 1, family("1"))
    await database.execute(
        "INSERT INTO plan_customers (load_id, fence, hashed_id, row_no, internal_id, action) "
        "VALUES ('L', 1, 7, 1, 7, 'reject'), ('L', 2, 7, 1, 7, 'reject'), "
        "('L', 99, 7, 1, 7, 'reject'), ('M', 1, 7, 1, 7, 'reject')"
    )
    await database.execute("UPDATE load_ledger SET fence = 5 WHERE load_id = 'L'")
    await apply(parts, "L")
    left = "SELECT load_id, fence FROM plan_customers ORDER BY load_id, fence"
    assert [tuple(told.values()) for told in await database.fetch_all(left)] == [
        ("L", 1),
        ("L", 99),
        ("M", 1),
    ]


async def test_rows_that_come_to_stand_under_other_ids_undo_the_whole_load(
    parts: Parts, database: Database
) -> None:
    await deliver(parts, database, "L1", 1, {"customers": [row("customers", "C-1")]})
    before = await content(database)
    await database.execute(
        "CREATE TRIGGER sabotage BEFORE INSERT ON line_items FOR EACH ROW "
        "SET NEW.line_item_id = NEW.line_item_id + 1"
    )
    with pytest.raises(Rejected) as caught:
        await deliver(parts, database, "L2", 2, family("1", "2"))
    failure = caught.value.failure
    assert (failure.code, failure.file) == ("reconcile.mismatch", "line_items.csv")
    assert "0 accepted rows stand in production where 2 were planned" in failure.message
    assert await content(database) == before
    load = await parts.ledger.read("L2")
    assert load is not None
    assert (load.state, load.applied_run) == (State.FAILED, None)


async def test_rows_that_are_not_written_as_planned_undo_the_whole_load(
    parts: Parts, database: Database
) -> None:
    await deliver(parts, database, "L1", 1, {"customers": [row("customers", "C-1")]})
    before = await content(database)
    await database.execute(
        "CREATE TRIGGER sabotage BEFORE UPDATE ON customers FOR EACH ROW "
        "SET NEW.city = OLD.city, NEW.source_version = OLD.source_version, "
        "NEW.last_load_id = OLD.last_load_id"
    )
    with pytest.raises(Rejected, match="0 rows were updated where 1 were planned"):
        await deliver(
            parts, database, "L2", 2, {"customers": [row("customers", "C-1", city="Oslo")]}
        )
    assert await content(database) == before


async def test_every_entity_is_written_with_all_its_values(
    parts: Parts, database: Database
) -> None:
    full = {
        name: [
            fields | {c.name: fields[c.name] or "1" for c in V1.entity(name).value_columns}
            for fields in rows
        ]
        for name, rows in family("1").items()
    }
    await deliver(parts, database, "L", 1, full)
    for name in NAMES:
        (stored,) = (await production(database, name)).values()
        assert all(stored[column.name] is not None for column in V1.entity(name).value_columns)
        assert (stored["source_system"], stored["source_version"]) == ("acme", 1)
    invoice = next(iter((await production(database, "invoices")).values()))
    assert (str(invoice["invoice_date"]), invoice["total"]) == ("2025-01-31", Decimal("1.50"))
