"""One drop through `crossdock run`: a process of its own, timed as a whole and stage by stage."""

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from crossdock.pack import pack
from infra.local.sample import generate
from shared.mysql.connect import Database, connect

PARTNER: Final = "acme"
SEED: Final = 1
EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
MOST_STATEMENTS: Final = 8
ROWS_OF_A_CUSTOMER: Final = 11.05
_STAGES: Final = """SELECT stage, MIN(happened_at) AS began, MAX(happened_at) AS ended
FROM load_event WHERE load_id = %(load_id)s AND kind IN ('claimed', 'finished') GROUP BY stage
ORDER BY began"""
_FORGET_STATEMENTS: Final = "TRUNCATE performance_schema.events_statements_summary_by_digest"
_STATEMENTS: Final = """SELECT DIGEST_TEXT AS statement, COUNT_STAR AS times,
    SUM_TIMER_WAIT / 1e12 AS seconds FROM performance_schema.events_statements_summary_by_digest
WHERE SCHEMA_NAME = DATABASE() ORDER BY SUM_TIMER_WAIT DESC LIMIT %(most)s"""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took.

    Attributes:
        seconds: of the whole process, from its start to its end.
        peak_bytes: the largest memory that it ever had.
        stages: seconds of each stage, from its claim to its last commit.
        statements: the dearest kinds of statements: text, times, seconds.
        outcomes: rows by entity and outcome, as reported.
    """

    seconds: float
    peak_bytes: int
    stages: dict[str, float]
    statements: list[tuple[str, int, float]]
    outcomes: dict[str, dict[str, int]]


def customers_of(about_rows: int) -> int:
    """How many customers come with about so many rows in all."""
    return max(1, round(about_rows / ROWS_OF_A_CUSTOMER))


def write_drop(folder: Path, load_id: str, customers: int, *, minute: int, version: int) -> int:
    """Write and pack a drop; returns its rows.

    Args:
        folder: where the drop's own folder goes.
        load_id: its name.
        customers: about eleven rows come with each.
        minute: of its `created_at`, which orders the drops.
        version: 1 as it is, another one with 5 % of the rows changed.
    """
    drop = folder / load_id
    rows = generate(drop, seed=SEED, customers=customers, version=version)
    pack(drop, load_id, PARTNER, EPOCH + timedelta(minutes=minute))
    return sum(rows.values())


def take(url: str, drop: Path) -> Run:
    """Take a drop through `crossdock run`.

    Raises:
        subprocess.CalledProcessError: it did not end well; its words are on standard error.
    """
    asyncio.run(_execute(url, _FORGET_STATEMENTS))
    command = [sys.executable, "-m", "crossdock", "run", str(drop), "--json"]
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "CROSSDOCK_MYSQL_URL": url},
    )
    assert process.stdout is not None
    with process.stdout as output:
        report = output.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    stages, statements = asyncio.run(_looked_up(url, drop.name))
    outcomes = json.loads(report)["entities"]
    return Run(seconds, used.ru_maxrss * 1024, stages, statements, outcomes)


async def _execute(url: str, statement: str) -> None:
    async with connect(url) as database:
        await database.execute(statement)


async def _looked_up(
    url: str, load_id: str
) -> tuple[dict[str, float], list[tuple[str, int, float]]]:
    async with connect(url) as database:
        return await stage_seconds(database, load_id), await _statements(database)


async def stage_seconds(database: Database, load_id: str) -> dict[str, float]:
    """How long each stage of a load took, from its first claim to its last commit."""
    rows = await database.fetch_all(_STAGES, {"load_id": load_id})
    return {row["stage"]: (row["ended"] - row["began"]).total_seconds() for row in rows}


async def _statements(database: Database) -> list[tuple[str, int, float]]:
    rows = await database.fetch_all(_STATEMENTS, {"most": MOST_STATEMENTS})
    return [(row["statement"], row["times"], float(row["seconds"])) for row in rows]
