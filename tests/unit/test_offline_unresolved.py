"""What `check` says of rows whose parents are not in the drop: open, told, and counted."""

from decimal import Decimal

from crossdock.offline_check import MOST_REJECTS_KEPT, EntityCheck
from shared.partners import Partner, Partners
from tests.unit.local_drops import CLEAN, Drop, customer, invoice, line_item, vehicle


def orphans(count: int) -> list[list[str]]:
    return [vehicle(f"W{number}", "nobody") for number in range(count)]


def test_a_row_without_its_parent_in_the_drop_is_unresolved_with_its_place(drop: Drop) -> None:
    drop.write("vehicles", vehicle("V1", "C1"), vehicle("V2", "c1"))
    drop.pack()

    verdict = drop.check().to_json()

    assert (verdict["ok"], verdict["failure_if_unresolved"], verdict["rejects"]) == (True, None, [])
    assert verdict["entities"]["vehicles"] == {"rows": 2, "rejected": 0, "unresolved": 1}
    assert verdict["unresolved"] == [
        {
            "entity": "vehicles",
            "row_no": 2,
            "source_key": "V2",
            "column": "source_customer_id",
            "code": "row.orphan",
            "message": "source_customer_id names a row of customers that is not in this drop",
        }
    ]


def test_the_rows_below_an_unresolved_one_are_unresolved_too(drop: Drop) -> None:
    drop.write("customers")
    drop.write("line_items", line_item("L1", "I1"), line_item("L2", "nowhere"))
    drop.pack()

    result = drop.check()

    assert [(it.entity, it.row_no, it.code) for it in result.unresolved] == [
        ("vehicles", 1, "row.orphan"),
        ("invoices", 1, "row.parent_rejected"),
        ("line_items", 1, "row.parent_rejected"),
        ("line_items", 2, "row.orphan"),
    ]
    assert result.rejects == []
    one = EntityCheck(rows=1, rejected=0, unresolved=1)
    assert list(result.entities.values()) == [
        EntityCheck(rows=0, rejected=0, unresolved=0),
        one,
        one,
        EntityCheck(rows=2, rejected=0, unresolved=2),
    ]


def test_what_is_wrong_with_a_row_by_itself_is_a_reject_and_leaves_nothing_open(drop: Drop) -> None:
    drop.write(
        "vehicles",
        vehicle("V1", "nobody", odometer="x"),
        vehicle("V2", "nobody"),
        vehicle("V2", "C1"),
        vehicle("V3", ""),
    )
    drop.pack()

    result = drop.check()

    codes = [it.code for it in result.rejects if it.entity == "vehicles"]
    assert codes == ["row.type", "row.duplicate_key", "row.duplicate_key", "row.required"]
    assert result.unresolved == []
    assert result.entities["invoices"] == EntityCheck(rows=1, rejected=1, unresolved=0)


def test_unresolved_rows_over_the_limit_leave_the_drop_ok_and_tell_the_failure_to_fear(
    drop: Drop,
) -> None:
    drop.write("vehicles", vehicle("V1", "C1"), *orphans(9))
    drop.pack()
    assert drop.check().failure_if_unresolved is None
    drop.write("vehicles", vehicle("V1", "C1"), *orphans(10))
    drop.pack()

    result = drop.check()

    assert (result.ok, result.failure) == (True, None)
    feared = result.to_json()["failure_if_unresolved"]
    assert (feared["code"], feared["file"]) == ("rejects.over_limit", "vehicles.csv")
    assert (feared["row"], feared["column"]) == (2, "source_customer_id")
    assert "10 of 11 rows" in feared["message"]


def test_rejects_and_unresolved_rows_count_together_towards_the_limit(drop: Drop) -> None:
    drop.write(
        "vehicles", *orphans(5), *(vehicle(f"X{number}", "C1", vin="x" * 18) for number in range(5))
    )
    drop.pack()

    result = drop.check()

    assert result.ok
    assert result.failure_if_unresolved is not None
    assert "10 of 10 rows" in result.failure_if_unresolved.message


def test_a_drop_that_fails_anyway_tells_how_it_would_fail_with_the_unresolved_rows(
    drop: Drop,
) -> None:
    drop.write("vehicles", *orphans(10))
    drop.write("line_items", *(line_item(f"L{i}", "I1", quantity="x") for i in range(10)))
    drop.write("invoices", invoice("I1", "W0"))
    drop.pack()

    result = drop.check()

    assert result.failure is not None
    assert result.failure_if_unresolved is not None
    assert result.failure.file == "line_items.csv"
    assert result.failure_if_unresolved.file == "vehicles.csv"


def test_the_same_failure_is_told_once(drop: Drop) -> None:
    drop.write("customers", *(customer(f"X{number}", country="DEU") for number in range(10)))
    drop.write("vehicles", vehicle("V1", "nobody"))
    drop.pack()

    result = drop.check()

    assert result.failure is not None
    assert result.failure_if_unresolved is None
    assert result.entities["vehicles"].unresolved == 1


def test_a_partners_own_limit_is_the_one_that_unresolved_rows_are_held_against(drop: Drop) -> None:
    drop.write("vehicles", vehicle("V1", "C1"), *orphans(10))
    drop.pack()
    partner = Partner(folder="acme", source_system="acme", reject_limit_percent=Decimal(100))

    result = drop.check(Partners(partners={"acme": partner}))

    assert (result.ok, result.failure_if_unresolved) == (True, None)
    assert result.entities["vehicles"].unresolved == 10


def test_listed_unresolved_rows_are_capped_and_their_count_is_exact(drop: Drop) -> None:
    count = MOST_REJECTS_KEPT + 5
    drop.write("vehicles", vehicle("V1", "C1"), *orphans(count))
    drop.pack()

    result = drop.check()

    assert result.entities["vehicles"].unresolved == count
    assert len(result.unresolved) == MOST_REJECTS_KEPT
    assert result.unresolved[-1].row_no == MOST_REJECTS_KEPT + 1
    assert [result.entities[name] for name in ("customers", "invoices")] == [CLEAN, CLEAN]


def test_no_message_of_an_unresolved_row_repeats_a_value(drop: Drop) -> None:
    secret = "sk-7731"
    drop.write("vehicles", vehicle(secret, secret))
    drop.write("invoices", invoice(secret, secret))
    drop.pack()

    unresolved = drop.check().unresolved

    assert len(unresolved) == 3
    assert not any(secret in it.message for it in unresolved)
