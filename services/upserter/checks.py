"""Rejected rows: why each was refused, and whether they are too many for the load to go on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.upserter.attempt import Attempt, Counts
from services.upserter.plan import EntityPlan
from shared.contracts.model import Entity
from shared.contracts.row_rules import (
    MOST_ROWS_NAMED,
    Violation,
    copies_message,
    parent_rejected_message,
    violation_message,
)
from shared.errors import Rejected
from shared.mysql.connect import Database, Row
from shared.partners import RejectLimit

MOST_STORED_REJECTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that is not accepted, with all that the reason follows from.

    Attributes:
        row_no: counts data rows from 1.
        violation: what is wrong with the row by itself.
        copy_rows: the first rows of the file with the same key, this one among them.
        copies: how many rows there are with the same key.
        parent_was_refused: whether its parent is among the drop's rejects.
    """

    row_no: int
    violation: Violation | None
    copy_rows: tuple[int, ...]
    copies: int
    parent_was_refused: bool


@dataclass(frozen=True, slots=True)
class Reject:
    """The one reason that a row gets, in the contract's order."""

    code: str
    column: str
    message: str


def explain(entity: Entity, row: RefusedRow) -> Reject:
    """Why a row was refused: by itself, else as a copy, else for want of its parent."""
    if row.violation is not None:
        message = violation_message(entity, row.violation)
        return Reject(row.violation.code, row.violation.column, message)
    if row.copies > 1:
        message = copies_message(entity, row.row_no, row.copy_rows, row.copies)
        return Reject("row.duplicate_key", entity.key, message)
    assert entity.parent_key is not None
    if row.parent_was_refused:
        return Reject("row.parent_rejected", entity.parent_key, parent_rejected_message(entity))
    message = (
        f"{entity.parent_key} names a row of {entity.parent} "
        "that is neither in this drop nor in an earlier load"
    )
    return Reject("row.orphan", entity.parent_key, message)


async def record_rejects(database: Database, plan: EntityPlan, attempt: Attempt) -> None:
    """Keep the first refused rows of a file, with their reasons, for the partner to read."""
    most = {"most": MOST_STORED_REJECTS, "most_copies": MOST_ROWS_NAMED + 1}
    refused = await database.fetch_all(plan.sql["refused_rows"], attempt.keys(**most))
    reasons = [(row["row_no"], explain(plan.entity, _refused_row(row))) for row in refused]
    await database.execute_many(
        plan.sql["record_reject"],
        [
            attempt.keys(
                entity=plan.entity.name,
                row_no=row_no,
                source_key="",
                raw="",
                code=reason.code,
                column=reason.column,
                message=reason.message,
            )
            for row_no, reason in reasons
        ],
    )
    await database.execute(plan.sql["quote_rejects"], attempt.keys())


async def hold_limit(
    plans: Sequence[EntityPlan],
    attempt: Attempt,
    counts: Mapping[str, Counts],
    limit: RejectLimit,
    database: Database,
) -> None:
    """Let no load pass that has too many rejects in a file; its counts and rejects stay on record.

    Args:
        plans: the statements of each entity.
        attempt: whose rows, and under which fence.
        counts: by entity.
        limit: how many are too many.
        database: a connection in autocommit.

    Raises:
        Rejected: `rejects.over_limit`, naming the file and its first rejected row.
    """
    for plan in plans:
        found = counts[plan.entity.name]
        try:
            limit.check(plan.entity.file_name, rows=found.staged, rejected=found.rejected)
        except Rejected as over:
            await _record_counts(database, plans, attempt, counts)
            first = await database.fetch_one(plan.sql["first_reject"], attempt.keys())
            raise Rejected(replace(over.failure, **first or {})) from None


async def _record_counts(
    database: Database,
    plans: Sequence[EntityPlan],
    attempt: Attempt,
    counts: Mapping[str, Counts],
) -> None:
    for plan in plans:
        found = counts[plan.entity.name]
        values = attempt.keys(staged=found.staged, rejected=found.rejected)
        await database.execute(plan.sql["record_refused_load"], values)


def _refused_row(row: Row) -> RefusedRow:
    violation = None if row["violation"] is None else Violation(*row["violation"].split(" "))
    copy_rows = tuple(map(int, row["row_numbers"].split(","))) if row["row_numbers"] else ()
    return RefusedRow(
        row["row_no"], violation, copy_rows, row["copies"], bool(row["parent_was_refused"])
    )
