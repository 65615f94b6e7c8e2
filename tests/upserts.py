"""Rows put straight into staging, and the upserter run over them."""

from collections.abc import Iterable, Mapping
from typing import Any

from services.upserter.attempt import Attempt, Planned
from services.upserter.classify import classify
from services.upserter.gate import Gate
from services.upserter.hands import Hands
from services.upserter.plan import plan_of
from services.upserter.stage import upsert
from services.upserter.write import write
from shared.contracts.model import Entity, Kind, contracts
from shared.contracts.tables import Names, staging_head
from shared.errors import Rejected
from shared.events import Event
from shared.identity import hashed_id
from shared.ledger.delivery import Delivery
from shared.ledger.lease import Claim
from shared.mysql.connect import Database
from shared.stage import Parts

V1 = contracts()["v1"]
PLANS = plan_of(V1)
OUTCOMES = ("inserted", "updated", "unchanged", "stale", "rejected")
NEW_LOAD = """INSERT INTO load_ledger (load_id, source_system, partner, bucket, prefix, state,
    reached, run, validated_run, staged_run, owned, schema_version, version,
    received_at, started_at, updated_at)
VALUES (%(load_id)s, %(source_system)s, %(source_system)s, 'drops', '', 'staged', 'staged', 1, 1, 1,
    TRUE, 'v1', %(version)s, NOW(6), NOW(6), NOW(6))"""

PIN = """REPLACE INTO load_file
    (load_id, run, entity, name, generation, size_bytes, row_count, sha256)
SELECT %(load_id)s, 1, %(entity)s, '', 1, 0, COUNT(*), '' FROM {staging}
WHERE load_id = %(load_id)s AND run = 1"""

Fields = dict[str, str]
Rows = Mapping[str, Iterable[Fields]]


def row(entity_name: str, key: str, parent_key: str = "", **values: str) -> Fields:
    """A row in order, but for the values given."""
    entity = V1.entity(entity_name)
    plain = {Kind.INT: "1", Kind.DECIMAL: "1.5", Kind.DATE: "2025-01-31", Kind.TEXT: "x"}
    fields = {
        column.name: plain[column.kind] if column.required else "" for column in entity.columns
    }
    fields[entity.key] = key
    if entity.parent_key is not None:
        fields[entity.parent_key] = parent_key
    return fields | values


def family(*names: str) -> Rows:
    """One customer, vehicle, invoice and line item for each name."""
    return {
        "customers": [row("customers", f"C-{name}") for name in names],
        "vehicles": [row("vehicles", f"V-{name}", f"C-{name}") for name in names],
        "invoices": [row("invoices", f"I-{name}", f"V-{name}") for name in names],
        "line_items": [row("line_items", f"L-{name}", f"I-{name}") for name in names],
    }


async def stage(
    database: Database, load_id: str, version: int, rows: Rows, source_system: str = "acme"
) -> None:
    """A load as the stager leaves it."""
    values = {"load_id": load_id, "version": version, "source_system": source_system}
    await database.execute(NEW_LOAD, values)
    for name, fields in rows.items():
        entity = V1.entity(name)
        columns = (*staging_head(entity), *entity.header)
        await database.execute_many(
            f"INSERT INTO {Names.of(entity).staging} (load_id, run, {', '.join(columns)}) "
            f"VALUES (%(load_id)s, 1, {', '.join(f'%({column})s' for column in columns)})",
            [
                {"load_id": load_id, "row_no": row_no, **hashes(entity, source_system, row), **row}
                for row_no, row in enumerate(fields, start=1)
            ],
        )
    await pin(database, load_id)


def hashes(entity: Entity, source_system: str, row: Fields) -> dict[str, int]:
    """What the stager makes of a row's keys."""
    own = {"hashed_id": hashed_id(entity.name, source_system, row[entity.key])}
    if entity.parent is None or entity.parent_key is None:
        return own
    parent = hashed_id(entity.parent, source_system, row[entity.parent_key])
    return own | {"hashed_parent_id": parent}


