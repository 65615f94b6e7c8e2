"""What must hold after every run, whatever was done to it; each oracle reads the database alone.

A run is finished when its loads are at their end and nothing moves any more.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from shared.mysql.connect import Database, Row, connect
from tests.drops import Drop
from tests.faults.clean_run import (
    KEYS,
    PRODUCTION,
    WITH_CHILDREN,
    Tables,
    brings_its_own_parents,
    clean_run,
    manifest_sha256,
    standing,
)
from tests.faults.legal_paths import first_fence_that_does_not_rise, lines_of, walk

OPEN_SECONDS = 6.0  # a stalled answer holds a transaction for 3, and nobody is at fault
OUTCOMES = {"reported": "reported", "failed": "failed"}
DECIDED = frozenset({"taken", "history", "superseded", "refused"})
WRITERS = ("first_load_id", "last_load_id")
FIRST_SEEN = ("first_seen_load_id",)
OF_THE_LOAD = frozenset({"source_version", *WRITERS})
IDS = {
    **{entity: f"SELECT * FROM crosswalk_keys_{entity}" for entity in WITH_CHILDREN},
    "line_items": "SELECT source_system, source_line_item_id AS source_key, "
    "line_item_id AS internal_id FROM line_items",
}
# By topic, the kinds and stages of history that its event tells of; a replay begins at one, too.
TOLD_BY: dict[str, set[tuple[str, str | None]]] = {
    "manifest.arrived": {("received", None), ("replayed", "validator")},
    "manifest.validated": {("finished", "validator"), ("replayed", "stager")},
    "staged": {("finished", "stager"), ("replayed", "upserter")},
    "upserted": {("finished", "upserter"), ("replayed", "reporter")},
    "reported": {("finished", "reporter")},
    "failed": {
        *(("failed", stage) for stage in (None, "validator", "stager", "upserter")),
        ("replayed", "reporter"),
    },
}


@dataclass(frozen=True)
class Violation:
    """Something that must never be: which oracle says so, and what it saw."""

    oracle: str
    detail: str


@dataclass(frozen=True)
class FinishedRun:
    """A run at its end.

    Attributes:
        database_url: where its ledger and production are.
        server_url: an administrator's URL, to make clean runs beside it.
        drops: every drop that was uploaded, a corrected one too.
        bucket: the bucket that they were uploaded to.
        expected: the final state of each load, `reported` or `failed`.
    """

    database_url: str
    server_url: str
    drops: Sequence[Drop]
    bucket: str
    expected: Mapping[str, str]


async def violations(run: FinishedRun) -> list[Violation]:
    """All that any oracle has against a run; empty when it ended as a quiet day does."""
    found: list[Violation] = []
    async with connect(run.database_url, program_name="oracle") as database:
        for oracle in ORACLES:
            details = await oracle(run, database)
            found += [Violation(oracle.__name__, detail) for detail in details]
    return found


async def production_as_clean_run(run: FinishedRun, database: Database) -> list[str]:
    """Production is, byte for byte, that of a quiet day with the loads in their commits' order.

    A replay that follows its own load's upsert changes nothing, so the quiet day leaves it out.
    """
    commits = await database.fetch_all(
        "SELECT l.source_system, e.load_id, l.applied_manifest_sha256 FROM load_event e "
        "JOIN load_ledger l USING (load_id) WHERE e.kind = 'finished' AND e.stage = 'upserter' "
        "ORDER BY l.source_system, e.event_no"
    )
    found: list[str] = []
    for source_system, group in groupby(commits, lambda row: row["source_system"]):
        in_order = [next(same) for _, same in groupby(group, lambda row: row["load_id"])]
        drops = [_drop_of(run, row) for row in in_order]
        clean = await clean_run(run.server_url, drops)
        found += _differences(await standing(database, source_system), clean.tables)
    return found


async def contract_columns_in_created_at_order(run: FinishedRun, database: Database) -> list[str]:
    """The order in which loads come does not show, unless a row needs a parent of another load."""
    applied = await database.fetch_all(
        "SELECT source_system, load_id, applied_manifest_sha256 FROM load_ledger "
        "WHERE applied_run IS NOT NULL ORDER BY source_system, version"
    )
    found: list[str] = []
    for source_system, group in groupby(applied, lambda row: row["source_system"]):
        drops = [_drop_of(run, row) for row in group]
        if not all(map(brings_its_own_parents, drops)):
            continue
        clean = await clean_run(run.server_url, drops)
        if not clean.refused_parents:
            stands = await standing(database, source_system)
            found += _differences(_contract_columns(stands), _contract_columns(clean.tables))
    return found


async def every_key_has_its_id(run: FinishedRun, database: Database) -> list[str]:
    """An id is the hash of its key, unless a collision gave it another."""
    others = {
        (row["entity"], row["source_system"], row["source_key"]): row["internal_id"]
        for row in await database.fetch_all("SELECT * FROM identity_collision")
    }
    found: list[str] = []
    for entity, question in IDS.items():
        for row in await database.fetch_all(question):
            key = (entity, row["source_system"], row["source_key"])
            digest = hashlib.sha256("/".join(key).encode()).digest()
            wanted = others.get(key, int.from_bytes(digest[:8]) >> 1)
            if row["internal_id"] != wanted:
                found.append(f"{'/'.join(key)} has the id {row['internal_id']}, not {wanted}")
    return found


async def legal_history(run: FinishedRun, database: Database) -> list[str]:
    """Each history is a path of the pages, and ends where its load stands."""
    histories = await _histories(database)
    found: list[str] = []
    ledger = {
        row["load_id"]: (row["state"], row["run"])
        for row in await database.fetch_all("SELECT load_id, state, run FROM load_ledger")
    }
    for load_id in {**histories, **ledger}:
        way, complaint = walk(lines_of(histories.get(load_id, [])))
        if complaint is not None:
            found.append(f"{load_id}: {complaint}")
        elif (way.state, way.run) != ledger.get(load_id, (None, 0)):
            stands = ledger.get(load_id)
            found.append(f"{load_id}: the history ends in {way}, the ledger has {stands}")
    return found


async def fences_rise(run: FinishedRun, database: Database) -> list[str]:
    """Every claim has a fence above all before it, and the ledger has given none above its own."""
    fences = {
        row["load_id"]: row["fence"]
        for row in await database.fetch_all("SELECT load_id, fence FROM load_ledger")
    }
    found: list[str] = []
    for load_id, rows in (await _histories(database)).items():
        complaint = first_fence_that_does_not_rise(lines_of(rows))
        highest = max((row["fence"] or 0 for row in rows), default=0)
        if complaint is not None:
            found.append(f"{load_id}: {complaint}")
        elif highest > fences.get(load_id, 0):
            found.append(f"{load_id}: fence {highest} is above the ledger's")
    return found


async def events_tell_what_happened(run: FinishedRun, database: Database) -> list[str]:
    """No event is of a milestone that the history lacks, or older than its line there."""
    events = await database.fetch_all("SELECT load_id, run, topic, created_at FROM outbox")
    lines = await database.fetch_all(
        "SELECT load_id, run, kind, stage, happened_at FROM load_event ORDER BY event_no DESC"
    )
    first = {
        (row["load_id"], row["run"], (row["kind"], row["stage"])): row["happened_at"]
        for row in lines
    }
    found: list[str] = []
    for event in events:
        load_id, number, topic = event["load_id"], event["run"], event["topic"]
        # The report of an applied run may come with that of a replay which overtook it.
        times = [
            time
            for (named, run_no, line), time in first.items()
            if named == load_id and line in TOLD_BY[topic]
            if run_no == number or (topic == "reported" and run_no > number)
        ]
        if not any(time <= event["created_at"] for time in times):
            found.append(f"{topic} of {load_id}, run {number}, was told before it was so")
    return found


async def one_final_state_each_told_once(run: FinishedRun, database: Database) -> list[str]:
    """Every manifest is decided, every load as expected, and each told run has one outcome."""
    found = await _undecided_arrivals(run, database)
    ledger = {
        row["load_id"]: row
        for row in await database.fetch_all(
            "SELECT load_id, state, run, failed_run, reported_run FROM load_ledger"
        )
    }
    for load_id, expected in run.expected.items():
        state = ledger[load_id]["state"] if load_id in ledger else None
        if state != expected:
            found.append(f"{load_id} is {state}, expected {expected}")
    told = await _told(database)
    channels = {channel for notices in told.values() for channel, _ in notices}
    for load_id, row in ledger.items():
        outcome = "failed" if row["failed_run"] == row["run"] else OUTCOMES.get(row["state"])
        wanted = sorted((channel, outcome) for channel in channels)
        notices = sorted(told.get((load_id, row["run"]), []))
        if row["reported_run"] != row["run"] or not notices or notices != wanted:
            found.append(f"{load_id}, run {row['run']}: {outcome} was to be told, not {notices}")
    for (subject, number), notices in told.items():
        if len({outcome for _, outcome in notices}) > 1:
            found.append(f"{subject}, run {number}: two outcomes were told, {notices}")
    return found


async def failed_wrote_nothing(run: FinishedRun, database: Database) -> list[str]:
    """Whatever stands in production was written by loads of its source_system that are applied."""
    found: list[str] = []
    for table in (*PRODUCTION, *KEYS):
        for column in (
            ("first_seen_load_id",) if table in KEYS else ("first_load_id", "last_load_id")
        ):
            rows = await database.fetch_all(
                f"SELECT DISTINCT t.`{column}` AS load_id, l.state FROM `{table}` t "
                f"LEFT JOIN load_ledger l ON l.load_id = t.`{column}` "
                "AND l.source_system = t.source_system "
                "WHERE l.applied_run IS NULL OR l.state = 'failed'"
            )
            found += [f"{table}.{column}: {row['load_id']}, {row['state']}" for row in rows]
    return found


async def nothing_left_running(run: FinishedRun, database: Database) -> list[str]:
    """No lease, no event on its way, and no transaction that stays open."""
    leases = await database.fetch_all(
        "SELECT load_id, lease_owner FROM load_ledger "
        "WHERE lease_owner IS NOT NULL OR lease_until IS NOT NULL"
    )
    events = await database.fetch_all(
        "SELECT load_id, run, topic FROM outbox WHERE published_at IS NULL"
    )
    return [
        *(f"{row['load_id']} is held by {row['lease_owner']}" for row in leases),
        *(
            f"{row['topic']} of {row['load_id']}, run {row['run']}, is unpublished"
            for row in events
        ),
        *(f"transaction {number} stays open" for number in await _lasting_transactions(database)),
    ]


async def dead_letters_have_reasons(run: FinishedRun, database: Database) -> list[str]:
    """Whatever no stage could take says why, and in the history of the load that it names too."""
    letters = await database.fetch_all(
        "SELECT letter_no, load_id FROM dead_letter d WHERE reason = '' OR (load_id IS NOT NULL "
        "AND NOT EXISTS (SELECT 1 FROM load_event e WHERE e.load_id = d.load_id "
        "AND e.kind = 'dead_lettered' AND LEFT(e.detail, 4000) = d.reason))"
    )
    return [f"letter {row['letter_no']} of {row['load_id']} has no reason" for row in letters]


ORACLES = (
    production_as_clean_run,
    contract_columns_in_created_at_order,
    every_key_has_its_id,
    legal_history,
    fences_rise,
    events_tell_what_happened,
    one_final_state_each_told_once,
    failed_wrote_nothing,
    nothing_left_running,
    dead_letters_have_reasons,
)


def _drop_of(run: FinishedRun, applied: Row) -> Drop:
    sha256 = applied["applied_manifest_sha256"]
    for drop in run.drops:
        if manifest_sha256(drop) == sha256:
            return drop
    raise LookupError(f"{applied['load_id']} was applied from a manifest that nobody uploaded")


def _differences(found: Tables, clean: Tables) -> list[str]:
    details: list[str] = []
    for table, rows in found.items():
        ours, theirs = set(map(str, rows)), set(map(str, clean[table]))
        details += [f"{table} has {row}, a clean run has not" for row in sorted(ours - theirs)]
        details += [f"{table} lacks {row} of a clean run" for row in sorted(theirs - ours)]
    return details


def _contract_columns(tables: Tables) -> Tables:
    return {
        table: [
            {name: value for name, value in row.items() if name not in OF_THE_LOAD} for row in rows
        ]
        for table, rows in tables.items()
        if table not in KEYS
    }


async def _histories(database: Database) -> dict[str, list[Row]]:
    histories: dict[str, list[Row]] = {}
    rows = await database.fetch_all(
        "SELECT load_id, kind, run, stage, fence FROM load_event ORDER BY event_no"
    )
    for row in rows:
        histories.setdefault(row["load_id"], []).append(row)
    return histories


async def _undecided_arrivals(run: FinishedRun, database: Database) -> list[str]:
    rows = await database.fetch_all("SELECT object, generation, verdict FROM arrival")
    found = [
        f"{row['object']}, generation {row['generation']}, is still {row['verdict']}"
        for row in rows
        if row["verdict"] not in DECIDED
    ]
    known = {row["object"] for row in rows}
    names = sorted({f"{drop.prefix}manifest.json" for drop in run.drops})
    return found + [f"{name} was never noticed" for name in names if name not in known]


async def _told(database: Database) -> dict[tuple[str, int], list[tuple[str, str]]]:
    told: dict[tuple[str, int], list[tuple[str, str]]] = {}
    rows = await database.fetch_all("SELECT subject, run, channel, outcome FROM notification")
    for row in rows:
        notices = told.setdefault((row["subject"], row["run"]), [])
        notices.append((row["channel"], row["outcome"]))
    return told


async def _lasting_transactions(database: Database) -> set[str]:
    """Transactions that are open at every look for a while: a sweep's come and go."""
    patience_ends = asyncio.get_running_loop().time() + OPEN_SECONDS
    lasting = await _open_transactions(database)
    while lasting and asyncio.get_running_loop().time() < patience_ends:
        await asyncio.sleep(0.1)
        lasting &= await _open_transactions(database)
    return lasting


async def _open_transactions(database: Database) -> set[str]:
    rows = await database.fetch_all(
        "SELECT CONCAT(e.EVENT_ID, ' of connection ', t.PROCESSLIST_ID) AS number "
        "FROM performance_schema.events_transactions_current e "
        "JOIN performance_schema.threads t USING (THREAD_ID) WHERE e.STATE = 'ACTIVE' "
        "AND t.PROCESSLIST_DB = DATABASE() AND t.PROCESSLIST_ID <> CONNECTION_ID()"
    )
    return {row["number"] for row in rows}
