"""Before the transaction: what is to be done with every staged row; what departs is planned."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Final

from services.upserter import gate
from services.upserter.attempt import Action, Attempt, Counts, Prepared
from services.upserter.checks import record_rejects
from services.upserter.collisions import Contested, yielding
from services.upserter.plan import EntityPlan
from shared.errors import TransientFault
from shared.identity import ID_BITS, hashed_id
from shared.mysql.connect import Database
from shared.mysql.side_by_side import side_by_side

ROWS_A_DELETE: Final = 50_000
ROWS_A_CLASSIFY: Final = 25_000
SAMPLED_ROWS: Final = 200


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of a file's staged rows before they are looked at one by one.

    Attributes:
        staged: the rows that staging holds.
        hashes: the ids that they come to; fewer where keys repeat or collide.
        pinned: the rows of the validated file.
    """

    staged: int
    hashes: int
    pinned: int | None


async def prepare(
    databases: Sequence[Database],
    plans: Sequence[EntityPlan],
    attempt: Attempt,
    seeks_collisions: bool = False,
) -> Prepared:
    """Classify every row of the load, parents first; nothing of production is touched.

    What most rows of a file need is expected, and only the others are planned. Every row is planned
    where ids may be others than the keys' hashes, where rows share one, and in a late load.

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
    state = await gate.read_state(database, attempt)
    newer = await gate.newer_applied(database, attempt)
    await _forget_earlier(database, plans, attempt)
    surveys = await side_by_side(databases, [partial(_survey, plan, attempt) for plan in plans])
    ids_may_differ = state.has_other_ids or seeks_collisions
    expected: dict[str, Action | None] = {}
    counts: dict[str, Counts] = {}
    for plan, survey in zip(plans, surveys, strict=True):
        shares_ids = ids_may_differ or survey.hashes < survey.staged
        plans_all = shares_ids or bool(newer)
        expects = None if plans_all else await _expect(database, plan, attempt)
        parent = counts.get(plan.entity.parent or "")
        refused_parents = 0 if parent is None else parent.rejected
        values = attempt.keys(expected=expects, refused_parents=refused_parents)
        await _classify(databases, plan, survey, values)
        if shares_ids:
            await database.execute(plan.sql["refuse_copies"], attempt.keys())
        counted = await _count(database, plan, attempt, survey, expects)
        if counted.rejected:
            await record_rejects(database, plan, attempt)
        if shares_ids:
            ids_may_differ |= await _settle_collisions(database, plan, attempt)
        if ids_may_differ:
            await database.execute(plan.sql["yield_to_survivor"], attempt.keys())
        await _yield_to_newer(database, plan, attempt, newer)
        if plans_all:
            counted = await _count(database, plan, attempt, survey, expects)
        expected[plan.entity.name], counts[plan.entity.name] = expects, counted
    return Prepared(state.epoch, tuple(load.load_id for load in newer), expected, counts)


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


async def _expect(database: Database, plan: EntityPlan, attempt: Attempt) -> Action:
    row = await database.fetch_one(plan.sql["sample"], attempt.keys(most=SAMPLED_ROWS))
    assert row is not None, "an aggregate has its row"
    return "insert" if 2 * row["new_rows"] > row["sampled"] else "unchanged"


async def _classify(
    databases: Sequence[Database], plan: EntityPlan, survey: Survey, values: dict[str, Any]
) -> None:
    statement = plan.sql["classify_all" if values["expected"] is None else "classify"]

    async def classify(hashes: tuple[int, int], database: Database) -> None:
        first, last = hashes
        await database.execute(statement, {**values, "first_hash": first, "last_hash": last})

    pieces = -(-survey.staged // ROWS_A_CLASSIFY)
    await side_by_side(databases, [partial(classify, hashes) for hashes in ranges(pieces)])


def ranges(pieces: int) -> list[tuple[int, int]]:
    """All hashes in so many ranges of one size, the first and the last of each; rows lie evenly."""
    starts = [piece * 2**ID_BITS // pieces for piece in range(pieces)]
    ends = [*starts[1:], 2**ID_BITS]
    return [(start, end - 1) for start, end in zip(starts, ends, strict=False)]


async def _yield_to_newer(
    database: Database, plan: EntityPlan, attempt: Attempt, newer: Sequence[gate.NewerLoad]
) -> None:
    for load in newer:
        values = attempt.keys(newer_load=load.load_id, newer_run=load.run, newer_fence=load.fence)
        await database.execute(plan.sql["yield_to_newer_load"], values)
        await database.execute(plan.sql["yield_to_newer_ids"], values)


async def _count(
    database: Database,
    plan: EntityPlan,
    attempt: Attempt,
    survey: Survey,
    expects: Action | None,
) -> Counts:
    rows = await database.fetch_all(plan.sql["count_actions"], attempt.keys())
    by_action: dict[str, int] = {row["action"]: row["row_count"] for row in rows}
    if expects is not None:
        planned = sum(by_action.values())
        by_action[expects] = survey.staged - planned
    return Counts(
        staged=survey.staged,
        inserted=by_action.get("insert", 0),
        updated=by_action.get("update", 0),
        unchanged=by_action.get("unchanged", 0),
        stale=by_action.get("stale", 0),
        rejected=by_action.get("reject", 0),
    )


async def _settle_collisions(database: Database, plan: EntityPlan, attempt: Attempt) -> bool:
    """Give keys whose ids others have, ids of their own; whether there were any."""
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
    return bool(contested)


async def _free_id(database: Database, plan: EntityPlan, attempt: Attempt, key: str) -> int:
    for number in count(1):
        candidate = hashed_id(
            plan.entity.name, attempt.source_system, key, attempt=number, bits=plan.id_bits
        )
        values = attempt.keys(internal_id=candidate)
        if not await database.fetch_value(plan.sql["is_id_taken"], values):
            return candidate
    raise AssertionError("count() does not end")
