"""A COMMIT whose answer was lost, on the real MySQL: the ledger tells what became of it."""

import pymysql
import pytest

from shared.errors import TransientFault
from shared.ledger.mysql import Ledger
from shared.ledger.states import State
from shared.mysql.connect import Database
from tests.integration.test_ledger import claimed, event, new_load


async def test_a_lost_answer_to_the_commit_is_settled_by_reading_the_ledger(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.VALIDATED)
    claim = await claimed(ledger, event("stager"))
    async with ledger.connect(claim) as own:
        commit = own.connection.commit

        async def commit_and_lose_the_answer() -> None:
            await commit()
            raise pymysql.err.OperationalError(2013, "Lost connection to MySQL server")

        own.connection.commit = commit_and_lose_the_answer
        async with ledger.milestone(claim, own):
            pass
    load = await ledger.read("L")
    assert load is not None
    assert load.state is State.STAGED


async def test_a_commit_that_never_came_through_is_a_fault_that_may_pass(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.VALIDATED)
    claim = await claimed(ledger, event("stager"))
    with pytest.raises(TransientFault):
        async with ledger.connect(claim) as own, ledger.milestone(claim, own):
            thread = await own.fetch_value("SELECT CONNECTION_ID()")
            await database.execute(f"KILL CONNECTION {thread}")
    load = await ledger.read("L")
    assert load is not None
    assert load.state is State.VALIDATED
