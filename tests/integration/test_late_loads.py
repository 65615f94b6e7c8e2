"""Loads of one partner in any order of arrival: what created_at decides, and what it leaves alone.

Each scenario is one partner; its loads arrive in the order in which they stand here.
"""

from datetime import datetime
from typing import Any

import pytest

from tests.drops import Drop
from tests.verdicts import Outcome, assert_accepted, take_all

DROPS: list[Drop] = []


def arrives(load_id: str, created_at: str, **rows: list[dict[str, str]]) -> None:
    partner = load_id.partition("-")[0]
    moment = datetime.fromisoformat(created_at)
    DROPS.append(Drop.of(rows, load_id=load_id, partner=partner, created_at=moment))


def customer(key: str, city: str = "", country: str = "") -> dict[str, str]:
    return {"source_customer_id": key, "city": city, "country": country}


def vehicle(key: str, parent: str, odometer: str = "") -> dict[str, str]:
    return {"source_vehicle_id": key, "source_customer_id": parent, "odometer": odometer}


def invoice(key: str, parent: str, total: str, tax: str = "") -> dict[str, str]:
    return {
        "source_invoice_id": key,
        "source_vehicle_id": parent,
        "invoice_number": "R",
        "invoice_date": "2026-02-28",
        "currency": "EUR",
        "tax": tax,
        "total": total,
    }


arrives("repeated-1", "2026-01-01T00:00:01Z", customers=[customer("K", "X")])
arrives("repeated-3", "2026-01-01T00:00:03Z", customers=[customer("K", "X")])
arrives("repeated-2", "2026-01-01T00:00:02Z", customers=[customer("K", "Y")])
arrives("repeated-4", "2026-01-01T00:00:04Z", customers=[customer("K", "Y")])

arrives("zones-utc", "2026-01-01T00:00:00Z", customers=[customer("K", "UTC")])
arrives("zones-samoa", "2026-01-01T13:00:00+14:00", customers=[customer("K", "older by an hour")])
arrives("zones-new-york", "2025-12-31T19:00:00-05:00", customers=[customer("K", "same moment")])
arrives("zones-microsecond", "2025-12-31T19:00:00.000001-05:00", customers=[customer("K", "newer")])

arrives(
    "family-new",
    "2026-01-02T00:00:00Z",
    customers=[customer("C1", "new"), customer("C2")],
    vehicles=[vehicle("V1", "C1", "2")],
)
arrives(
    "family-late",
    "2026-01-01T00:00:00Z",
    customers=[customer("C1", "old"), customer("C0"), customer("bad", country="GBR")],
    vehicles=[
        vehicle("V1", "C0", "1"),
        vehicle("V2", "nobody"),
        vehicle("V3", "C2"),
        vehicle("V4", "C0"),
        vehicle("V5", "bad"),
        vehicle("V6", "C1", "x"),
    ],
)
arrives("family-newest", "2026-01-03T00:00:00Z", vehicles=[vehicle("V1", "C0", "2")])

AMOUNTS = [invoice("I", "V", "1.50", "0"), invoice("J", "V", "2", "")]
PARENTS = {"customers": [customer("C")], "vehicles": [vehicle("V", "C", "007")]}
arrives("typed-1", "2026-01-01T00:00:01Z", **PARENTS, invoices=AMOUNTS)
arrives(
    "typed-2",
    "2026-01-01T00:00:02Z",
    customers=[customer("C")],
    vehicles=[vehicle("V", "C", "+7")],
    invoices=[invoice("I", "V", "+01.5", "-0.00"), invoice("J", "V", "2.00", "0")],
)
arrives("bad-1", "2026-01-01T00:00:01Z", **PARENTS)
arrives(
    "bad-2",
    "2026-01-01T00:00:02Z",
    customers=[customer("C", country="GBR")],
    vehicles=[vehicle("V", "C", "12x")],
)
arrives("bad-3", "2026-01-01T00:00:03Z", vehicles=[vehicle("V", "C", "8")])


