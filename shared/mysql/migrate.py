"""Creates and upgrades the schema: numbered SQL files, each once and unchanged, under a lock.

The entities' tables follow from the contracts and are brought up after the numbered files, and the
one routine after these.
"""

import hashlib
from importlib.resources import files

from shared.contracts.model import contracts
from shared.contracts.tables import column_statements, table_statements
from shared.errors import TransientFault
from shared.mysql.connect import Database, connect
from shared.mysql.queries import load_fragments

ROUTINES = load_fragments("shared.mysql", "routines.sql")
LOCK_SECONDS = 60
HISTORY = "schema_migration"
_CREATE_HISTORY = """CREATE TABLE schema_migration (
    name VARCHAR(200) NOT NULL PRIMARY KEY,
    sha256 CHAR(64) NOT NULL,
    applied_at DATETIME(6) NOT NULL
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"""


class SchemaError(RuntimeError):
    """The database's schema and this code do not belong together; a person must decide."""


def migrations() -> list[tuple[str, str]]:
    """The numbered migrations in order, as (name, SQL)."""
    folder = files("shared.mysql") / "migrations"
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".sql"))
    return [(name, (folder / name).read_text(encoding="utf-8")) for name in names]


async def migrate(url: str) -> list[str]:
    """Bring the schema up to date and return what was done; safe to repeat, and twice at once.

    MySQL commits every DDL statement by itself: a migration that broke half way is taken up again
    from its start, so each one must be one statement or safe to repeat.

    Raises:
        SchemaError: a migration that was applied has been changed since.
        TransientFault: the database is unreachable, or another migration holds the lock too long.
    """
    async with connect(url, program_name="crossdock:migrate") as database:
        locked = await database.fetch_value(
            "SELECT GET_LOCK(CONCAT('crossdock.migrate.', DATABASE()), %(seconds)s)",
            {"seconds": LOCK_SECONDS},
        )
        if locked != 1:
            raise TransientFault(f"another migration has been running for {LOCK_SECONDS} s")
        if HISTORY not in await _tables(database):
            await database.execute(_CREATE_HISTORY)
        done = [
            *await _apply_numbered(database),
            *await _apply_contracts(database),
            *await _apply_routines(database),
        ]
        await database.execute("DO RELEASE_LOCK(CONCAT('crossdock.migrate.', DATABASE()))")
        return done


async def schema_differences(url: str) -> list[str]:
    """What a migration would still have to do to the tables; empty when they are as they must be.

    For accounts that see every table. A routine is seen by those who may call it alone.

    Raises:
        TransientFault: the database is unreachable.
    """
    async with connect(url, program_name="crossdock:schema") as database:
        tables = await _tables(database)
        missing = await unapplied(database)
        created = [
            name
            for contract in contracts().values()
            for name in table_statements(contract)
            if name not in tables
        ]
        return missing + created or await _missing_columns(database)


async def unapplied(database: Database) -> list[str]:
    """The numbered migrations that are still to come, as far as this account sees their history.

    Enough for a service's account, which does not see every table; all of them are to come for one
    that does not see the history.
    """
    applied = await _applied(database) if HISTORY in await _tables(database) else {}
    return [name for name, _ in migrations() if name not in applied]


async def _apply_numbered(database: Database) -> list[str]:
    applied = await _applied(database)
    done: list[str] = []
    for name, sql in migrations():
        sha256 = hashlib.sha256(sql.encode()).hexdigest()
        if name in applied:
            if applied[name] != sha256:
                raise SchemaError(f"{name} was changed after it was applied; add a new migration")
            continue
        for statement in _statements(sql):
            await database.execute(statement)
        await database.execute(
            "INSERT INTO schema_migration VALUES (%(name)s, %(sha256)s, NOW(6))",
            {"name": name, "sha256": sha256},
        )
        done.append(name)
    return done


async def _apply_contracts(database: Database) -> list[str]:
    created: list[str] = []
    for contract in contracts().values():
        tables = await _tables(database)
        for name, statement in table_statements(contract).items():
            if name not in tables:
                await database.execute(statement)
                created.append(name)
    altered = await _missing_columns(database)
    for statement in altered:
        await database.execute(statement)
    return created + altered


async def _apply_routines(database: Database) -> list[str]:
    missing = await _missing_routines(database)
    for name in missing:
        await database.execute(ROUTINES[name])
    return missing


async def _missing_routines(database: Database) -> list[str]:
    rows = await database.fetch_all(
        "SELECT ROUTINE_NAME AS name FROM information_schema.ROUTINES "
        "WHERE ROUTINE_SCHEMA = DATABASE()"
    )
    return [name for name in ROUTINES if name not in {row["name"] for row in rows}]


async def _missing_columns(database: Database) -> list[str]:
    existing = await _columns(database)
    return [
        statement
        for contract in contracts().values()
        for statement in column_statements(contract, existing)
    ]


async def _applied(database: Database) -> dict[str, str]:
    rows = await database.fetch_all("SELECT name, sha256 FROM schema_migration")
    return {row["name"]: row["sha256"] for row in rows}


async def _tables(database: Database) -> set[str]:
    return {table for table, _ in await _columns(database)}


async def _columns(database: Database) -> list[tuple[str, str]]:
    rows = await database.fetch_all(
        "SELECT TABLE_NAME AS t, COLUMN_NAME AS c FROM information_schema.COLUMNS "
        "WHERE TABLE_SCHEMA = DATABASE()"
    )
    return [(row["t"], row["c"]) for row in rows]


def _statements(sql: str) -> list[str]:
    lines = [line for line in sql.splitlines() if not line.startswith("--")]
    return [part.strip() for part in "\n".join(lines).split(";\n") if part.strip(" ;\n")]
