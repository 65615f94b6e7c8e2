"""A server that keeps back what connections announce: no dead worker's connection can be found."""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest

from crossdock.cli.health import check_mysql
from crossdock.stack import mysql_server
from crossdock.stack.mysql_binaries import MySQLServerProgram, find_or_fetch
from shared.errors import TransientFault
from shared.ledger.mysql import Ledger
from shared.ledger.states import State
from shared.mysql.connect import connect
from shared.mysql.migrate import migrate
from shared.service import _ready
from shared.settings import Settings
from tests.integration.test_ledger import claimed, event, new_load

BLINDNESS = "performance_schema_session_connect_attrs_size"


@pytest.fixture(scope="module")
def blind_url(mysql_server_url: str, stack_dir: Path) -> Iterator[str]:
    """A migrated database on a server of its own, which keeps nothing that connections announce."""
    assert mysql_server_url  # this machine has a server program, or the test is skipped

    def find_blind(_progress: object) -> MySQLServerProgram:
        program = find_or_fetch(lambda _line: None)
        return replace(program, place_options=(*program.place_options, f"--{BLINDNESS}=0"))

    folder = stack_dir / "blind"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mysql_server, "find_or_fetch", find_blind)
        try:
            url = mysql_server.ensure_started(folder).url
            asyncio.run(migrate(url))
            yield url
        finally:
            mysql_server.stop(folder)
            shutil.rmtree(folder, ignore_errors=True)


async def test_no_worker_begins_where_its_predecessor_might_go_on_unseen(blind_url: str) -> None:
    ledger = Ledger(Settings(mysql_url=blind_url, bucket="drops"))
    async with connect(blind_url) as database:
        await new_load(database, State.VALIDATED)
        await claimed(ledger, event("stager"))
        await database.execute("UPDATE load_ledger SET lease_until = NOW(6)")
    successor = await claimed(ledger, event("stager"))
    with pytest.raises(TransientFault, match=f"{BLINDNESS} is 0.* Start the server with"):
        await ledger.end_predecessor(successor)


async def test_a_service_on_such_a_server_is_not_ready_and_says_why(blind_url: str) -> None:
    answer = await _ready("stager", blind_url)
    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert f"{BLINDNESS} is 0".encode() in answer.body


async def test_doctor_finds_it(blind_url: str) -> None:
    wrong = [check for check in await check_mysql(blind_url) if not check.ok]
    assert [check.check for check in wrong] == ["mysql performance_schema"]
    assert f"{BLINDNESS} is 0" in wrong[0].detail


async def test_a_service_on_a_server_that_shows_them_is_ready(database_url: str) -> None:
    assert (await _ready("stager", database_url)).status_code == HTTPStatus.OK