@pytest.fixture(scope="module")
def outcomes(mysql_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    return take_all(
        mysql_server_url, tmp_path_factory.mktemp("bucket"), [(drop, None) for drop in DROPS]
    )


def done(outcome: Outcome, entity: str) -> dict[str, int]:
    """The outcomes of an entity's rows that are not 0."""
    names = ("inserted", "updated", "unchanged", "stale", "rejected")
    return {name: number for name in names if (number := outcome.count(entity, name))}


def standing(outcome: Outcome, entity: str, column: str) -> list[Any]:
    return sorted(row[column] for row in outcome.standing[entity])


def test_a_newer_load_that_repeats_a_row_has_delivered_it_too(
    outcomes: dict[str, Outcome],
) -> None:
    expected = [
        ("repeated-1", "inserted", "X", "repeated-1"),
        ("repeated-3", "unchanged", "X", "repeated-1"),
        ("repeated-2", "stale", "X", "repeated-1"),
        ("repeated-4", "updated", "Y", "repeated-4"),
    ]
    for load_id, what, city, last in expected:
        outcome = outcomes[load_id]
        assert_accepted(outcome)
        assert done(outcome, "customers") == {what: 1}
        (row,) = outcome.standing["customers"]
        assert (row["city"], row["first_load_id"], row["last_load_id"]) == (
            city,
            "repeated-1",
            last,
        )


def test_the_crosswalk_tells_first_and_last_seen_by_created_at_and_not_by_arrival(
    outcomes: dict[str, Outcome],
) -> None:
    (known,) = outcomes["repeated-2"].standing["crosswalk_customers"]
    assert (known["first_seen_load_id"], known["last_seen_load_id"]) == ("repeated-1", "repeated-3")
    late = {
        row["source_key"]: (row["first_seen_load_id"], row["last_seen_load_id"])
        for row in outcomes["family-late"].standing["crosswalk_customers"]
    }
    assert late == {
        "C0": ("family-late", "family-late"),
        "C1": ("family-late", "family-new"),
        "C2": ("family-new", "family-new"),
    }


def test_created_at_is_a_moment_whatever_its_zone(outcomes: dict[str, Outcome]) -> None:
    assert_accepted(outcomes["zones-utc"])
    older, newer = outcomes["zones-samoa"], outcomes["zones-microsecond"]
    assert_accepted(older)
    assert done(older, "customers") == {"stale": 1}
    assert standing(older, "customers", "city") == ["UTC"]
    assert older.report["warnings"]
    assert_accepted(newer)
    assert done(newer, "customers") == {"updated": 1}


def test_the_same_moment_in_two_zones_is_a_conflict(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["zones-new-york"]
    assert standing(outcome, "customers", "city") == ["UTC"]
    assert outcome.failure["code"] == "manifest.order_conflict"
    assert outcome.failure["file"] == "manifest.json"
    assert "zones-utc" in outcome.failure["message"]
    assert outcome.state == "failed"
    assert {told for _, told in outcome.notices} == {"failed"}
    assert outcome.checked.ok  # only the ledger can know


def test_a_late_load_brings_what_is_new_and_rejects_what_has_no_parent(
    outcomes: dict[str, Outcome],
) -> None:
    outcome = outcomes["family-late"]
    assert_accepted(outcome)
    assert done(outcome, "customers") == {"stale": 1, "inserted": 1, "rejected": 1}
    assert done(outcome, "vehicles") == {"stale": 1, "inserted": 2, "rejected": 3}
    assert outcome.codes("vehicles") == {
        2: "row.orphan",
        5: "row.parent_rejected",
        6: "row.type",
    }
    assert standing(outcome, "customers", "last_load_id") == [
        "family-late",
        "family-new",
        "family-new",
    ]


def test_a_row_that_only_changes_its_parent_is_updated(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["family-newest"]
    assert_accepted(outcome)
    assert done(outcome, "vehicles") == {"updated": 1}
    before = {row["vehicle_id"]: row for row in outcomes["family-late"].standing["vehicles"]}
    changed = [row for row in outcome.standing["vehicles"] if row != before[row["vehicle_id"]]]
    (row,) = changed
    assert row["customer_id"] != before[row["vehicle_id"]]["customer_id"]
    assert row["odometer"] == before[row["vehicle_id"]]["odometer"] == 2
    assert row["last_load_id"] == "family-newest"


def test_values_are_compared_typed(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["typed-2"]
    assert_accepted(outcome)
    assert done(outcome, "vehicles") == {"unchanged": 1}
    assert done(outcome, "invoices") == {"unchanged": 1, "updated": 1}


def test_a_faulty_copy_of_a_row_that_stands_changes_nothing(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["bad-2"]
    assert_accepted(outcome)
    assert (done(outcome, "customers"), done(outcome, "vehicles")) == (
        {"rejected": 1},
        {"rejected": 1},
    )
    assert outcome.codes("vehicles") == {1: "row.type"}
    for table in ("customers", "vehicles"):
        assert outcome.standing[table] == outcomes["bad-1"].standing[table]
    after = outcomes["bad-3"]
    assert_accepted(after)
    assert done(after, "vehicles") == {"updated": 1}
