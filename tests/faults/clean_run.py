"""The quiet day that every run is held against: the same drops, one after the other, alone.

Thousands of runs share a few such days, so each is made once in a process and kept.
"""

import csv
import hashlib
import io
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

from crossdock.pipeline import Ending, subscribe_stages
from crossdock.stack import mysql_server
from shared.bus.memory import MemoryBus
from shared.ledger.mysql import Ledger
from shared.mysql.connect import Database, connect
from shared.mysql.migrate import migrate
from shared.partners import Partners
from shared.settings import Settings
from shared.stage import Parts
from shared.storage.directory import DirectoryStorage
from tests import loads
from tests.drops import HEADERS, Drop

PRODUCTION = tuple(HEADERS)
WITH_CHILDREN = PRODUCTION[:-1]
KEYS = tuple(f"crosswalk_keys_{entity}" for entity in WITH_CHILDREN)
VIEWS = tuple(f"crosswalk_{entity}" for entity in WITH_CHILDREN)
BUCKET = "drops"
Tables = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class CleanRun:
    """What a quiet day leaves of one source_system.

    Attributes:
        tables: production and crosswalks.
        refused_parents: whether a row that may have children was rejected.
    """

    tables: Tables
    refused_parents: bool


def manifest_sha256(drop: Drop) -> str:
    """What the ledger keeps of the drop that it applied; the files' hashes stand in it."""
    return hashlib.sha256(json.dumps(drop.manifest()).encode()).hexdigest()


async def standing(database: Database, source_system: str) -> Tables:
    """Every row of a source_system in production and the crosswalks, in order, with all columns."""
    return {
        table: [
            dict(row)
            for row in await database.fetch_all(
                f"SELECT * FROM `{table}` WHERE source_system = %(source_system)s ORDER BY 1, 2",
                {"source_system": source_system},
            )
        ]
        for table in (*PRODUCTION, *KEYS, *VIEWS)
    }


def brings_its_own_parents(drop: Drop) -> bool:
    """Whether the parent of every row stands in the same drop."""
    keys: dict[str, list[list[str]]] = {
        entity: list(csv.reader(io.StringIO(drop.files[f"{entity}.csv"].decode(), newline="")))[1:]
        for entity in PRODUCTION
    }
    return all(
        {row[1] for row in keys[child]} <= {row[0] for row in keys[parent]}
        for parent, child in pairwise(PRODUCTION)
    )


_made: dict[tuple[str, ...], CleanRun] = {}


async def clean_run(server_url: str, drops: Sequence[Drop]) -> CleanRun:
    """One source_system's drops, each applied in its turn; one that comes again is replayed.

    Raises:
        AssertionError: a drop is not reported even on a quiet day.
    """
    key = tuple(manifest_sha256(drop) for drop in drops)
    if key not in _made:
        _made[key] = await _make(server_url, drops)
    return _made[key]


async def _make(server_url: str, drops: Sequence[Drop]) -> CleanRun:
    name = f"clean_{uuid4().hex[:12]}"
    url = mysql_server.create_database(server_url, name)
    try:
        await migrate(url)
        settings = Settings(mysql_url=url, bucket=BUCKET, missing_file_grace_seconds=0)
        with tempfile.TemporaryDirectory(prefix="crossdock-clean-") as folder:
            storage = DirectoryStorage(Path(folder), BUCKET)
            parts = Parts(settings, storage, MemoryBus(), Ledger(settings), Partners())
            for number, drop in enumerate(drops):
                if drop in drops[:number]:
                    await _replay(parts, drop)
                else:
                    drop.write(Path(folder))
                    followed = await loads.run(parts, drop)
                    assert followed.ending is Ending.REPORTED, (drop.load_id, followed)
        async with connect(url, program_name="clean run") as database:
            return await _read(database, drops[0].partner)
    finally:
        mysql_server.drop_database(server_url, name)


async def _read(database: Database, source_system: str) -> CleanRun:
    refused = await database.fetch_value(
        "SELECT COUNT(*) FROM load_count WHERE rejected > 0 AND entity IN %(entities)s",
        {"entities": WITH_CHILDREN},
    )
    return CleanRun(await standing(database, source_system), bool(refused))


async def _replay(parts: Parts, drop: Drop) -> None:
    bus = MemoryBus()
    subscribe_stages(bus, replace(parts, bus=bus), lambda _: None)
    await bus.publish("staged", json.dumps({"load_id": drop.load_id}).encode(), {})
    await bus.drain()
    load = await parts.ledger.read(drop.load_id)
    assert load is not None
    assert load.due_topic is None, load
    assert load.failed_run != load.run, load