async def pin(database: Database, load_id: str) -> None:
    """Let the files have been what stands in staging now."""
    for entity in V1.entities:
        keys = {"load_id": load_id, "entity": entity.name}
        await database.execute(PIN.format(staging=Names.of(entity).staging), keys)


async def take(parts: Parts, load_id: str) -> Claim:
    """The lease on a staged load; one that was applied is replayed."""
    load = await parts.ledger.read(load_id)
    assert load is not None
    event = Event(load_id=load_id, event_id=None if load.applied else "e", run=load.run)
    claim = await parts.ledger.claim(Delivery("upserter", event, "drops"), None)
    assert isinstance(claim, Claim), claim
    return claim


async def apply(parts: Parts, load_id: str) -> None:
    """The upserter over a staged load, ended as a stage is."""
    claim = await take(parts, load_id)
    try:
        await upsert(claim, parts)
    except Rejected as rejected:
        await parts.ledger.fail(claim, rejected.failure)
        raise


async def plan_all(database: Database, attempt: Attempt, gate: Gate) -> dict[str, Planned]:
    """What is to be done with the rows of a staged load, by entity; nothing is written."""
    hands = Hands(database, (database,))
    planned: dict[str, Planned] = {}
    for plan in PLANS:
        planned[plan.entity.name] = await classify(hands, plan, attempt, gate=gate, earlier=planned)
    return planned


async def write_all(
    database: Database, attempt: Attempt, gate: Gate, planned: Mapping[str, Planned]
) -> None:
    """Do what is planned, in a transaction that is open."""
    for plan in PLANS:
        async for _ in write(database, plan, attempt, planned[plan.entity.name], gate.newer):
            pass


async def deliver(
    parts: Parts,
    database: Database,
    load_id: str,
    version: int,
    rows: Rows,
    source_system: str = "acme",
) -> dict[str, dict[str, int]]:
    """Stage a load, apply it, and tell what became of its rows."""
    await stage(database, load_id, version, rows, source_system)
    await apply(parts, load_id)
    return await counts(database, load_id)


async def counts(database: Database, load_id: str) -> dict[str, dict[str, Any]]:
    """Of each entity, the outcomes that occurred in the load's latest run, and how often."""
    rows = await database.fetch_all(
        "SELECT c.* FROM load_count c JOIN load_ledger l USING (load_id, run) "
        "WHERE load_id = %(load_id)s",
        {"load_id": load_id},
    )
    for told in rows:
        known = [told[outcome] for outcome in OUTCOMES if told[outcome] is not None]
        assert sum(known) == told["staged"] or len(known) < len(OUTCOMES)
    return {
        told["entity"]: {name: told[name] for name in OUTCOMES if told[name]}
        for told in rows
        if told["staged"]
    }


async def rejects(database: Database, load_id: str, entity: str) -> dict[int, tuple[str, str]]:
    """Code and column of each rejected row of a file."""
    rows = await database.fetch_all(
        "SELECT row_no, code, column_name FROM load_reject "
        "WHERE load_id = %(load_id)s AND entity = %(entity)s",
        {"load_id": load_id, "entity": entity},
    )
    return {told["row_no"]: (told["code"], told["column_name"]) for told in rows}


async def production(database: Database, entity_name: str) -> dict[int, dict[str, Any]]:
    """The production rows of an entity by their ids."""
    entity = V1.entity(entity_name)
    rows = await database.fetch_all(f"SELECT * FROM `{entity.name}`")
    return {told[entity.id_column]: told for told in rows}


async def ids(database: Database, entity_name: str, source_system: str = "acme") -> dict[str, int]:
    """The internal id of each source key, from the crosswalk or, for a leaf, its own row."""
    entity = V1.entity(entity_name)
    sql = (
        f"SELECT source_key, internal_id FROM {Names.of(entity).crosswalk}"
        if entity.has_children
        else f"SELECT {entity.key} AS source_key, {entity.id_column} AS internal_id "
        f"FROM {entity.name}"
    )
    rows = await database.fetch_all(
        f"{sql} WHERE source_system = %(source_system)s", {"source_system": source_system}
    )
    return {told["source_key"]: told["internal_id"] for told in rows}
