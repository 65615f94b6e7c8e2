"""What differs is written, in the transaction; before it commits, helpers see that all stands."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from services.upserter.attempt import Attempt, Counts, Planned
from services.upserter.gate import NewerLoad
from services.upserter.hands import Hands
from services.upserter.pieces import Piece, pieces_of
from services.upserter.plan import EntityPlan
from shared.errors import Failure, Rejected
from shared.mysql.connect import Database


async def write(
    database: Database,
    plan: EntityPlan,
    attempt: Attempt,
    planned: Planned,
    newer: Sequence[NewerLoad],
) -> AsyncIterator[Piece]:
    """Write the new and changed rows of a file; unchanged and stale ones are not touched.

    The planned rows go first. Then the others are gone through, and each piece of them is given out
    once it is as it is to stand.

    Raises:
        Rejected: `reconcile.mismatch`, other rows were written than were planned.
    """
    counts = planned.counts
    inserted = 0
    if counts.updated:
        updated = await database.execute(plan.sql["update_rows"], attempt.keys())
        _expect(plan, updated, counts.updated, "rows were updated")
    if counts.inserted and planned.expected != "insert":
        inserted = await _insert(database, plan, plan.sql, "", attempt.keys())
    if planned.expected is not None:
        sql = plan.sql if planned.departing else plan.sql_of_all
        for piece in pieces_of(counts.staged):
            if planned.expected == "insert":
                keys = attempt.keys(**piece)
                inserted += await _insert(database, plan, sql, "expected_", keys)
            yield piece
    _expect(plan, inserted, counts.inserted, "rows were inserted")
    if newer and plan.entity.has_children:
        newer_loads = tuple(load.load_id for load in newer)
        await database.execute(plan.sql["move_first_seen"], attempt.keys(newer_loads=newer_loads))


async def count_piece(
    hands: Hands, plan: EntityPlan, attempt: Attempt, planned: Planned, piece: Piece
) -> int:
    """How many rows of a piece stand as if what is expected had been done with all of them."""
    return await _count(hands, plan, f"count_{_done(planned)}", attempt.keys(**piece))


async def assert_standing(
    hands: Hands,
    plan: EntityPlan,
    attempt: Attempt,
    planned: Planned,
    counted: Collection[asyncio.Task[int]],
) -> None:
    """See that every staged row of a file has one outcome, and every accepted one stands.

    Helpers count what the transaction has written before it commits.

    Args:
        hands: the connections that do it.
        plan: the statements of the entity.
        attempt: whose rows, and under which fence.
        planned: what was to be done with them.
        counted: the rows of each piece that is done.

    Raises:
        Rejected: `reconcile.mismatch`, with the counts.
    """
    counts = planned.counts
    if not counts.add_up:
        raise _mismatch(plan, f"the outcomes of {counts.staged} staged rows are {counts}")
    found = await _count(hands, plan, "count_planned", attempt.keys())
    if planned.expected is not None:
        found += sum([await rows for rows in counted])
        found -= await _count(hands, plan, f"count_planned_{_done(planned)}", attempt.keys())
    _expect(plan, found, counts.accepted, "accepted rows stand in production")


async def record_counts(
    database: Database,
    plans: Sequence[EntityPlan],
    attempt: Attempt,
    counts: Mapping[str, Counts],
) -> None:
    """Leave the counts of this run for the report."""
    for plan in plans:
        found = asdict(counts[plan.entity.name])
        await database.execute(plan.sql["record_counts"], attempt.keys(**found))


async def _insert(
    database: Database,
    plan: EntityPlan,
    sql: Mapping[str, str],
    which: str,
    values: dict[str, Any],
) -> int:
    if plan.entity.has_children:
        await database.execute(sql[f"insert_{which}keys"], values)
    return await database.execute(sql[f"insert_{which}rows"], values)


async def _count(hands: Hands, plan: EntityPlan, name: str, values: dict[str, Any]) -> int:
    async def count(database: Database) -> int:
        await database.execute(plan.sql["see_what_is_written"])
        return int(await database.fetch_value(plan.sql[name], values))

    return await hands.help(count)


def _done(planned: Planned) -> str:
    return "inserted" if planned.expected == "insert" else "unchanged"


def _expect(plan: EntityPlan, found: int, planned: int, what: str) -> None:
    if found != planned:
        raise _mismatch(plan, f"{found} {what} where {planned} were planned")


def _mismatch(plan: EntityPlan, problem: str) -> Rejected:
    file_name = plan.entity.file_name
    message = f"{file_name}: {problem}; nothing of the load was written"
    return Rejected(Failure.of("reconcile.mismatch", message, file=file_name))
