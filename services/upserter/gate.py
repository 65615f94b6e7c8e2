"""Whose turn it is: one upsert at a time for each source_system, and older loads first."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import pymysql

from services.upserter.attempt import Attempt
from shared.errors import Waiting
from shared.ledger.states import Load
from shared.mysql.connect import Database
from shared.mysql.queries import load_queries

_SQL: Final = load_queries("services.upserter", "gate.sql")
_LOCK_NOWAIT: Final = 3572

MOST_PATIENCES: Final = 4


class PlanOutdated(Exception):  # noqa: N818 - a fact about the plan, not an error
    """Another upsert committed since the plan was made; it has to be made again."""


@dataclass(frozen=True, slots=True)
class GateState:
    """What a plan that is made from now on rests on.

    Attributes:
        epoch: the upserts of the source_system that committed.
        has_other_ids: whether any of its keys has another id than its hash.
    """

    epoch: int
    has_other_ids: bool


@dataclass(frozen=True, slots=True)
class NewerLoad:
    """A newer load of the source_system that was applied already.

    Attributes:
        load_id: the load.
        run: the run whose staging rows were applied.
        fence: the fence of the upsert that did, and so of its plan.
    """

    load_id: str
    run: int
    fence: int


async def read_state(database: Database, attempt: Attempt) -> GateState:
    """The gate as it stands; it is made for a source_system that comes for the first time."""
    row = await database.fetch_one(_SQL["read_state"], attempt.keys())
    if row is None:
        await database.execute(_SQL["add_gate"], attempt.keys())
        return await read_state(database, attempt)
    return GateState(row["epoch"], bool(row["has_other_ids"]))


async def newer_applied(database: Database, attempt: Attempt) -> list[NewerLoad]:
    """The newer loads of the source_system that were applied already, oldest first."""
    rows = await database.fetch_all(_SQL["newer_applied"], attempt.keys())
    return [NewerLoad(**row) for row in rows]


async def let_older_go_first(
    database: Database, attempt: Attempt, load: Load, patience_seconds: float
) -> str | None:
    """Give way to an older load that is on its way, unless this one has waited long enough.

    It waits `patience_seconds` for each older load, and MOST_PATIENCES times that for all of them.

    Returns:
        What a person should know if it goes on before the older one, else None.

    Raises:
        Waiting: an older load goes first.
    """
    older: str | None = await database.fetch_value(_SQL["older_in_flight"], attempt.keys())
    if older is None:
        return None
    began = load.waiting_for_since if load.waiting_for == older else None
    if not (
        _has_waited(load, began, patience_seconds)
        or _has_waited(load, load.waiting_since, MOST_PATIENCES * patience_seconds)
    ):
        raise Waiting(f"the older load {older} goes first", older=older)
    assert load.waiting_since is not None, "it has waited"
    waited_seconds = (load.now - load.waiting_since).total_seconds()
    return (
        f"went on after waiting {waited_seconds:.0f} s for older loads; {older} is still on its "
        "way and will come late: children of what only that load brings were rejected as orphans"
    )


def _has_waited(load: Load, since: datetime | None, seconds: float) -> bool:
    return since is not None and since + timedelta(seconds=seconds) <= load.now


async def take_gate(database: Database, attempt: Attempt, epoch: int) -> None:
    """Keep every other upsert of the source_system out until the open transaction ends.

    Raises:
        Waiting: another one is inside.
        PlanOutdated: another one has been inside since the epoch was read.
    """
    try:
        found = await database.fetch_value(_SQL["take_gate"], attempt.keys())
    except pymysql.err.OperationalError as error:
        if error.args[0] != _LOCK_NOWAIT:
            raise
        reason = f"another load of {attempt.source_system} is being applied"
        raise Waiting(reason) from None
    if found != epoch:
        raise PlanOutdated(f"{attempt.source_system} went from epoch {epoch} to {found}")


async def advance_epoch(database: Database, attempt: Attempt) -> None:
    """Tell all who have a plan for this source_system that it holds no longer."""
    await database.execute(_SQL["advance_epoch"], attempt.keys())
