"""What a server or its operator has set for everyone does not reach the project's sessions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.ledger.delivery import Verdict
from shared.ledger.lease import kept_alive
from shared.ledger.mysql import Ledger
from shared.ledger.states import State
from shared.mysql.connect import Database
from tests.integration.test_ledger import claimed, event, new_load

LEASE_SECONDS = 2.0


@asynccontextmanager
async def server_defaults(database: Database, **values: object) -> AsyncIterator[None]:
    """Until leaving, every new session begins with these."""
    before = {name: await database.fetch_value(f"SELECT @@GLOBAL.{name}") for name in values}
    try:
        for name, value in values.items():
            await database.execute(f"SET GLOBAL {name} = %(value)s", {"value": value})
        yield
    finally:
        for name, value in before.items():
            await database.execute(f"SET GLOBAL {name} = %(value)s", {"value": value})


@pytest.mark.parametrize("zone", ["-05:00", "+05:30"])
async def test_a_heartbeat_counts_a_lease_as_long_as_the_claim_did_wherever_the_server_stands(
    ledger: Ledger, database: Database, zone: str
) -> None:
    lease = "SELECT lease_until FROM load_ledger"
    seconds_left = "SELECT TIMESTAMPDIFF(MICROSECOND, NOW(6), lease_until) / 1e6 FROM load_ledger"
    await new_load(database, State.VALIDATED)
    async with server_defaults(database, time_zone=zone):
        claim = await claimed(ledger, event("stager"))
        granted = await database.fetch_value(lease)
        alive = kept_alive(claim, ledger.url, lease_seconds=LEASE_SECONDS, heartbeat_seconds=0.05)
        async with alive, asyncio.timeout(20):
            while await database.fetch_value(lease) == granted:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
            assert await ledger.claim(event("stager"), None) is Verdict.BUSY
            assert 0 < await database.fetch_value(seconds_left) <= LEASE_SECONDS
