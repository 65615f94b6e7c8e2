"""Ending what a dead worker left running in the server, found by what its connections announced."""

from dataclasses import dataclass
from typing import Self

import pymysql

from shared.errors import TransientFault
from shared.ledger.lease import program_name
from shared.mysql.connect import Database
from shared.mysql.queries import load_queries

SQL = load_queries("shared.ledger", "ledger.sql")
# A connection announces at most 255 bytes of itself: of fewer, a worker's name may be cut off.
LEAST_ANNOUNCED_BYTES = 256
REMEDY = (
    "Start the server with performance_schema = ON and "
    f"performance_schema_session_connect_attrs_size = {LEAST_ANNOUNCED_BYTES} or more, and go "
    "round any proxy that keeps back what connections announce."
)


@dataclass(frozen=True, slots=True)
class Sight:
    """Whether the server lets connections be found by what they announced.

    Attributes:
        performance_schema: whether the server keeps what there is to be seen.
        announced_bytes: how much of it the server keeps of each connection.
        sees_itself: whether the connection that asked was found by its name.
    """

    performance_schema: bool
    announced_bytes: int
    sees_itself: bool

    @classmethod
    async def of(cls, database: Database) -> Self:
        """What the server lets this connection see."""
        row = await database.fetch_one(SQL["sight"])
        assert row is not None, "a SELECT without FROM has one row"
        return cls(
            performance_schema=bool(row["performance_schema"]),
            announced_bytes=row["announced_bytes"],
            sees_itself=bool(row["sees_itself"]),
        )

    @property
    def problem(self) -> str | None:
        """Why a dead worker's connection might not be found; None where it would be."""
        if self.sees_itself and self.announced_bytes >= LEAST_ANNOUNCED_BYTES:
            return None
        return (
            "a dead worker's connection cannot be found in MySQL, and so not be ended: "
            f"performance_schema is {'ON' if self.performance_schema else 'OFF'}, "
            f"performance_schema_session_connect_attrs_size is {self.announced_bytes}"
        )


async def kill_connections(database: Database, token: str) -> bool:
    """Kill the connections of the worker with this token; False when there are none any more.

    What one of them had open is there, with its locks, until it is rolled back.

    Raises:
        TransientFault: they could not be found if they were there.
    """
    problem = (await Sight.of(database)).problem
    if problem is not None:
        raise TransientFault(f"{problem}. {REMEDY}")
    rows = await database.fetch_all(SQL["connections_of"], {"program_name": program_name(token)})
    for row in rows:
        await _kill(database, row["id"])
    return bool(rows)


async def _kill(database: Database, connection_id: int) -> None:
    try:
        await database.execute("KILL CONNECTION %(id)s", {"id": connection_id})
    except pymysql.err.OperationalError as error:
        if error.args[0] != pymysql.constants.ER.NO_SUCH_THREAD:
            raise
