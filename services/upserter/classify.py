"""Before a file is written: what is to be done with each of its rows; what departs is planned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, Final

from services.upserter.attempt import Action, Attempt, Counts, Planned
from services.upserter.checks import record_rejects
from services.upserter.collisions import Contested, yielding
from services.upserter.gate import Gate, NewerLoad
from services.upserter.hands import Hands
from services.upserter.pieces import Piece, pieces_of
from services.upserter.plan import EntityPlan
from shared.errors import TransientFault
from shared.identity import hashed_id
from shared.mysql.connect import Database
from shared.mysql.side_by_side import all_of

ROWS_A_DELETE: Final = 50_000
SAMPLED_ROWS: Final = 200


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of a file's staged rows before they are looked at one by one.

    Attributes:
        staged: the rows that staging holds.
        hashes: the ids that they come to; fewer where keys repeat or collide within a piece.
    """

    staged: int
    hashes: int


async def forget_earlier(database: Database, plans: Sequence[EntityPlan], attempt: Attempt) -> None:
    """Forget what earlier attempts have planned, but for the one that was applied.

    Args:
        database: a connection in autocommit.
        plans: the statements of each entity.
        attempt: whose rows, and under which fence.
    """
    for plan in plans:
        while await database.execute(plan.sql["forget_earlier"], attempt.keys(most=ROWS_A_DELETE)):
            pass
        await database.execute(plan.sql["forget_rejects"], attempt.keys())


async def classify(
    hands: Hands, plan: EntityPlan, attempt: Attempt, *, gate: Gate, earlier: Mapping[str, Planned]
) -> Planned:
    """See that a file is staged whole, and find what is to be done with every row of it.

    What most of its rows need is expected, and only the others are planned. Every row is planned
    where ids may be others than the keys' hashes, where rows share one, and in a late load.

    Args:
        hands: the connections that do it.
        plan: the statements of the entity.
        attempt: whose rows, and under which fence.
        gate: what is true while it is held.
        earlier: by entity, what is to be done with the files before this one.

    Raises:
        TransientFault: staging does not hold what the file did.
        pymysql.err.IntegrityError: another source_system took an id at the same moment.
    """
    surveyed = await _survey(hands, plan, attempt)
    ids_may_differ = gate.ids_may_differ or any(one.ids_may_differ for one in earlier.values())
    shares_ids = ids_may_differ or surveyed.hashes < surveyed.staged
    plans_all = shares_ids or bool(gate.newer)
    expected = None if plans_all else await hands.help(partial(_expected_action, plan, attempt))
    refused = {name: one.counts.rejected for name, one in earlier.items()}
    refused_parents = refused.get(plan.entity.parent or "", 0)
    values = attempt.keys(expected=expected, refused_parents=refused_parents)
    await _classify(hands, plan, surveyed, values)

    async def settle(database: Database) -> Planned:
        if shares_ids:
            await database.execute(plan.sql["refuse_copies"], attempt.keys())
        planned = await _count(database, plan, attempt, surveyed, expected)
        if planned.counts.rejected:
            await record_rejects(database, plan, attempt)
        differ = ids_may_differ
        if shares_ids:
            differ |= await _settle_collisions(database, plan, attempt)
        if differ:
            await database.execute(plan.sql["yield_to_survivor"], attempt.keys())
        await _yield_to_newer(database, plan, attempt, gate.newer)
        if plans_all:
            planned = await _count(database, plan, attempt, surveyed, expected)
        return replace(planned, ids_may_differ=differ)

    return await hands.help(settle)


async def _survey(hands: Hands, plan: EntityPlan, attempt: Attempt) -> Survey:
    async def pinned_rows(database: Database) -> int | None:
        rows: int | None = await database.fetch_value(plan.sql["pinned_rows"], attempt.keys())
        return rows

    async def survey_piece(piece: Piece, database: Database) -> Survey:
        row = await database.fetch_one(plan.sql["survey"], attempt.keys(**piece))
        assert row is not None, "an aggregate has its row"
        return Survey(**row)

    pinned = await hands.help(pinned_rows)
    pieces = pieces_of(pinned or 0)
    found = await all_of(hands.help(partial(survey_piece, piece)) for piece in pieces)
    staged = sum(one.staged for one in found)
    if staged != pinned:
        raise TransientFault(
            f"staging holds {staged} of the {pinned} rows of "
            f"{plan.entity.file_name}; replay the load from the stager"
        )
    return Survey(staged, sum(one.hashes for one in found))


async def _expected_action(plan: EntityPlan, attempt: Attempt, database: Database) -> Action:
    row = await database.fetch_one(plan.sql["sample"], attempt.keys(most=SAMPLED_ROWS))
    assert row is not None, "an aggregate has its row"
    return "insert" if 2 * row["new_rows"] > row["sampled"] else "unchanged"


async def _classify(
    hands: Hands, plan: EntityPlan, surveyed: Survey, values: dict[str, Any]
) -> None:
    statement = plan.sql["classify_all" if values["expected"] is None else "classify"]

    async def classify_piece(piece: Piece, database: Database) -> None:
        await database.execute(statement, values | piece)

    pieces = pieces_of(surveyed.staged)
    await all_of(hands.help(partial(classify_piece, piece)) for piece in pieces)


async def _yield_to_newer(
    database: Database, plan: EntityPlan, attempt: Attempt, newer: Sequence[NewerLoad]
) -> None:
    for load in newer:
        values = attempt.keys(newer_load=load.load_id, newer_run=load.run, newer_fence=load.fence)
        await database.execute(plan.sql["yield_to_newer_load"], values)
        await database.execute(plan.sql["yield_to_newer_ids"], values)


async def _count(
    database: Database,
    plan: EntityPlan,
    attempt: Attempt,
    surveyed: Survey,
    expected: Action | None,
) -> Planned:
    rows = await database.fetch_all(plan.sql["count_actions"], attempt.keys())
    by_action: dict[str, int] = {row["action"]: row["row_count"] for row in rows}
    departing = sum(by_action.values())
    if expected is not None:
        by_action[expected] = surveyed.staged - departing
    counts = Counts(
        staged=surveyed.staged,
        inserted=by_action.get("insert", 0),
        updated=by_action.get("update", 0),
        unchanged=by_action.get("unchanged", 0),
        stale=by_action.get("stale", 0),
        rejected=by_action.get("reject", 0),
    )
    return Planned(expected, departing, counts)


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
