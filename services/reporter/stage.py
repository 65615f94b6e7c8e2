"""The reporter: what became of a load, verified once more, stored, and told."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from functools import partial
from typing import Any

import structlog

from services.reporter.partner_view import REJECTS_NAME, ack_folder
from services.reporter.reconcile import EntityCounts, RejectedRows, Report, ReportedFile
from shared import notice_rows, outbox
from shared.contracts.model import Entity, contracts
from shared.contracts.tables import Names
from shared.errors import Failure
from shared.events import Topic
from shared.ledger.lease import Claim
from shared.ledger.states import Load, State
from shared.manifest import Manifest, reread_manifest
from shared.mysql.connect import Database, Row
from shared.mysql.queries import load_queries
from shared.mysql.quoting import quoted
from shared.mysql.side_by_side import side_by_side
from shared.notices import failure_as_told
from shared.stage import Parts, Stage
from shared.steps import passed
from shared.telemetry.metrics import count_rows

SQL = load_queries("services.reporter", "report.sql")
log = structlog.get_logger()


async def report(claim: Claim, parts: Parts) -> None:
    """Reconcile what a run did, store its report, and write the notices that tell of it.

    Raises:
        LeaseLost: another worker took over.
        TransientFault: the database did not answer.
    """
    async with parts.ledger.connect(claim) as database:
        async with parts.ledger.connect(claim) as second:
            made = await _make_reports(claim, (database, second), parts)
        passed("reporter", "report_made", load_id=claim.load.load_id)
        async with parts.ledger.milestone(claim, database):
            for one in made:
                await _store(database, one)
                await _add_notices(database, one, claim.load, parts)
                if one.run < claim.run:
                    await outbox.add(database, claim.load, Topic.REPORTED, one.run)
    for one in made:
        _count_rows(one)
        if one.outcome == "mismatch":
            log.error("load.does_not_reconcile", load_id=one.load_id, run=one.run)


async def _make_reports(claim: Claim, databases: Sequence[Database], parts: Parts) -> list[Report]:
    """The report of the run; before it that of the run that was applied, if nobody told of it.

    A replay may begin after an upsert and before its report, and fail: then both are to be told.
    """
    load = claim.load
    row = await databases[0].fetch_one(SQL["read_ledger"], {"load_id": load.load_id})
    assert row is not None, "a claimed load has its row"
    file = ack_folder(load.partner, load.load_id) + REJECTS_NAME
    listed_in = None if parts.storage.read_only else file
    applied_run = row["applied_run"]
    if row["failed_run"] != row["run"] or applied_run is None:
        return [await _make_report(row, databases, listed_in)]
    replay = await _make_report(row, databases, None)
    if (row["reported_run"] or 0) >= applied_run:
        return [replay]
    begun = {"run": applied_run, "started_at": row["applied_started_at"]}
    untold = {**row, **begun, "validated_run": applied_run, "warnings": None}
    return [await _make_report(untold, databases, listed_in), replay]


async def _make_report(row: Row, databases: Sequence[Database], rejects_file: str | None) -> Report:
    database = databases[0]
    failed = row["failed_run"] == row["run"]
    contract = contracts().get(row["schema_version"] or "")
    manifest = reread_manifest(row["manifest"], row["load_id"]) if contract else None
    run = row["run"] if failed else row["applied_run"]
    counts = await _counts(database, row, run)
    entities = contract.entities if contract else ()
    standing = {} if failed else await _standing(databases, row, entities)
    return Report(
        load_id=row["load_id"],
        source_system=row["source_system"],
        run=row["run"],
        applied_run=row["applied_run"],
        state=State.FAILED if failed and row["applied_run"] is None else State.REPORTED,
        schema_version=row["schema_version"],
        manifest_sha256=row["manifest_sha256"],
        started_at=row["started_at"].replace(tzinfo=UTC),
        finished_at=row["finished_at"].replace(tzinfo=UTC),
        entities={
            entity.name: EntityCounts(
                manifest=manifest.file(entity.file_name).rows if manifest else None,
                production=standing.get(entity.name),
                **counts.get(entity.name, {}),
            )
            for entity in entities
        },
        rejected_rows=await _rejected_rows(database, row["load_id"], run, counts, rejects_file),
        failure=_failure(row) if failed else None,
        files=await _files(database, row, manifest),
        warnings=json.loads(row["warnings"] or "[]"),
    )


async def _counts(database: Database, row: Row, run: int | None) -> dict[str, dict[str, Any]]:
    keys = {"load_id": row["load_id"], "run": run}
    rows = await database.fetch_all(SQL["read_counts"], keys)
    return {counts.pop("entity"): counts for counts in rows}


async def _rejected_rows(
    database: Database,
    load_id: str,
    run: int,
    counts: Mapping[str, Mapping[str, Any]],
    file: str | None,
) -> RejectedRows:
    if not any(one["rejected"] for one in counts.values()):
        return RejectedRows()
    rows = await database.fetch_all(SQL["count_rejects"], {"load_id": load_id, "run": run})
    return RejectedRows({row["code"]: row["kept"] for row in rows}, file)


async def _standing(
    databases: Sequence[Database], row: Row, entities: Sequence[Entity]
) -> dict[str, int]:
    """How many accepted keys of each entity stand in production now."""
    keys = {
        "load_id": row["load_id"],
        "staged_run": row["applied_staged_run"],
        "fence": row["applied_fence"],
    }

    async def count(entity: Entity, database: Database) -> int:
        names = Names.of(entity)
        statement = SQL["count_standing"].format(
            staging=quoted(names.staging),
            plan=quoted(names.plan),
            production=quoted(names.production),
            id_column=quoted(entity.id_column),
        )
        return int(await database.fetch_value(statement, keys))

    largest_first = entities[::-1]  # children outnumber their parents
    counted = await side_by_side(databases, [partial(count, entity) for entity in largest_first])
    return {entity.name: rows for entity, rows in zip(largest_first, counted, strict=True)}


async def _files(database: Database, row: Row, manifest: Manifest | None) -> list[ReportedFile]:
    keys = {"load_id": row["load_id"], "run": row["validated_run"]}
    pinned = {one["name"]: one for one in await database.fetch_all(SQL["read_files"], keys)}
    return [
        ReportedFile(
            name=file.name,
            rows=file.rows,
            sha256=file.sha256,
            bytes=pinned[file.name]["size_bytes"] if file.name in pinned else None,
            generation=pinned[file.name]["generation"] if file.name in pinned else None,
        )
        for file in (manifest.files if manifest else ())
    ]


def _failure(row: Row) -> Failure:
    failure = Failure.of(
        row["failure_code"],
        row["failure_message"],
        file=row["failure_file"],
        row=row["failure_row"],
        column=row["failure_column"],
    )
    return failure_as_told(failure, row["applied_run"])


async def _store(database: Database, made: Report) -> None:
    text = json.dumps(made.to_json(), ensure_ascii=False)
    keys = {"load_id": made.load_id, "run": made.run}
    await database.execute(SQL["store"], {**keys, "report": text})


def _count_rows(made: Report) -> None:
    """Count what a run did; one that only told of an earlier one again has done nothing."""
    if made.failure is None and made.run != made.applied_run:
        return
    for entity, counts in made.entities.items():
        for outcome, rows in counts.outcomes.items():
            count_rows(entity, outcome, rows)


async def _add_notices(database: Database, made: Report, load: Load, parts: Parts) -> None:
    await notice_rows.add(
        database,
        parts.settings.notice_channels,
        subject=made.load_id,
        run=made.run,
        outcome=made.outcome,
        bucket=load.bucket,
        body={**made.to_json(), "partner": load.partner, "folder": load.prefix},
    )


STAGE = Stage("reporter", report)
