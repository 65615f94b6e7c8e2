"""One drop after the other through all four stages, with everything that was told of each.

Many drops share one database, each under a partner and a load_id of its own, so that a table of
cases costs one database and what a drop left behind is still told apart from the others.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from crossdock.offline_check import CheckResult, check
from crossdock.pipeline import Ending
from crossdock.stack import mysql_server
from shared.bus.memory import MemoryBus
from shared.clock import now
from shared.contracts.model import contracts
from shared.contracts.tables import Names
from shared.errors import catalogue
from shared.ledger.mysql import Ledger
from shared.mysql.connect import Database, connect
from shared.mysql.migrate import migrate
from shared.partners import Partner, Partners
from shared.settings import Settings
from shared.stage import Parts
from shared.storage.directory import DirectoryStorage
from tests.drops import Drop
from tests.loads import run
from tests.production import Content, is_empty

LENIENT = "lenient"
PARTNERS = Partners(
    partners={LENIENT: Partner(folder=LENIENT, source_system=LENIENT, reject_limit_percent=100)}
)


@dataclass(frozen=True)
class Outcome:
    """What became of one drop, and what `crossdock check` says of the same folder.

    A load that never comes to its end has no report; it is empty then.
    """

    ending: Ending
    state: str
    report: Mapping[str, Any]
    notices: list[tuple[str, str]]
    standing: Content
    rejects: list[Mapping[str, Any]]
    checked: CheckResult

    @property
    def failure(self) -> Mapping[str, Any]:
        """The failure as the report tells it; empty where there is none."""
        return self.report.get("failure") or {}

    @property
    def offline_failure(self) -> Mapping[str, Any]:
        """The same from the offline check."""
        failure = self.checked.failure
        return failure.to_json() if failure else {}

    def count(self, entity: str, name: str) -> int | None:
        """One number of the report."""
        number: int | None = self.report["entities"][entity][name]
        return number

    def codes(self, entity: str) -> dict[int, str]:
        """The code of every rejected row of a file by its row_no."""
        return {row["row_no"]: row["code"] for row in self.rejects if row["entity"] == entity}


@dataclass(frozen=True)
class Bench:
    """A bucket folder, the stages' parts and a database that takes any number of drops."""

    parts: Parts
    root: Path
    database: Database

    async def take(self, drop: Drop, *, manifest: bytes | None = None) -> Outcome:
        """Write a drop, run it, and read all that is known of it."""
        folder = drop.write(self.root, manifest=manifest)
        followed = await run(self.parts, drop)
        keys = {"load_id": drop.load_id}
        state = await self.database.fetch_value(
            "SELECT state FROM load_ledger WHERE load_id = %(load_id)s", keys
        )
        notices = await self.database.fetch_all(
            "SELECT channel, outcome FROM notification WHERE subject = %(load_id)s ORDER BY 1, 2",
            keys,
        )
        rejects = await self.database.fetch_all(
            "SELECT entity, row_no, source_key, code, column_name, message, raw FROM load_reject "
            "WHERE load_id = %(load_id)s ORDER BY entity, row_no",
            keys,
        )
        told = await self.database.fetch_value(
            "SELECT report FROM load_report WHERE load_id = %(load_id)s ORDER BY run DESC LIMIT 1",
            keys,
        )
        return Outcome(
            ending=followed.ending,
            state=state,
            report=json.loads(told or "{}"),
            notices=[(row["channel"], row["outcome"]) for row in notices],
            standing=await self.standing(drop.partner),
            rejects=list(rejects),
            checked=await asyncio.to_thread(
                check, folder, partner=None, partners=self.parts.partners, now=now()
            ),
        )

    async def standing(self, source_system: str) -> Content:
        """What production and the crosswalks hold of one partner."""
        tables: Content = {}
        for entity in contracts()["v1"].entities:
            names = Names.of(entity)
            for table in (names.production, *([names.crosswalk] if entity.has_children else [])):
                rows = await self.database.fetch_all(
                    f"SELECT * FROM `{table}` WHERE source_system = %(source_system)s "
                    "ORDER BY 1, 2",
                    {"source_system": source_system},
                )
                tables[table] = list(rows)
        return tables


@asynccontextmanager
async def open_bench(server_url: str, root: Path) -> AsyncIterator[Bench]:
    """A bench on a new database of the server; the database goes with it."""
    name = f"test_{uuid4().hex[:12]}"
    url = mysql_server.create_database(server_url, name)
    try:
        await migrate(url)
        settings = Settings(
            mysql_url=url,
            bucket="drops",
            lease_seconds=10,
            heartbeat_seconds=1,
            sweep_seconds=0.5,
            retry_base_seconds=0.1,
            attempts_before_attention=2,
            missing_file_grace_seconds=0,
        )
        storage = DirectoryStorage(root, settings.bucket)
        parts = Parts(settings, storage, MemoryBus(), Ledger(settings), PARTNERS)
        async with connect(url, program_name="test") as database:
            yield Bench(parts, root, database)
    finally:
        mysql_server.drop_database(server_url, name)


def take_all(
    server_url: str, root: Path, drops: Iterable[tuple[Drop, bytes | None]]
) -> dict[str, Outcome]:
    """Each drop's outcome by its load_id, all of them on one database.

    Where a drop's manifest is None it is the one that describes the drop.
    """

    async def taken() -> dict[str, Outcome]:
        async with open_bench(server_url, root) as bench:
            return {
                drop.load_id: await bench.take(drop, manifest=manifest) for drop, manifest in drops
            }

    return asyncio.run(taken())


def assert_rejected(outcome: Outcome, code: str) -> None:
    """The promises that hold for every load that fails, whatever is wrong with it."""
    assert (outcome.ending, outcome.state) == (Ending.FAILED, "failed")
    assert outcome.failure["code"] == code
    assert (outcome.report["state"], outcome.report["reconciled"]) == ("failed", False)
    assert outcome.failure["remedy"] == catalogue()[code].remedy
    assert_told_once(outcome, "failed")
    assert is_empty(outcome.standing)


def assert_told_once(outcome: Outcome, what: str) -> None:
    """One notice, on each channel that there is."""
    channels = [channel for channel, _ in outcome.notices]
    assert channels
    assert len(channels) == len(set(channels))
    assert {told for _, told in outcome.notices} == {what}


def assert_accepted(outcome: Outcome) -> None:
    """The promises that hold for every load that is taken, with or without rejected rows."""
    assert (outcome.ending, outcome.state, outcome.failure) == (Ending.REPORTED, "reported", {})
    assert outcome.report["reconciled"] is True
    assert_told_once(outcome, "reported")
    for counts in outcome.report["entities"].values():
        parts = ("inserted", "updated", "unchanged", "stale", "rejected")
        assert counts["manifest"] == counts["staged"] == sum(counts[part] for part in parts)
        assert counts["production"] == counts["staged"] - counts["rejected"]
