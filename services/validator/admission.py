"""The way in: a manifest that arrived becomes a run of a load, history, or a refusal.

Everything about one arrival is decided in one transaction that holds its row and its load's row.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import pymysql
import structlog

from services.validator.reading import Reading, read_manifest
from shared import notice_rows, outbox
from shared.errors import Failure, ObjectGone, TransientFault
from shared.events import Event, Topic
from shared.gcs_notification import Arrival
from shared.ledger.arrivals import ArrivalDecision, ArrivalVerdict, decide_arrival
from shared.ledger.mysql import lock_load, note
from shared.ledger.states import Load, State
from shared.manifest import MANIFEST_NAME, is_load_id
from shared.mysql.connect import BRIEF_SILENCE_SECONDS, DUPLICATE_ENTRY, Database, connect
from shared.mysql.queries import load_queries
from shared.notices import SECURITY_CODES
from shared.stage import Parts
from shared.steps import passed

SQL = load_queries("services.validator", "admission.sql")
MOST_GENERATIONS = 10
MOST_RACES = 5

log = structlog.get_logger()


async def admit(arrival: Arrival, parts: Parts) -> Event | None:
    """Record an arrival, follow it to its newest generation, and decide what it does to its load.

    Returns the message that the validator takes up next, or None where nothing is to be done.

    Raises:
        TransientFault: the bucket or the database did not answer.
    """
    for _ in range(MOST_GENERATIONS):
        verdict, now = await _notice(arrival, parts)
        passed("validator", "manifest_noticed", load_id=arrival.load_id)
        if verdict not in {ArrivalVerdict.NOTICED, ArrivalVerdict.PENDING}:
            return await _resume(arrival, parts)
        newest = await parts.storage.stat(arrival.object_name)
        if newest is not None and newest.generation != arrival.generation:
            await _supersede(arrival, parts)
            arrival = replace(arrival, generation=newest.generation)
            continue
        try:
            reading = await read_manifest(arrival, newest, parts, now)
        except ObjectGone:
            continue
        event = await _decide(reading, parts)
        passed("validator", "admitted", load_id=arrival.load_id)
        return event
    raise TransientFault(f"{arrival.object_name} is being replaced faster than it can be read")


async def look_again(arrival: Arrival, parts: Parts) -> None:
    """Let a manifest that failed its load be judged anew: the partner's configuration may differ.

    Raises:
        TransientFault: the database did not answer.
    """
    async with connect(parts.ledger.url) as database:
        await database.execute(SQL["look_again"], _keys(arrival))


async def _decide(reading: Reading, parts: Parts) -> Event | None:
    arrival = reading.arrival
    if not (is_load_id(arrival.load_id) and parts.partners.is_folder(arrival.partner)):
        decision = ArrivalDecision(ArrivalVerdict.REFUSED, reading.failure)
        async with _transaction(parts) as database:
            await _record(database, reading, decision, parts, run=None)
        return None
    for _ in range(MOST_RACES):
        try:
            async with _transaction(parts) as database:
                return await _decide_in_transaction(database, reading, parts)
        except pymysql.err.IntegrityError as error:
            if error.args[0] != DUPLICATE_ENTRY:
                raise
    raise TransientFault(f"{arrival.load_id}: other arrivals of the same load keep coming")


async def _decide_in_transaction(
    database: Database, reading: Reading, parts: Parts
) -> Event | None:
    arrival = reading.arrival
    before = await database.fetch_one(SQL["lock_arrival"], _keys(arrival))
    if before is not None and before["verdict"] not in {"noticed", "pending"}:
        return None
    load = await lock_load(database, arrival.load_id)
    reading = await _with_order_checked(database, reading)
    decision = decide_arrival(reading.facts, load)
    if decision.verdict is not ArrivalVerdict.TAKEN:
        await _record(database, reading, decision, parts, run=None if load is None else load.run)
        return None
    run = await _begin_run(database, reading, load)
    await _record(database, reading, decision, parts, run=run)
    return Event(load_id=arrival.load_id, event_id=f"{arrival.generation}", run=run)


async def _begin_run(database: Database, reading: Reading, load: Load | None) -> int:
    failure, manifest, arrival = reading.failure, reading.manifest, reading.arrival
    none = dict.fromkeys(("code", "message", "file", "row", "column"))
    values = {
        **_keys(arrival),
        "source_system": reading.source_system,
        "partner": arrival.partner,
        "prefix": arrival.prefix,
        "state": State.FAILED if failure else State.RECEIVED,
        "reached": None if failure else State.RECEIVED,
        "owned": failure is None,
        "manifest": reading.data,
        "manifest_sha256": reading.manifest_sha256,
        "schema_version": manifest.schema_version if manifest else None,
        "created_at": manifest.created_at.replace(tzinfo=None) if manifest else None,
        "version": manifest.version if manifest else None,
        **(asdict(failure) if failure else none),
    }
    await database.execute(SQL["new_load" if load is None else "new_run"], values)
    begun = await lock_load(database, arrival.load_id)
    assert begun is not None, "its row was written just now"
    detail = f"{failure.code}: {failure.message}" if failure else None
    await note(
        database,
        begun.load_id,
        "failed" if failure else "received",
        run=begun.run,
        detail=detail,
    )
    topic = Topic.FAILED if failure else Topic.ARRIVED
    await outbox.add(database, begun, topic, begun.run, is_published=failure is None)
    return begun.run


async def _record(
    database: Database,
    reading: Reading,
    decision: ArrivalDecision,
    parts: Parts,
    *,
    run: int | None,
) -> None:
    arrival, failure = reading.arrival, decision.failure
    values = {
        **_keys(arrival),
        "verdict": decision.verdict,
        "run": run,
        "manifest_sha256": reading.manifest_sha256,
        "failure_code": failure.code if failure else None,
        "failure_message": failure.message if failure else None,
    }
    await database.execute(SQL["decide"], values)
    if decision.verdict is not ArrivalVerdict.TAKEN:
        generation = f"{arrival.object_name} at generation {arrival.generation}"
        detail = f"{failure.code}: {generation}" if failure else generation
        await note(database, arrival.load_id, f"arrival_{decision.verdict}", detail=detail)
    if failure is not None:
        await notice_rows.add_refusal(database, parts.settings.notice_channels, arrival, failure)
        write = log.warning if failure.code in SECURITY_CODES else log.info
        write("arrival.refused", load_id=arrival.load_id, code=failure.code)


async def _with_order_checked(database: Database, reading: Reading) -> Reading:
    if reading.manifest is None:
        return reading
    other = await database.fetch_value(
        SQL["same_version"],
        {
            "source_system": reading.source_system,
            "version": reading.manifest.version,
            "load_id": reading.arrival.load_id,
        },
    )
    if other is None:
        return reading
    message = (
        f"load {other} of {reading.source_system} has the same created_at, "
        f"{reading.manifest.created_at.isoformat()}"
    )
    failure = Failure.of("manifest.order_conflict", message, file=MANIFEST_NAME)
    return replace(reading, manifest=None, failure=failure)


async def _notice(arrival: Arrival, parts: Parts) -> tuple[ArrivalVerdict, datetime]:
    """What is known of the arrival by now, and the time: the database's, which no service sets."""
    load_id = arrival.load_id if is_load_id(arrival.load_id) else None
    async with _transaction(parts) as database:
        await database.execute(SQL["notice"], {**_keys(arrival), "load_id": load_id})
        row = await database.fetch_one(SQL["lock_arrival"], _keys(arrival))
    assert row is not None
    return ArrivalVerdict(row["verdict"]), row["now"].replace(tzinfo=UTC)


