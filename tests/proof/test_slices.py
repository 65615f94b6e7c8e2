"""A slice of each long proof; `make proof` runs them whole."""

import pytest

from tests.proof import csvs, giants, packages, rows
from tests.proof.giants import GIANTS, Giant
from tests.proof.tally import Compare

SEED = 1
MEGABYTES_64 = 64_000_000
# So few usual rows show nothing of what a check keeps of each; the long keys do.
SHOWN_ONLY_WHOLE = {"usual rows, check", "orphans, check"}
QUICK_GIANTS = [giant for giant in GIANTS if giant.name not in SHOWN_ONLY_WHOLE]


@pytest.mark.parametrize(
    ("compare", "cases", "outcomes"),
    [(packages.compare, 40, 12), (csvs.compare, 800, 8), (rows.compare, 5_000, 6)],
    ids=["packages", "csvs", "rows"],
)
def test_two_readings_of_one_rule_never_differ(
    compare: Compare, cases: int, outcomes: int, mysql_server_url: str
) -> None:
    tally = compare(mysql_server_url, SEED, range(cases))

    assert tally.disagreements == []
    assert tally.cases >= cases
    assert len(tally.outcomes) >= outcomes


@pytest.mark.parametrize("giant", QUICK_GIANTS, ids=lambda giant: giant.name)
def test_a_large_file_is_never_held_in_memory(giant: Giant, mysql_server_url: str) -> None:
    measured = giants.measure(giant, mysql_server_url, MEGABYTES_64)

    assert list(giant.faults(measured)) == []
