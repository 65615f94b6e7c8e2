"""The comparisons themselves: a difference is seen where there is one, and only there."""

from dataclasses import replace

import pytest

from shared.errors import Failure
from shared.mysql.connect import connect
from tests.proof import csvs
from tests.proof.packages import Rows, Verdict, difference

FAILURE = Failure.of("csv.blank_line", "customers.csv, row 2: the line is empty", row=2).to_json()
OVER_LIMIT = Failure.of("rejects.over_limit", "10 of 11 rows").to_json()
TOO_LONG = ("row.too_long", "country", "country has more than 2 characters", "C1")
ORPHAN = ("row.orphan", "source_customer_id", "nowhere", "V1")
LOST = ("row.parent_rejected", "source_vehicle_id", "rejected", "I1")
FAILED = Verdict(FAILURE)
GOOD = Verdict({}, {"customers": (3, 0)})
ONE_REJECT = Verdict({}, {"customers": (3, 1)}, rejects={("customers", 2): TOO_LONG})
OPEN_ORPHAN = ("row.orphan", "source_customer_id", "not in this drop", "V1")
OPEN_LOST = ("row.parent_rejected", "source_vehicle_id", "unresolved", "I1")
ROWS = {"vehicles": (3, 0), "invoices": (3, 0)}
UNRESOLVED = Verdict(
    {}, ROWS, unresolved={("vehicles", 1): OPEN_ORPHAN, ("invoices", 1): OPEN_LOST}
)
ORPHANED = Verdict(
    {},
    {"vehicles": (3, 1), "invoices": (3, 1)},
    {("vehicles", 1): ORPHAN, ("invoices", 1): LOST},
)
ACCEPTED = Verdict({}, ROWS)
TOO_MANY = replace(ORPHANED, failure=OVER_LIMIT)


@pytest.mark.parametrize("verdict", [FAILED, GOOD, ONE_REJECT])
def test_equal_verdicts_agree(verdict: Verdict) -> None:
    assert difference(verdict, verdict, outside_parents=False) is None


@pytest.mark.parametrize(
    ("served", "checked"),
    [
        (FAILED, GOOD),
        (GOOD, FAILED),
        (FAILED, Verdict({**FAILURE, "row": 3})),
        (FAILED, Verdict({**FAILURE, "message": "the line is empty"})),
        (ONE_REJECT, GOOD),
        (GOOD, ONE_REJECT),
        (ONE_REJECT, replace(ONE_REJECT, rejects={("customers", 3): TOO_LONG})),
        (GOOD, replace(GOOD, counts={"customers": (4, 0)})),
        (ACCEPTED, UNRESOLVED),
        (ORPHANED, ACCEPTED),
        (ORPHANED, replace(UNRESOLVED, unresolved={("vehicles", 1): OPEN_ORPHAN})),
        (ORPHANED, replace(UNRESOLVED, failure_if_unresolved=OVER_LIMIT)),
        (TOO_MANY, UNRESOLVED),
        (FAILED, UNRESOLVED),
        (FAILED, replace(UNRESOLVED, failure=OVER_LIMIT)),
    ],
)
def test_any_other_verdict_is_a_difference(served: Verdict, checked: Verdict) -> None:
    assert difference(served, checked, outside_parents=False)


def test_what_is_unresolved_is_rejected_where_no_earlier_load_has_the_parents() -> None:
    assert difference(ORPHANED, UNRESOLVED, outside_parents=False) is None
    foretold = replace(UNRESOLVED, failure_if_unresolved=OVER_LIMIT)
    assert difference(TOO_MANY, foretold, outside_parents=False) is None


def test_an_unresolved_parent_may_stand_in_production_already() -> None:
    assert difference(ACCEPTED, UNRESOLVED, outside_parents=True) is None
    assert difference(ORPHANED, UNRESOLVED, outside_parents=True) is None
    foretold = replace(UNRESOLVED, failure_if_unresolved=OVER_LIMIT)
    assert difference(ACCEPTED, foretold, outside_parents=True) is None
    assert difference(FAILED, UNRESOLVED, outside_parents=True)


@pytest.mark.parametrize(
    "rejects",
    [
        {("vehicles", 2): ORPHAN},
        {("vehicles", 1): LOST},
        {("vehicles", 1): ("row.orphan", "vin", "nowhere", "V1")},
        {("vehicles", 1): ("row.orphan", "source_customer_id", "nowhere", "V2")},
    ],
)
def test_production_adds_no_reject_and_changes_none(rejects: Rows) -> None:
    served = replace(ORPHANED, rejects=rejects)
    assert difference(served, UNRESOLVED, outside_parents=True)


async def test_rows_that_landed_otherwise_than_they_were_read_are_a_difference(
    mysql_server_url: str,
) -> None:
    chunks, read = [b"id,name,note\n1,a,b\n"], [b"1,a,c"]

    async with csvs.staging(mysql_server_url) as url, connect(url, local_infile=True) as database:
        differs = await csvs.difference_of_good(database, 1, chunks, read)

    assert differs is not None
    assert differs.startswith("landed")
