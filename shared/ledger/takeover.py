"""Ending what a dead worker left running in the server, found by what its connections announced.

The routine that does it runs with the rights of the account that made it: so workers of different
accounts take over from each other, and none may end whatever connection it likes.
"""

from dataclasses import dataclass

from shared.errors import TransientFault
from shared.mysql.connect import Database, Row
from shared.mysql.queries import load_queries

SQL = load_queries("shared.ledger", "ledger.sql")
NOBODY = ""
# A connection announces at most 255 bytes of itself: of fewer, a worker's name may be cut off.
LEAST_ANNOUNCED_BYTES = 256


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a dead worker's connection might go on, and what to do about it."""

    detail: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.detail}. {self.remedy}"


@dataclass(frozen=True, slots=True)
class Sight:
    """Whether the server lets connections be found by what they announced, and be ended.

    Attributes:
        performance_schema: whether the server keeps what there is to be seen.
        announced_bytes: how much of it the server keeps of each connection.
        sees_itself: whether the connection that asked was found by its name.
        runs_as: the account whose rights count here: the one that made the routine.
        ends_others: whether it may end the connections of other accounts.
    """

    performance_schema: bool
    announced_bytes: int
    sees_itself: bool
    runs_as: str
    ends_others: bool

    @classmethod
    async def of(cls, database: Database) -> "Sight":
        """What the server lets this connection see and end.

        Raises:
            pymysql.err.OperationalError: the account may not ask, or the routine is not there.
        """
        return _sight(await _call(database, NOBODY))

    @property
    def problem(self) -> Problem | None:
        """Why a dead worker's connection might not be found or ended; None where it would be."""
        if not self.sees_itself or self.announced_bytes < LEAST_ANNOUNCED_BYTES:
            return Problem(
                "a dead worker's connection cannot be found in MySQL, and so not be ended: "
                f"performance_schema is {'ON' if self.performance_schema else 'OFF'}, "
                f"performance_schema_session_connect_attrs_size is {self.announced_bytes}",
                "Start the server with performance_schema = ON and "
                f"performance_schema_session_connect_attrs_size = {LEAST_ANNOUNCED_BYTES} or more, "
                "and go round any proxy that keeps back what connections announce.",
            )
        if not self.ends_others:
            return Problem(
                "a dead worker's connection can be found in MySQL, but not be ended: the routine "
                f"end_worker runs as {self.runs_as}, which may end its own connections only",
                f"Grant CONNECTION_ADMIN to {self.runs_as}, or drop the routine and let the "
                "account of migrations make it anew: `crossdock migrate`, then the grants.",
            )
        return None


async def kill_connections(database: Database, token: str) -> bool:
    """Kill the connections of the worker with this token; False when there are none any more.

    What one of them had open is there, with its locks, until it is rolled back.

    Raises:
        TransientFault: they could not be found or ended if they were there.
    """
    row = await _call(database, token)
    problem = _sight(row).problem
    if problem is not None:
        raise TransientFault(str(problem))
    return bool(row["connections"])


async def _call(database: Database, token: str) -> Row:
    row = await database.fetch_one(SQL["end_worker"], {"worker": token})
    assert row is not None, "the routine ends with a SELECT of one row"
    return row


def _sight(row: Row) -> Sight:
    return Sight(
        performance_schema=bool(row["performance_schema"]),
        announced_bytes=row["announced_bytes"],
        sees_itself=bool(row["sees_itself"]),
        runs_as=row["runs_as"],
        ends_others=bool(row["ends_others"]),
    )
