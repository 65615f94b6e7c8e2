"""Inside the transaction: what differs is written, and all that was promised is asserted."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from services.upserter.attempt import Attempt, Prepared
from services.upserter.plan import EntityPlan
from shared.errors import Failure, Rejected
from shared.mysql.connect import Database
from shared.mysql.side_by_side import side_by_side
from shared.steps import passed


async def write(
    database: Database, plans: Sequence[EntityPlan], attempt: Attempt, prepared: Prepared
) -> None:
    """Write new and changed rows, parents first; unchanged and stale ones are not touched.

    Raises:
        Rejected: `reconcile.mismatch`, other rows were written than were planned.
    """
    for plan in plans:
        counts = prepared.counts[plan.entity.name]
        if counts.inserted:
            which = "expected_" if prepared.expected[plan.entity.name] == "insert" else ""
            if plan.entity.has_children:
                await database.execute(plan.sql[f"insert_{which}keys"], attempt.keys())
            inserted = await database.execute(plan.sql[f"insert_{which}rows"], attempt.keys())
            _expect(plan, inserted, counts.inserted, "rows were inserted")
        if counts.updated:
            updated = await database.execute(plan.sql["update_rows"], attempt.keys())
            _expect(plan, updated, counts.updated, "rows were updated")
        if prepared.newer_loads and plan.entity.has_children:
            newer = attempt.keys(newer_loads=prepared.newer_loads)
            await database.execute(plan.sql["move_first_seen"], newer)
        passed("upserter", "entity_written", entity=plan.entity.name)


async def assert_reconciled(
    database: Database,
    second: Database,
    plans: Sequence[EntityPlan],
    attempt: Attempt,
    prepared: Prepared,
) -> None:
    """See that every staged row has one outcome, and every accepted one its row in production.

    Args:
        database: where the transaction is open.
        second: another connection; it sees what the transaction has not touched, and helps there.
        plans: the statements of each entity.
        attempt: whose rows, and under which fence.
        prepared: what was to be done.

    Raises:
        Rejected: `reconcile.mismatch`, with the counts.
    """
    largest_first = plans[::-1]  # children outnumber their parents
    untouched = [
        plan for plan in largest_first if prepared.expected[plan.entity.name] == "unchanged"
    ]
    unchanged = await side_by_side(
        (database, second), [partial(_count_unchanged, plan, attempt) for plan in untouched]
    )
    standing = {plan.entity.name: rows for plan, rows in zip(untouched, unchanged, strict=True)}
    for plan in plans:
        counts = prepared.counts[plan.entity.name]
        if not counts.add_up:
            raise _mismatch(plan, f"the outcomes of {counts.staged} staged rows are {counts}")
        found = standing.get(plan.entity.name, 0)
        found += await database.fetch_value(plan.sql["count_planned"], attempt.keys())
        if prepared.expected[plan.entity.name] == "insert":
            found += await database.fetch_value(plan.sql["count_inserted"], attempt.keys())
        _expect(plan, found, counts.accepted, "accepted rows stand in production")


async def _count_unchanged(plan: EntityPlan, attempt: Attempt, database: Database) -> int:
    return int(await database.fetch_value(plan.sql["count_unchanged"], attempt.keys()))


async def record_counts(
    database: Database, plans: Sequence[EntityPlan], attempt: Attempt, prepared: Prepared
) -> None:
    """Leave the counts of this run for the report."""
    for plan in plans:
        counts = prepared.counts[plan.entity.name]
        await database.execute(plan.sql["record_counts"], attempt.keys(**asdict(counts)))


def _expect(plan: EntityPlan, found: int, planned: int, what: str) -> None:
    if found != planned:
        raise _mismatch(plan, f"{found} {what} where {planned} were planned")


def _mismatch(plan: EntityPlan, problem: str) -> Rejected:
    file_name = plan.entity.file_name
    message = f"{file_name}: {problem}; nothing of the load was written"
    return Rejected(Failure.of("reconcile.mismatch", message, file=file_name))
