"""Two loads of the same data by one tool into its own database, and what stands there after."""

import asyncio
import shutil
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import pymysql

from benchmarks.loads import take
from benchmarks.peers import commands, environments
from benchmarks.peers.catalog import Peer
from benchmarks.peers.commands import Took
from benchmarks.peers.contents import Contents, Mirrored, Production, Tables, looked_at
from benchmarks.peers.job import Job
from benchmarks.progress import say
from benchmarks.server import Server
from shared.contracts.model import contracts
from shared.mysql.connect import MySQLAddress
from shared.mysql.migrate import migrate
from shared.mysql.quoting import quoted

OURS: Final = "crossdock"
CASES: Final = ("first", "again")
PATIENCE_SECONDS: Final = 120
_CONNECTIONS: Final = """SELECT id FROM information_schema.processlist
WHERE db LIKE %s AND id <> CONNECTION_ID()"""
_DATABASES: Final = "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE %s"


@dataclass(frozen=True, slots=True)
class Load:
    """One load, and how the database compares with the files after it.

    Attributes:
        took: its time and memory, and why it failed, if it did.
        contents: None where it failed, or where the tables could not be read.
        relates: whether children carry an internal key of their parents.
    """

    took: Took
    contents: Contents | None = None
    relates: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """A tool's loads: the first, and, where that did not fail, the same data again."""

    name: str
    version: str
    manner: str
    only_appends: bool
    loads: tuple[Load, ...]

    @property
    def is_ours(self) -> bool:
        """Whether it is crossdock's."""
        return self.name == OURS

    @property
    def is_sound(self) -> bool:
        """Whether both loads left the database as the files say, with every relation resolved."""
        return len(self.loads) == len(CASES) and all(
            load.contents is not None and load.contents.are_intact and load.relates
            for load in self.loads
        )


def median(rounds: Sequence[Result]) -> Result:
    """A tool's rounds as one: the middle of their seconds, the most memory, the worst of the rest.

    Where some of its loads failed, the first of these stands for all.
    """
    by_case = zip(*(one.loads for one in rounds), strict=False)
    return replace(rounds[0], loads=tuple(_median(loads) for loads in by_case))


def _median(loads: Sequence[Load]) -> Load:
    for load in loads:
        if load.took.failure is not None:
            return load
    seconds = statistics.median(load.took.seconds for load in loads)
    peak_bytes = max(load.took.peak_bytes for load in loads)
    contents = [load.contents for load in loads if load.contents is not None]
    worst = max(contents, key=lambda found: found.wrong, default=None)
    return Load(Took(seconds, peak_bytes), worst, all(load.relates for load in loads))


def crossdock(server: Server, drops: Path) -> Result:
    """What `crossdock run` does with both drops; the second is a new load of the same data."""
    server.empty()
    asyncio.run(migrate(server.url))
    loads = []
    for case in CASES:
        say(f"{OURS}: {case}")
        server.rest()
        run = take(server.url, drops / case)
        took = Took(run.seconds, run.peak_bytes)
        loads.append(_looked_at(server, None, Production(contracts()["v1"]), drops / case, took))
    server.empty()
    manner = "`crossdock run`, the second time as a new load"
    return Result(OURS, version(OURS), manner, only_appends=False, loads=tuple(loads))


def peer(server: Server, it: Peer, drops: Path, limit_seconds: float) -> Result:
    """What a peer, which is installed, does with the same files."""
    loads = _loads(server, it, drops / CASES[0], limit_seconds)
    return _result(it, loads)


def not_installed(it: Peer, why: str) -> Result:
    """The result of a peer that never ran."""
    return _result(it, (Load(Took(0.0, 0, f"not installed: {why}")),))


def _result(it: Peer, loads: tuple[Load, ...]) -> Result:
    number = environments.locked_version(it.name, it.package)
    return Result(it.name, number, it.manner, it.only_appends, loads)


def _loads(server: Server, it: Peer, drop: Path, limit_seconds: float) -> tuple[Load, ...]:
    database = f"peer_{it.name}"
    folder = server.folder / database
    folder.mkdir()
    server.empty(database)
    address = MySQLAddress.parse(server.url.rpartition("/")[0] + f"/{database}")
    environment = environments.folder_of(it.name)
    job = Job(drop, address, contracts()["v1"].entities, folder, environment)
    loads: list[Load] = []
    for case in CASES:
        say(f"{it.name}: {case}")
        server.rest()
        settings = {**it.environment(job), "HOME": str(folder)}
        took = commands.run(
            it.commands(job), folder=folder, environment=settings, limit_seconds=limit_seconds
        )
        _end_connections(server, database)
        loads.append(_looked_at(server, database, Mirrored(contracts()["v1"]), drop, took))
        if took.failure is not None:
            break
    _drop(server, database)
    shutil.rmtree(folder)
    return tuple(loads)


def _looked_at(
    server: Server, database: str | None, tables: Tables, drop: Path, took: Took
) -> Load:
    """The load with what is found in the tables; a tool that names them otherwise has none."""
    say("comparing every value")
    # In a process of its own: the memory of this one counts for those that it starts, too.
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:
        try:
            contents, relates = apart.submit(_compared, server, database, tables, drop).result()
        except pymysql.MySQLError as error:
            failure = took.failure or f"its tables could not be read: {error.args[-1]}"
            return Load(Took(took.seconds, took.peak_bytes, failure))
    return Load(took, contents, relates)


def _compared(
    server: Server, database: str | None, tables: Tables, drop: Path
) -> tuple[Contents, bool]:
    with server.connection(database) as connection:
        return looked_at(connection, contracts()["v1"], tables, drop)


def _end_connections(server: Server, database: str) -> None:
    """See to it that nothing works on a database any more that was left by who worked on it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with server.connection("sys") as connection:
        while left := _column(connection, _CONNECTIONS, f"{database}%"):
            assert time.monotonic() < deadline, f"connections to {database} do not end: {left}"
            with connection.cursor() as cursor:
                for number in left:
                    try:
                        cursor.execute(f"KILL {number}")
                    except pymysql.MySQLError:
                        continue  # it has ended by itself
            time.sleep(0.2)


def _drop(server: Server, database: str) -> None:
    """Drop a tool's database, and those that it made beside it under longer names."""
    with server.connection("sys") as connection, connection.cursor() as cursor:
        for name in _column(connection, _DATABASES, f"{database}%"):
            cursor.execute(f"DROP DATABASE {quoted(str(name))}")


def _column(connection: pymysql.Connection, query: str, pattern: str) -> Sequence[object]:
    with connection.cursor() as cursor:
        cursor.execute(query, (pattern,))
        return [row[0] for row in cursor.fetchall()]
