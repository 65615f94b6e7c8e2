"""The comparisons themselves: a difference is seen where there is one, and only there."""

from dataclasses import replace

import pytest

from shared.errors import Failure
from shared.mysql.connect import connect
from tests.proof import csvs
from tests.proof.packages import Verdict, difference

FAILURE = Failure.of("csv.blank_line", "customers.csv, row 2: the line is empty", row=2).to_json()
OVER_LIMIT = Failure.of("rejects.over_limit", "10 of 11 rows").to_json()
TOO_LONG = ("row.too_long", "country", "country has more than 2 characters", "C1")
ORPHAN = ("row.orphan", "source_customer_id", "nowhere", "V1")
LOST = ("row.parent_rejected", "source_vehicle_id", "rejected", "I1")
FAILED = Verdict(FAILURE)
GOOD = Verdict({}, {"customers": (3, 0)})
ONE_REJECT = Verdict({}, {"customers": (3, 1)}, rejects={("customers", 2): TOO_LONG})
UNRESOLVED = Verdict({}, {"customers": (3, 0)}, unresolved=1)
ORPHANED = Verdict(
    {}, {"customers": (3, 1)}, rejects={("vehicles", 1): ORPHAN, ("invoices", 1): LOST}
)


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
        (GOOD, UNRESOLVED),
        (ORPHANED, GOOD),
        (Verdict(OVER_LIMIT), GOOD),
    ],
)
def test_any_other_verdict_is_a_difference(served: Verdict, checked: Verdict) -> None:
    assert difference(served, checked, outside_parents=False)


def test_an_unresolved_parent_may_be_an_orphan_and_lead_over_the_limit() -> None:
    assert difference(ORPHANED, UNRESOLVED, outside_parents=False) is None
    over_limit = replace(ORPHANED, failure=OVER_LIMIT)
    assert difference(over_limit, UNRESOLVED, outside_parents=False) is None
    assert difference(FAILED, UNRESOLVED, outside_parents=False)
    assert difference(FAILED, replace(UNRESOLVED, failure=OVER_LIMIT), outside_parents=False)


def test_an_unresolved_parent_may_stand_in_production_already() -> None:
    assert difference(GOOD, UNRESOLVED, outside_parents=True) is None


async def test_rows_that_landed_otherwise_than_they_were_read_are_a_difference(
    mysql_server_url: str,
) -> None:
    chunks, read = [b"id,name,note\n1,a,b\n"], [b"1,a,c"]

    async with csvs.staging(mysql_server_url) as url, connect(url, local_infile=True) as database:
        differs = await csvs.difference_of_good(database, 1, chunks, read)

    assert differs is not None
    assert differs.startswith("landed")
