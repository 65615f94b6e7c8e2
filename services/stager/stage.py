"""The stager: the validated bytes into staging, file by file, each verified before its commit."""

from functools import partial
from typing import Any

from services.stager.stream import CanonicalStream, PinnedFile
from shared.contracts.model import Entity, contract_of
from shared.contracts.tables import Names, staging_head
from shared.errors import Failure, ObjectGone, Rejected, TransientFault
from shared.ledger.lease import Claim
from shared.mysql.connect import Database
from shared.mysql.queries import load_queries
from shared.mysql.quoting import quoted
from shared.mysql.side_by_side import side_by_side
from shared.stage import Parts, Stage
from shared.steps import passed
from shared.telemetry import tracing

SQL = load_queries("services.stager", "load.sql")
ROWS_A_DELETE = 50_000


async def stage_load(claim: Claim, parts: Parts) -> None:
    """Bring every file of a validated load into staging under this run.

    Raises:
        Rejected: a file is not any more what was validated.
        LeaseLost: another worker took over.
        TransientFault: the bucket or the database did not answer.
    """
    contract = contract_of(claim.load.schema_version)
    async with (
        parts.ledger.connect(claim, local_infile=True) as first,
        parts.ledger.connect(claim, local_infile=True) as second,
    ):
        files = await _pinned_files(claim, first)
        largest_first = sorted(
            contract.entities, key=lambda entity: files[entity.name].size_bytes, reverse=True
        )
        await side_by_side(
            (first, second),
            [
                partial(_stage_file, claim, parts, entity, files[entity.name])
                for entity in largest_first
            ],
        )
    tracing.steps_go_on()
    # One of the two may have been silent for too long while the other one still loaded.
    async with parts.ledger.connect(claim) as database, parts.ledger.milestone(claim, database):
        for entity in contract.entities:
            staged = {"entity": entity.name, "staged": files[entity.name].row_count}
            await database.execute(SQL["add_count"], {**_keys(claim), **staged})


async def _stage_file(
    claim: Claim, parts: Parts, entity: Entity, file: PinnedFile, database: Database
) -> None:
    await _clear(claim, database, entity)
    passed("stager", "run_cleared", file=entity.file_name)
    stream = CanonicalStream(entity, file, claim.load.source_system)
    chunks = parts.storage.read(claim.load.prefix + file.name, file.generation)
    statement = _render("load_file", entity)
    try:
        async with database.transaction():
            loaded = await database.connection.load_stream(
                statement, _keys(claim), stream.lines(chunks)
            )
            passed("stager", "file_sent", file=file.name)
            stream.verify()
            warnings = await database.fetch_value("SELECT @@warning_count")
            if (loaded.records, loaded.affected) != (stream.rows, stream.rows) or any(
                (loaded.skipped, loaded.warnings, warnings)
            ):
                raise TransientFault(f"{file.name}: {stream.rows} rows were sent, but {loaded}")
            await parts.ledger.hold_fence(claim, database)
    except ObjectGone as gone:
        raise Rejected(
            Failure.of(
                "file.changed",
                f"{file.name} was validated at generation {gone.generation}, "
                "which is not in the bucket any more",
                file=file.name,
            )
        ) from gone
    passed("stager", "file_staged", file=file.name)


async def _pinned_files(claim: Claim, database: Database) -> dict[str, PinnedFile]:
    keys = {"load_id": claim.load.load_id, "run": claim.load.validated_run}
    rows = await database.fetch_all(SQL["read_files"], keys)
    return {row["entity"]: PinnedFile(**row) for row in rows}


async def _clear(claim: Claim, database: Database, entity: Entity) -> None:
    statement = _render("clear_run", entity)
    while await database.execute(statement, {**_keys(claim), "most": ROWS_A_DELETE}):
        pass


def _render(name: str, entity: Entity) -> str:
    columns = ", ".join(map(quoted, (*staging_head(entity), *entity.header)))
    return SQL[name].format(staging=quoted(Names.of(entity).staging), columns=columns)


def _keys(claim: Claim) -> dict[str, Any]:
    return {"load_id": claim.load.load_id, "run": claim.run}


STAGE = Stage("stager", stage_load)
