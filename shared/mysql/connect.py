"""Connections to MySQL: fresh for each use, with every session setting said out loud.

There is no pool: a pool hands on whatever state its last user left, and a fresh connection costs
some milliseconds beside a stage's seconds.
"""

import asyncio
import random
import ssl
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import aiomysql
import pymysql

from shared.errors import TransientFault
from shared.mysql.local_infile import StreamingConnection
from shared.mysql.queries import load_queries

CONNECT_TIMEOUT_SECONDS = 10
# A process that froze in a transaction keeps its locks for so long: where nothing is waited for
# outside the database but the bus, a little longer than the bus may take; else as a lease allows.
SILENCE_SECONDS = 120
BRIEF_SILENCE_SECONDS = 20
LONG_SILENCE_SECONDS = 86_400
SESSION = load_queries("shared.mysql", "session.sql")["settings"]
DUPLICATE_ENTRY = 1062
LOCK_CONFLICTS = frozenset({1205, 1213})
MOST_TRIES = 4
Parameters = Mapping[str, Any]
Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MySQLAddress:
    """Where the database is, out of `mysql://user:password@host:port/database[?ssl=required]`."""

    host: str
    port: int
    user: str
    password: str
    database: str
    ssl_required: bool

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read the address.

        Raises:
            ValueError: it is no MySQL URL; the message does not repeat the password.
        """
        parts = urlsplit(url)
        database = parts.path.removeprefix("/")
        if parts.scheme != "mysql" or not parts.hostname or not parts.username or not database:
            raise ValueError("the form is mysql://user:password@host:port/database[?ssl=required]")
        options = parse_qs(parts.query, strict_parsing=bool(parts.query))
        if set(options) - {"ssl"} or options.get("ssl", ["required"]) != ["required"]:
            raise ValueError("the only option of a MySQL URL is ssl=required")
        return cls(
            parts.hostname,
            parts.port or 3306,
            unquote(parts.username),
            unquote(parts.password or ""),
            database,
            "ssl" in options,
        )

    def arguments(self) -> dict[str, Any]:
        """What the drivers' connect functions want; aiomysql calls the database `db`."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "database": self.database,
            "charset": "utf8mb4",
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "ssl": ssl.create_default_context() if self.ssl_required else None,
        }


class Database:
    """One connection, in autocommit until a transaction is opened on it."""

    def __init__(self, connection: StreamingConnection) -> None:
        self.connection = connection

    async def execute(self, sql: str, parameters: Parameters | None = None) -> int:
        """Run one statement and return the number of affected rows."""
        async with self.connection.cursor() as cursor:
            affected: int = await cursor.execute(sql, parameters)
            return affected

    async def execute_many(self, sql: str, rows: Iterable[Parameters]) -> None:
        """Run one statement for each set of parameters."""
        async with self.connection.cursor() as cursor:
            await cursor.executemany(sql, list(rows))

    async def fetch_all(self, sql: str, parameters: Parameters | None = None) -> Sequence[Row]:
        """The rows of a query, each a dict by column name."""
        async with self.connection.cursor(aiomysql.DictCursor) as cursor:
            await cursor.execute(sql, parameters)
            rows: Sequence[Row] = await cursor.fetchall()
            return rows

    async def fetch_one(self, sql: str, parameters: Parameters | None = None) -> Row | None:
        """The first row of a query, or None."""
        rows = await self.fetch_all(sql, parameters)
        return rows[0] if rows else None

    async def fetch_value(self, sql: str, parameters: Parameters | None = None) -> Any:
        """The one value of a query's first row, or None."""
        row = await self.fetch_one(sql, parameters)
        return None if row is None else next(iter(row.values()))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Commit on leaving; on any exception drop the connection, so nothing goes on in it.

        After a deadlock all is gone and after a lock timeout only the last statement is: no code
        can tell safely, so none may try.
        """
        await self.connection.begin()
        try:
            yield
        except BaseException:
            await self.roll_back()
            raise
        await self.connection.commit()

    async def roll_back(self) -> None:
        """Roll back where the connection still answers, else drop it, which does the same."""
        if self.connection.closed:
            return
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await self.connection.rollback()
        except (pymysql.err.Error, OSError, TimeoutError, RuntimeError):
            self.connection.close()


async def redone(work: Callable[[], Awaitable[T]]) -> T:
    """Do the work, and all of it again after a deadlock or a lock that did not come free.

    After either nothing may go on in its transaction, so the work opens its own each time.

    Raises:
        TransientFault: MOST_TRIES were not enough.
    """
    for tries_left in reversed(range(MOST_TRIES)):
        try:
            return await work()
        except (TransientFault, pymysql.err.OperationalError) as fault:
            if not tries_left or not _is_lock_conflict(fault):
                raise
        await asyncio.sleep(random.uniform(0.02, 0.2))  # noqa: S311 - so that two do not meet again
    raise AssertionError("the last try returns or raises")


def _is_lock_conflict(fault: BaseException) -> bool:
    error = fault.__cause__ or fault
    return isinstance(error, pymysql.err.OperationalError) and error.args[0] in LOCK_CONFLICTS


@asynccontextmanager
async def connect(
    url: str,
    *,
    program_name: str = "crossdock",
    local_infile: bool = False,
    silence_seconds: int = SILENCE_SECONDS,
) -> AsyncIterator[Database]:
    """A fresh connection with every session setting made; closed on leaving.

    `program_name` becomes a connection attribute, by which a successor finds a dead worker's
    connection. Only the stager asks for `local_infile`. The server drops a connection over which
    nothing was asked for `silence_seconds`: BRIEF_SILENCE_SECONDS where it holds locks that other
    loads need, and no lease by which a successor would end it; LONG_SILENCE_SECONDS where it never
    holds any, and waits beside one that works.

    Raises:
        TransientFault: the database cannot be reached, or drops the connection.
        ValueError: the URL is none.
    """
    address = MySQLAddress.parse(url)
    try:
        connection = await open_connection(
            address, program_name, local_infile=local_infile, silence_seconds=silence_seconds
        )
    except (pymysql.err.OperationalError, OSError, TimeoutError) as error:
        # The driver's own words do not tell a certificate that is not trusted from a closed port.
        told = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
        reason = str(told) or f"no login within {CONNECT_TIMEOUT_SECONDS} s"
        raise TransientFault(f"MySQL at {address.host}:{address.port}: {reason}") from error
    try:
        yield Database(connection)
    except (pymysql.err.OperationalError, pymysql.err.InterfaceError, OSError) as error:
        raise TransientFault(f"MySQL at {address.host}:{address.port}: {error}") from error
    finally:
        with suppress(Exception):
            connection.close()


async def open_connection(
    address: MySQLAddress, program_name: str, *, local_infile: bool, silence_seconds: int
) -> StreamingConnection:
    """Connect and make the session's settings."""
    # The driver's own timeout is `wait_for`, which before Python 3.12 may lose a cancellation, and
    # it ends before the server's greeting.
    arguments = address.arguments() | {"connect_timeout": None}
    connection = StreamingConnection(
        db=arguments.pop("database"),
        **arguments,
        autocommit=True,
        program_name=program_name,
        local_infile=local_infile,
    )
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            await connection._connect()  # noqa: SLF001 - what aiomysql.connect() itself awaits
        async with connection.cursor() as cursor:
            await cursor.execute(SESSION, {"silence_seconds": silence_seconds})
    except BaseException:
        connection.close()
        raise
    return connection
