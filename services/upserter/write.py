"""Inside the transaction: what differs is written, and all that was promised is asserted."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial

from services.upserter.attempt import Attempt, Counts, Planned
from services.upserter.classify import pieces_of
from services.upserter.gate import NewerLoad
from services.upserter.hands import Hands
from services.upserter.plan import EntityPlan
from shared.errors import Failure, Rejected
from shared.mysql.connect import Database
from shared.mysql.side_by_side import all_of


async def write(
    database: Database,
    plan: EntityPlan,
    attempt: Attempt,
    planned: Planned,
    newer: Sequence[NewerLoad],
) -> None:
    """Write the new and changed rows of a file; unchanged and stale ones are not touched.

    Raises:
        Rejected: `reconcile.mismatch`, other rows were written than were planned.
    """
    counts = planned.counts
    if counts.inserted:
        which = "expected_" if planned.expected == "insert" else ""
        sql = plan.sql if planned.departing else {**plan.sql, **plan.sql_of_all}
        if plan.entity.has_children:
            await database.execute(sql[f"insert_{which}keys"], attempt.keys())
        inserted = await database.execute(sql[f"insert_{which}rows"], attempt.keys())
        _expect(plan, inserted, counts.inserted, "rows were inserted")
    if counts.updated:
        updated = await database.execute(plan.sql["update_rows"], attempt.keys())
        _expect(plan, updated, counts.updated, "rows were updated")
    if newer and plan.entity.has_children:
        newer_loads = tuple(load.load_id for load in newer)
        await database.execute(plan.sql["move_first_seen"], attempt.keys(newer_loads=newer_loads))


async def assert_standing(
    hands: Hands, plan: EntityPlan, attempt: Attempt, planned: Planned
) -> None:
    """See that every staged row of a file has one outcome, and every accepted one stands.

    Helpers count what the transaction has written before it commits.

    Raises:
        Rejected: `reconcile.mismatch`, with the counts.
    """
    counts = planned.counts
    if not counts.add_up:
        raise _mismatch(plan, f"the outcomes of {counts.staged} staged rows are {counts}")

    async def count(name: str, piece: Mapping[str, int], database: Database) -> int:
        await database.execute(plan.sql["see_what_is_written"])
        return int(await database.fetch_value(plan.sql[name], attempt.keys(**piece)))

    found = await hands.help(partial(count, "count_planned", {}))
    if planned.expected is not None:
        done = "inserted" if planned.expected == "insert" else "unchanged"
        pieces = [partial(count, f"count_{done}", piece) for piece in pieces_of(counts.staged)]
        found += sum(await all_of(map(hands.help, pieces)))
        found -= await hands.help(partial(count, f"count_planned_{done}", {}))
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


def _expect(plan: EntityPlan, found: int, planned: int, what: str) -> None:
    if found != planned:
        raise _mismatch(plan, f"{found} {what} where {planned} were planned")


def _mismatch(plan: EntityPlan, problem: str) -> Rejected:
    file_name = plan.entity.file_name
    message = f"{file_name}: {problem}; nothing of the load was written"
    return Rejected(Failure.of("reconcile.mismatch", message, file=file_name))