async def _supersede(arrival: Arrival, parts: Parts) -> None:
    values = {
        **_keys(arrival),
        **dict.fromkeys(("run", "manifest_sha256", "failure_code", "failure_message")),
        "verdict": ArrivalVerdict.SUPERSEDED,
    }
    async with _transaction(parts) as database:
        await database.execute(SQL["decide"], values)
        detail = f"{arrival.object_name} at generation {arrival.generation}"
        await note(database, arrival.load_id, "arrival_superseded", detail=detail)


async def _resume(arrival: Arrival, parts: Parts) -> Event | None:
    """A notification that comes again: its run goes on where it stopped, if it did."""
    load = await parts.ledger.read(arrival.load_id) if is_load_id(arrival.load_id) else None
    if load is None or load.generation != arrival.generation:
        return None
    return Event(load_id=load.load_id, event_id=f"{arrival.generation}", run=load.run)


@asynccontextmanager
async def _transaction(parts: Parts) -> AsyncIterator[Database]:
    async with (
        connect(parts.ledger.url, silence_seconds=BRIEF_SILENCE_SECONDS) as database,
        database.transaction(),
    ):
        yield database


def _keys(arrival: Arrival) -> dict[str, Any]:
    return {
        "bucket": arrival.bucket,
        "object": arrival.object_name,
        "generation": arrival.generation,
        "load_id": arrival.load_id,
    }
