"""Before the transaction: what is to be done with every staged row, kept in work rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final

from services.upserter import gate
from services.upserter.attempt import Attempt, Counts, Prepared
from services.upserter.checks import record_rejects
from services.upserter.identity import Contested, hashed_id, yielding
from services.upserter.plan import EntityPlan
from shared.errors import TransientFault
from shared.mysql.connect import Database
from shared.mysql.side_by_side import side_by_side

ROWS_A_DELETE: Final = 50_000
ROWS_A_CLASSIFY: Final = 25_000


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of a file's staged rows before they are looked at one by one."""

    staged: int
    last_row: int | None
    pinned: int | None


async def prepare(
    databases: Sequence[Database],
    plans: Sequence[EntityPlan],
    attempt: Attempt,
    seeks_collisions: bool = False,
) -> Prepared:
    """Classify every row of the load, parents first; nothing of production is touched.

    Rejected rows stay among the work rows until all files are done: by them a child whose parent
    was rejected is told from an orphan.

    Args:
        databases: connections in autocommit, which share the work.
        plans: the statements of each entity.
        attempt: whose rows, and under which fence.
        seeks_collisions: look for new keys whose ids production holds for other keys. Writing such
            a row fails for its primary key, so only an attempt after that failure has to look.

    Raises:
        pymysql.err.IntegrityError: another source_system took an id at the same moment.
        TransientFault: staging does not hold what the files did.
    """
    database = databases[0]
    epoch = await gate.read_epoch(database, attempt)
    newer = await gate.newer_applied(database, attempt)
    await _forget_earlier(database, plans, attempt)
    counts: dict[str, Counts] = {}
    surveys = await side_by_side(databases, [partial(_survey, plan, attempt) for plan in plans])
    for plan, survey in zip(plans, surveys, strict=True):
        first_rows = range(1, (survey.last_row or 0) + 1, ROWS_A_CLASSIFY)
        await side_by_side(
            databases, [partial(_classify, plan, attempt, first_row) for first_row in first_rows]
        )
        counts[plan.entity.name] = await _settle(
            database, plan, attempt, newer, survey.staged, seeks_collisions=seeks_collisions
        )
    for plan in plans:
        if counts[plan.entity.name].rejected:
            await database.execute(plan.sql["drop_refused"], attempt.keys())
    return Prepared(epoch, tuple(newer), counts)


async def _forget_earlier(
    database: Database, plans: Sequence[EntityPlan], attempt: Attempt
) -> None:
    for plan in plans:
        while await database.execute(plan.sql["forget_earlier"], attempt.keys(most=ROWS_A_DELETE)):
            pass
        await database.execute(plan.sql["forget_rejects"], attempt.keys())


async def _survey(plan: EntityPlan, attempt: Attempt, database: Database) -> Survey:
    row = await database.fetch_one(plan.sql["survey"], attempt.keys())
    assert row is not None, "an aggregate has its row"
    survey = Survey(**row)
    if survey.staged != survey.pinned:
        raise TransientFault(
            f"staging holds {survey.staged} of the {survey.pinned} rows of "
            f"{plan.entity.file_name}; replay the load from the stager"
        )
    return survey


async def _classify(plan: EntityPlan, attempt: Attempt, first_row: int, database: Database) -> None:
    rows = {"first_row": first_row, "last_row": first_row + ROWS_A_CLASSIFY - 1}
    await database.execute(plan.sql["classify"], attempt.keys(**rows))


async def _settle(
    database: Database,
    plan: EntityPlan,
    attempt: Attempt,
    newer: Mapping[str, int],
    staged: int,
    *,
    seeks_collisions: bool,
) -> Counts:
    shares_ids = await database.fetch_value(plan.sql["has_shared_ids"], attempt.keys())
    if shares_ids:
        await database.execute(plan.sql["refuse_copies"], attempt.keys())
    counts = await _count(database, plan, attempt, staged)
    if counts.rejected:
        await record_rejects(database, plan, attempt)
    if shares_ids or seeks_collisions:
        await _settle_collisions(database, plan, attempt)
    if shares_ids:
        await database.execute(plan.sql["yield_to_survivor"], attempt.keys())
    for load_id, fence in newer.items():
        newer_load = attempt.keys(newer_load=load_id, newer_fence=fence)
        await database.execute(plan.sql["yield_to_newer_load"], newer_load)
    return await _count(database, plan, attempt, staged) if shares_ids or newer else counts


async def _count(database: Database, plan: EntityPlan, attempt: Attempt, staged: int) -> Counts:
    rows = await database.fetch_all(plan.sql["count_actions"], attempt.keys())
    by_action = {row["action"]: row["row_count"] for row in rows}
    return Counts(
        staged=staged,
        inserted=by_action.get("insert", 0),
        updated=by_action.get("update", 0),
        unchanged=by_action.get("unchanged", 0),
        stale=by_action.get("stale", 0),
        rejected=by_action.get(None, 0),
    )


async def _settle_collisions(database: Database, plan: EntityPlan, attempt: Attempt) -> None:
    rows = await database.fetch_all(plan.sql["contested_ids"], attempt.keys())
    contested = [
        Contested(row["row_no"], row["source_key"], row["internal_id"], bool(row["is_taken"]))
        for row in rows
    ]
    for loser in yielding(contested):
        values = attempt.keys(source_key=loser.source_key, contested_id=loser.internal_id)
        await database.execute(plan.sql["forget_collision"], values)
        internal_id = await database.fetch_value(plan.sql["registered_id"], values)
        if internal_id is None:
            internal_id = await _free_id(database, plan, attempt, loser.source_key)
            registered = values | {"internal_id": internal_id}
            await database.execute(plan.sql["register_collision"], registered)
        other = values | {"internal_id": internal_id, "row_no": loser.row_no}
        await database.execute(plan.sql["give_other_id"], other)


async def _free_id(database: Database, plan: EntityPlan, attempt: Attempt, key: str) -> int:
    for number in count(1):
        candidate = hashed_id(
            plan.entity.name, attempt.source_system, key, attempt=number, bits=plan.id_bits
        )
        values = attempt.keys(internal_id=candidate)
        if not await database.fetch_value(plan.sql["is_id_taken"], values):
            return candidate
    raise AssertionError("count() does not end")
