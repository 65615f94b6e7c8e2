"""`crossdock run DIR` killed in mid-load: nothing is lost, and running it again goes on."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from shared.ledger.states import State
from shared.mysql.connect import Database, connect
from shared.stage import Parts
from shared.sweep import sweep
from tests.conftest import REPOSITORY
from tests.drops import HEADERS, Drop

PATIENCE_SECONDS = 60
LONG = {"CROSSDOCK_LEASE_SECONDS": "600", "CROSSDOCK_HEARTBEAT_SECONDS": "0.5"}


async def begin(drop: Path, database_url: str) -> Process:
    environment = {**os.environ, **LONG, "CROSSDOCK_MYSQL_URL": database_url}
    command = (sys.executable, "-m", "crossdock", "run", str(drop), "--json")
    return await asyncio.create_subprocess_exec(
        *command, cwd=REPOSITORY, env=environment, stdout=PIPE, stderr=PIPE
    )


async def until_held_up(database: Database, process: Process) -> None:
    """Until the upserter of the process waits for the table that is in its way."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while process.returncode is None:
            if await database.fetch_value(
                "SELECT COUNT(*) FROM performance_schema.processlist "
                "WHERE STATE = 'Waiting for table metadata lock' AND INFO LIKE '%invoices%'"
            ):
                return
            await asyncio.sleep(0.02)
    raise AssertionError(await process.communicate())


async def test_a_run_that_was_killed_goes_on_when_it_is_run_again(
    parts: Parts, database: Database, database_url: str, tmp_path: Path
) -> None:
    drop = Drop()
    folder = drop.write(tmp_path)
    async with connect(database_url, program_name="in the way") as blocker:
        await blocker.execute("LOCK TABLES invoices WRITE")
        process = await begin(folder, database_url)
        await until_held_up(database, process)
        process.kill()
        await process.communicate()
        early = await begin(folder, database_url)
        _, said = await early.communicate()
        assert early.returncode == 5, said
        assert b"upserter@" in said, "it says who holds the load"
    assert (await sweep(parts)).published == 0, "a load of a folder is no business of the services"
    await database.execute("UPDATE load_ledger SET lease_until = NOW(6)")  # it ran out
    again = await begin(folder, database_url)
    document, said = await again.communicate()
    assert again.returncode == 0, said
    report = json.loads(document)
    assert (report["run"], report["reconciled"]) == (1, True)
    assert {one["inserted"] for one in report["entities"].values()} == {3}
    for name in HEADERS:
        assert await database.fetch_value(f"SELECT COUNT(*) FROM {name}") == 3
    load = await parts.ledger.read(drop.load_id)
    assert load is not None
    assert (load.state, load.run) == (State.REPORTED, 1)
