"""Workers of different accounts take over from each other, and a missing grant is named."""

from collections.abc import Iterator
from http import HTTPStatus

import pymysql
import pytest

from crossdock.cli.health import check_mysql
from shared.errors import TransientFault
from shared.ledger.mysql import Ledger
from shared.ledger.states import State
from shared.mysql.connect import connect
from shared.mysql.migrate import schema_differences
from shared.service import _ready
from shared.settings import Settings
from tests.accounts import Accounts, open_accounts
from tests.integration.test_ledger import claimed, event, new_load, replay

STAGES = ("validator", "stager", "upserter", "reporter")
CONNECTIONS = """SELECT COUNT(*) FROM performance_schema.session_connect_attrs
WHERE ATTR_NAME = 'program_name' AND ATTR_VALUE = %(name)s"""


@pytest.fixture
def accounts(mysql_server_url: str) -> Iterator[Accounts]:
    with open_accounts(mysql_server_url) as made:
        yield made


def ledger_of(accounts: Accounts, program: str) -> Ledger:
    return Ledger(Settings(mysql_url=accounts.urls[program], bucket="drops"))


@pytest.mark.parametrize("successor", STAGES)
async def test_a_successor_ends_a_dead_worker_of_another_account_and_its_work_is_rolled_back(
    accounts: Accounts, successor: str
) -> None:
    dead = ledger_of(accounts, "stager")
    async with connect(accounts.admin) as admin:
        await new_load(admin, State.VALIDATED)
        await admin.execute("UPDATE load_ledger SET reached = 'upserted'")
        left = await claimed(dead, event("stager"))
        with pytest.raises(TransientFault):
            async with dead.connect(left) as own, own.transaction():
                await own.execute(
                    "INSERT INTO load_event (load_id, kind, happened_at) "
                    "VALUES ('L', 'left behind', NOW(6))"
                )
                ledger = ledger_of(accounts, successor)
                claim = await claimed(ledger, replay(successor), "sub/1/now")  # type: ignore[arg-type]
                assert claim.predecessor == left.token
                await ledger.end_predecessor(claim)
                assert not await admin.fetch_value(CONNECTIONS, {"name": left.program_name})
                await own.fetch_value("SELECT 1")
        kinds = await admin.fetch_all("SELECT kind FROM load_event")
        assert "left behind" not in {row["kind"] for row in kinds}


async def test_a_service_can_end_no_other_connection(accounts: Accounts) -> None:
    async with (
        connect(accounts.admin, program_name="crossdock:migrate") as other,
        connect(accounts.urls["stager"]) as own,
    ):
        number = {"id": await other.fetch_value("SELECT CONNECTION_ID()")}
        with pytest.raises(pymysql.err.OperationalError, match="not owner of thread"):
            await own.execute("KILL CONNECTION %(id)s", number)
        for name in ("migrate", "", "%", "%@%"):
            row = await own.fetch_one("CALL end_worker(%(name)s)", {"name": name})
            assert row is not None
            assert row["connections"] == 0
        assert await other.fetch_value("SELECT 1") == 1


@pytest.mark.parametrize("stage", STAGES)
async def test_a_service_under_its_own_account_is_ready(accounts: Accounts, stage: str) -> None:
    answer = await _ready(stage, accounts.urls[stage])
    assert (answer.status_code, answer.body) == (HTTPStatus.OK, b'{"status":"ready"}')


@pytest.mark.parametrize(
    ("stage", "revoked", "named"),
    [
        ("validator", "INSERT ON notification", "INSERT on notification"),
        ("stager", "UPDATE (published_at) ON outbox", "UPDATE (published_at) on outbox"),
        ("stager", "DELETE ON staging_vehicles", "DELETE on staging_vehicles"),
        ("upserter", "SELECT ON schema_migration", "SELECT on schema_migration"),
        ("upserter", "ALL ON plan_invoices", "SELECT on plan_invoices, INSERT on"),
        ("reporter", "EXECUTE ON PROCEDURE end_worker", "EXECUTE on end_worker"),
        ("operator", "INSERT ON invoices", "INSERT on invoices"),
    ],
)
async def test_a_right_that_was_not_given_is_named_before_a_load_misses_it(
    accounts: Accounts, stage: str, revoked: str, named: str
) -> None:
    async with connect(accounts.admin) as admin:
        await admin.execute(f"REVOKE {revoked} FROM {accounts.name(stage)}")
    answer = await _ready(stage, accounts.urls[stage])
    told = bytes(answer.body).decode()
    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert f"{accounts.prefix}_{stage}@% lacks {named}" in told
    assert "docs/operations/accounts.md" in told
    (wrong,) = [check for check in await check_mysql(accounts.urls[stage]) if not check.ok]
    assert (wrong.check, named in wrong.detail) == ("mysql rights", True)


async def test_a_migration_that_is_missing_is_not_taken_for_a_missing_right(
    accounts: Accounts,
) -> None:
    async with connect(accounts.admin) as admin:
        await admin.execute("DELETE FROM schema_migration ORDER BY name DESC LIMIT 1")
    answer = await _ready("stager", accounts.urls["stager"])
    assert b"run `crossdock migrate`" in answer.body
    assert b"lacks" not in answer.body


async def test_a_maker_of_the_routine_that_cannot_end_connections_is_named(
    accounts: Accounts,
) -> None:
    async with connect(accounts.admin) as admin:
        await admin.execute(f"REVOKE CONNECTION_ADMIN ON *.* FROM {accounts.name('migrate')}")
    answer = await _ready("stager", accounts.urls["stager"])
    maker = f"{accounts.prefix}_migrate@%"
    assert f"Grant CONNECTION_ADMIN to {maker}".encode() in answer.body


@pytest.mark.parametrize("program", ["operator", "reader"])
async def test_who_looks_at_everything_finds_nothing_wrong(
    accounts: Accounts, program: str
) -> None:
    assert await schema_differences(accounts.urls[program]) == []
    assert [check for check in await check_mysql(accounts.urls[program]) if not check.ok] == []
