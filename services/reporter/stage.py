"""The reporter: what became of a load, verified once more, stored, and told."""

import json
from datetime import UTC
from typing import Any

import structlog

from services.reporter.reconcile import EntityCounts, Report, ReportedFile
from shared import notice_rows
from shared.contracts.model import Entity, contracts
from shared.contracts.tables import Names
from shared.errors import Failure
from shared.ledger.lease import Claim
from shared.ledger.states import State
from shared.manifest import Manifest, reread_manifest
from shared.mysql.connect import Database, Row
from shared.mysql.queries import load_queries
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
        made = await make_report(claim, database)
        passed("reporter", "report_made", load_id=made.load_id)
        async with parts.ledger.milestone(claim, database):
            await _store(database, made)
            await notice_rows.add(
                database,
                parts.settings.notice_channels,
                subject=made.load_id,
                run=made.run,
                outcome=made.outcome,
                bucket=claim.load.bucket,
                body=made.to_json(),
            )
    for entity, counts in made.entities.items():
        for outcome, rows in counts.outcomes.items():
            count_rows(entity, outcome, rows)
    if made.outcome == "mismatch":
        log.error("load.does_not_reconcile", load_id=made.load_id, run=made.run)


async def make_report(claim: Claim, database: Database) -> Report:
    """Read what is known of a run and put it together."""
    row = await database.fetch_one(SQL["read_ledger"], {"load_id": claim.load.load_id})
    assert row is not None, "a claimed load has its row"
    failed = row["failed_run"] == row["run"]
    contract = contracts().get(row["schema_version"] or "")
    entities = contract.entities if contract else ()
    manifest = reread_manifest(row["manifest"], row["load_id"]) if contract else None
    counts = await _counts(database, row, row["run"] if failed else row["applied_run"])
    return Report(
        load_id=row["load_id"],
        source_system=row["source_system"],
        run=row["run"],
        state=row["state"] if failed else State.REPORTED,
        schema_version=row["schema_version"],
        manifest_sha256=row["manifest_sha256"],
        started_at=row["started_at"].replace(tzinfo=UTC),
        finished_at=row["finished_at"].replace(tzinfo=UTC),
        entities={
            entity.name: EntityCounts(
                manifest=manifest.file(entity.file_name).rows if manifest else None,
                production=None if failed else await _standing(database, row, entity),
                **counts.get(entity.name, {}),
            )
            for entity in entities
        },
        failure=_failure(row) if failed else None,
        files=await _files(database, row, manifest),
        warnings=json.loads(row["warnings"] or "[]"),
    )


async def _counts(database: Database, row: Row, run: int | None) -> dict[str, dict[str, Any]]:
    keys = {"load_id": row["load_id"], "run": run}
    rows = await database.fetch_all(SQL["read_counts"], keys)
    return {counts.pop("entity"): counts for counts in rows}


async def _standing(database: Database, row: Row, entity: Entity) -> int:
    names = Names.of(entity)
    statement = SQL["count_standing"].format(
        delivered=names.delivered, production=names.production, id_column=entity.id_column
    )
    keys = {"load_id": row["load_id"], "fence": row["applied_fence"]}
    return int(await database.fetch_value(statement, keys))


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
    return Failure.of(
        row["failure_code"],
        row["failure_message"],
        file=row["failure_file"],
        row=row["failure_row"],
        column=row["failure_column"],
    )


async def _store(database: Database, made: Report) -> None:
    text = json.dumps(made.to_json(), ensure_ascii=False)
    keys = {"load_id": made.load_id, "run": made.run}
    await database.execute(SQL["store"], {**keys, "report": text})


STAGE = Stage("reporter", report)
