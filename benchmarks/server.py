"""A MySQL server of the benchmark's own: durable settings, a temporary folder, gone at the end."""

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pymysql

from benchmarks.progress import say
from crossdock.stack import mysql_server
from shared.mysql.connect import MySQLAddress
from shared.mysql.quoting import quoted

RESIZE_SECONDS: Final = 60
REST_SECONDS: Final = 120
# Some stay for the server's own tables.
FEW_DIRTY_PAGES: Final = 200
_UNITS: Final = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        url: of its database, the account being the administrator.
        pid: its process.
        folder: where drops may be written; removed with it.
    """

    url: str
    pid: int
    folder: Path

    def connection(self, database: str | None = None) -> pymysql.Connection:
        """A connection to the database of the URL, or to another one."""
        arguments = MySQLAddress.parse(self.url).arguments()
        arguments["database"] = database or arguments["database"]
        return pymysql.connect(**arguments, autocommit=True)

    def empty(self, database: str | None = None) -> None:
        """Drop a database and make it anew; without a name, that of the URL."""
        name = database or MySQLAddress.parse(self.url).database
        with self.connection("sys") as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {quoted(name)}")
            cursor.execute(f"CREATE DATABASE {quoted(name)}")

    def asked(self, query: str) -> str:
        """The one value of a query, as text."""
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
        assert row is not None
        return str(row[0])

    def collate(self, collation: str) -> None:
        """The collation of all databases that are made from now on, by whomever."""
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute("SET GLOBAL collation_server = %s", (collation,))

    def rest(self) -> None:
        """Wait until all that was written is on the disk: nobody is to pay for what another wrote.

        Raises:
            TimeoutError: it has not.
        """
        os.sync()
        deadline = time.monotonic() + REST_SECONDS
        with self.connection() as connection, connection.cursor() as cursor:
            while time.monotonic() < deadline:
                if _status(cursor, "Innodb_buffer_pool_pages_dirty") <= FEW_DIRTY_PAGES:
                    return
                time.sleep(0.1)
        raise TimeoutError(f"MySQL has pages to write after {REST_SECONDS} s without work")

    @property
    def version(self) -> str:
        """The server's own words of its version."""
        return self.asked("SELECT VERSION()")


@contextmanager
def started(buffer_pool_bytes: int | None = None) -> Iterator[Server]:
    """Start a server; its buffer pool is the local stack's unless a size is given."""
    with tempfile.TemporaryDirectory(prefix="crossdock-bench-") as name:
        folder = Path(name)
        try:
            instance = mysql_server.ensure_started(folder / "stack", progress=say)
            server = Server(instance.url, instance.pid, folder)
            if buffer_pool_bytes is not None:
                _resize(server, buffer_pool_bytes)
            yield server
        finally:
            mysql_server.stop(folder / "stack")


def size_in_bytes(text: str) -> int:
    """What a size such as 128M means.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"(\d+)([KMG]?)", text)
    if found is None:
        raise ValueError(f"{text} is no size: write it as 128M or 1G")
    return int(found[1]) * _UNITS[found[2]]


def _resize(server: Server, size_bytes: int) -> None:
    """Resize the buffer pool while the server runs, and wait until it has that size.

    Raises:
        TimeoutError: the server did not get there.
    """
    with server.connection() as connection, connection.cursor() as cursor:
        cursor.execute(f"SET GLOBAL innodb_buffer_pool_size = {size_bytes}")
        deadline = time.monotonic() + RESIZE_SECONDS
        while time.monotonic() < deadline:
            if _status(cursor, "Innodb_buffer_pool_pages_total") * 16_384 <= size_bytes:
                return
            time.sleep(0.1)
    raise TimeoutError(f"the buffer pool has not come to {size_bytes:,} bytes")


def _status(cursor: pymysql.cursors.Cursor, name: str) -> int:
    cursor.execute("SHOW GLOBAL STATUS LIKE %s", (name,))
    row = cursor.fetchone()
    assert row is not None
    return int(row[1])
