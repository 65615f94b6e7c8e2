"""Every statement of a load's way, the rare ones too, under the account of who sends it."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.accounts import Accounts, open_accounts
from tests.faults.one_process import on_database
from tests.faults.statement_scenarios import SCENARIOS
from tests.faults.statements_matrix import statements

DENIED = """SELECT load_id, last_error FROM load_ledger
WHERE last_error LIKE '%denied%' UNION SELECT load_id, detail FROM load_event
WHERE detail LIKE '%denied%'"""


@pytest.fixture
def accounts(mysql_server_url: str) -> Iterator[Accounts]:
    with open_accounts(mysql_server_url) as made:
        yield made


@pytest.mark.timeout(300)
async def test_the_rights_are_enough_for_every_day_of_every_service(accounts: Accounts) -> None:
    seen: Counter[str] = Counter()
    async with on_database(accounts.admin, accounts.urls) as lane:
        for scenario in SCENARIOS:
            lane.proxy.arm(*filter(None, [scenario.first_strike]))
            lane.proxy.seen.clear()
            async with lane.day(scenario.settings) as day:
                await scenario.act(day)
                ended = await day.database.fetch_all("SELECT load_id, state FROM load_ledger")
                denied = await day.database.fetch_all(DENIED)
            assert {row["load_id"]: row["state"] for row in ended} == scenario.ends, scenario.name
            assert not denied, (scenario.name, denied)
            seen += lane.proxy.seen
    assert set(statements()) - set(seen) == set(), "these were sent under nobody's account"
