"""Whose turn it is: one upsert at a time for each source_system, and older loads first."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import pymysql

from services.upserter.attempt import Attempt
from shared.errors import TransientFault, Waiting
from shared.ledger.states import Load
from shared.mysql.connect import Database
from shared.mysql.queries import load_queries

_SQL: Final = load_queries("services.upserter", "gate.sql")
_LOCK_NOWAIT: Final = 3572

MOST_PATIENCES: Final = 4


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


@dataclass(frozen=True, slots=True)
class Gate:
    """What no other upsert of the source_system changes while the gate is held.

    Attributes:
        ids_may_differ: whether any of its keys may have another id than its hash.
        newer: the newer loads that were applied already, oldest first; with any, this one is late.
    """

    ids_may_differ: bool
    newer: tuple[NewerLoad, ...]


async def add_gate(database: Database, attempt: Attempt) -> None:
    """See that the source_system has its gate, also when it comes for the first time."""
    if await database.fetch_value(_SQL["has_gate"], attempt.keys()) is None:
        await database.execute(_SQL["add_gate"], attempt.keys())


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


async def take_gate(
    database: Database, attempt: Attempt, *, seeks_collisions: bool = False
) -> Gate:
    """Keep every other upsert of the source_system out until the open transaction ends.

    Args:
        database: the connection with the open transaction.
        attempt: whose gate.
        seeks_collisions: let new keys have other ids than their hashes, where production holds
            those for other keys. Writing such a row fails for its primary key, so only an attempt
            after that failure has to look.

    Raises:
        Waiting: another one is inside.
        TransientFault: there is no gate; the next attempt makes it.
    """
    try:
        found = await database.fetch_one(_SQL["take_gate"], attempt.keys())
    except pymysql.err.OperationalError as error:
        if error.args[0] != _LOCK_NOWAIT:
            raise
        reason = f"another load of {attempt.source_system} is being applied"
        raise Waiting(reason) from None
    if found is None:
        raise TransientFault(f"the gate of {attempt.source_system} has gone from source_gate")
    has_other_ids = bool(await database.fetch_value(_SQL["has_other_ids"], attempt.keys()))
    newer = await database.fetch_all(_SQL["newer_applied"], attempt.keys())
    return Gate(seeks_collisions or has_other_ids, tuple(NewerLoad(**row) for row in newer))


async def advance_epoch(database: Database, attempt: Attempt) -> None:
    """Count the upserts of the source_system, for who reads production, and for older workers."""
    await database.execute(_SQL["advance_epoch"], attempt.keys())
