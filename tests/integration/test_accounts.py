"""The accounts of least privilege on the real server: each pair of what is not granted is refused.

What is granted stands here once more, written by hand, so that a right that slips into rights.toml
is found.
"""

import re
from collections.abc import Iterator, Sequence

import pymysql
import pytest

from infra.mysql.accounts import PROGRAMS, grant_statements
from shared.mysql.connect import connect
from shared.mysql.tls import BlockingConnection
from tests.accounts import Accounts, open_accounts

ENTITIES = ["customers", "vehicles", "invoices", "line_items"]
PARENTS = ENTITIES[:3]
STAGING = [f"staging_{name}" for name in ENTITIES]
PLANS = [f"plan_{name}" for name in ENTITIES]
CROSSWALK_KEYS = [f"crosswalk_keys_{name}" for name in PARENTS]
CROSSWALKS = [f"crosswalk_{name}" for name in PARENTS]
LEDGER = [
    *("schema_migration", "load_ledger", "arrival", "load_event", "load_file", "load_count"),
    *("load_reject", "load_report", "outbox", "notification", "source_gate"),
    *("identity_collision", "dead_letter"),
]
EVERY_TABLE = [*LEDGER, *STAGING, *PLANS, *CROSSWALK_KEYS, *CROSSWALKS, *ENTITIES]
# Table: what may be done with it, where there are brackets only with these columns. A name in
# brackets before the colon stands for a table of each entity, and {id} for the entity's id.
A_STAGE = """
schema_migration: SELECT
load_ledger: SELECT, UPDATE (run fence state reached lease_owner lease_until attempts
    next_attempt_at needs_attention waiting_since waiting_for waiting_for_since last_error warnings
    failed_run failure_code failure_message failure_file failure_row failure_column started_at
    updated_at)
load_event: SELECT, INSERT
outbox: SELECT, INSERT, UPDATE (published_at)
dead_letter: SELECT, INSERT, UPDATE (kind published_at data attributes reason times delivery_key
    last_seen redriven_at)
"""
A_VALIDATOR = """
load_ledger: INSERT, UPDATE (source_system partner bucket prefix owned generation manifest
    manifest_sha256 schema_version created_at version validated_run)
arrival: SELECT, INSERT, UPDATE (bucket verdict run manifest_sha256 failure_code failure_message
    decided_at)
load_file: INSERT
notification: INSERT
"""
A_STAGER = """
load_ledger: UPDATE (staged_run)
load_file: SELECT
load_count: SELECT, INSERT, UPDATE (staged)
[staging]: SELECT (load_id run), INSERT, DELETE
"""
AN_UPSERTER = """
load_ledger: UPDATE (applied_run applied_staged_run applied_fence applied_manifest_sha256)
load_file: SELECT
load_count: SELECT, INSERT, UPDATE (staged inserted updated unchanged stale rejected)
load_reject: SELECT, INSERT, UPDATE (source_key raw), DELETE
source_gate: SELECT, INSERT, UPDATE (epoch)
identity_collision: SELECT, INSERT, DELETE
[staging]: SELECT
[plan]: SELECT, INSERT, UPDATE, DELETE
[crosswalk_keys]: SELECT, INSERT, UPDATE (internal_id first_seen_load_id)
[production]: SELECT, INSERT, UPDATE
"""
A_REPORTER = """
load_ledger: UPDATE (reported_run)
arrival: SELECT
load_file: SELECT
load_count: SELECT
load_reject: SELECT
load_report: SELECT, INSERT, UPDATE (report reported_at)
notification: SELECT, INSERT, UPDATE (attempts next_attempt_at last_error delivered_at)
[staging]: SELECT (load_id run hashed_id)
[plan]: SELECT (load_id fence hashed_id internal_id action)
[production]: SELECT ({id})
"""
A_READER = "\n".join(f"{table}: SELECT" for table in EVERY_TABLE)
GRANTED = {
    "validator": A_STAGE + A_VALIDATOR,
    "stager": A_STAGE + A_STAGER,
    "upserter": A_STAGE + AN_UPSERTER,
    "reporter": A_STAGE + A_REPORTER,
    "operator": A_STAGE + A_VALIDATOR + A_STAGER + AN_UPSERTER + A_REPORTER + A_READER,
    "reader": A_READER,
}
OF_EACH_ENTITY = {
    "[staging]": STAGING,
    "[plan]": PLANS,
    "[crosswalk_keys]": CROSSWALK_KEYS,
    "[production]": ENTITIES,
}
IDS = {
    "customers": "customer_id",
    "vehicles": "vehicle_id",
    "invoices": "invoice_id",
    "line_items": "line_item_id",
}
TRIED = {
    "SELECT": "SELECT `{column}` FROM `{table}` WHERE FALSE",
    "INSERT": "INSERT INTO `{table}` (`{column}`) SELECT NULL WHERE FALSE",
    "UPDATE": "UPDATE `{table}` SET `{column}` = NULL WHERE FALSE",
    "DELETE": "DELETE FROM `{table}` WHERE FALSE",
}
# What would do something, and so is only asked of those who may not.
REFUSED_TO_ALL = {
    "ALTER": "ALTER TABLE `{table}` COMMENT = 'x'",
    "DROP": "DROP TABLE `{table}`",
    "TRUNCATE": "TRUNCATE TABLE `{table}`",
    "INDEX": "CREATE INDEX another ON `{table}` (`{column}`)",
    "TRIGGER": "CREATE TRIGGER another BEFORE INSERT ON `{table}` FOR EACH ROW SET @x = 1",
    "REFERENCES": "CREATE TABLE another (x INT, FOREIGN KEY (x) REFERENCES `{table}` (`{column}`))",
    "LOCK TABLES": "LOCK TABLES `{table}` WRITE",
    "GRANT OPTION": "GRANT SELECT ON `{table}` TO CURRENT_USER()",
}
REFUSED_ANYWHERE = (
    "CREATE TABLE another (x INT)",
    "CREATE VIEW another AS SELECT 1",
    "CREATE PROCEDURE another() SELECT 1",
    "DROP PROCEDURE end_worker",
    "CREATE EVENT another ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    "CREATE DATABASE another",
    "CREATE USER another",
    "ALTER USER root@localhost ACCOUNT LOCK",
    "SET GLOBAL local_infile = OFF",
    "SET GLOBAL read_only = ON",
    "SELECT * FROM mysql.user",
    "SELECT * FROM performance_schema.session_connect_attrs",
    "SELECT 1 INTO OUTFILE '/tmp/crossdock-outfile'",
    "FLUSH TABLES",
    "SHUTDOWN",
    "SHOW BINARY LOGS",
)
# Refused to the account, by the server: a column, a table, a database, a routine, a right at all;
# that a view cannot be written comes before the question who may.
DENIED = {1142, 1143, 1044, 1370, 1227, 1045, 1410, 1419}
NOT_WRITABLE = {1288, 1348, 1471}

Pair = tuple[str, str, str]


@pytest.fixture(scope="module")
def accounts(mysql_server_url: str) -> Iterator[Accounts]:
    with open_accounts(mysql_server_url) as made:
        yield made


@pytest.fixture(scope="module")
def columns(accounts: Accounts) -> Sequence[tuple[str, str]]:
    """Every (table, column) that there is, generated ones aside, as the server lists them."""
    with accounts.connected("operator") as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS "
            "WHERE TABLE_SCHEMA = DATABASE() AND GENERATION_EXPRESSION = '' ORDER BY 1, 2"
        )
        return list(cursor.fetchall())


def granted(program: str, columns: Sequence[tuple[str, str]]) -> set[Pair]:
    """Every (verb, table, column) of this page; DELETE is of a table and has no column."""
    found: set[Pair] = set()
    lines = GRANTED[program].replace("\n    ", " ").split("\n")
    for place, _, rights in (line.partition(": ") for line in lines if line):
        for table in OF_EACH_ENTITY.get(place, [place]):
            whole = {column for at, column in columns if at == table}
            for verb, names in re.findall(r"([A-Z]+)(?: \(([^)]+)\))?", rights):
                named = set(names.format(id=IDS.get(table)).split())
                assert named <= whole, "a column of this page that is not there"
                wanted = {""} if verb == "DELETE" else named or whole
                found |= {(verb, table, column) for column in wanted}
    return found


def pairs(columns: Sequence[tuple[str, str]]) -> Iterator[Pair]:
    for table, column in columns:
        yield from ((verb, table, column) for verb in ("SELECT", "INSERT", "UPDATE"))
    yield from (("DELETE", table, "") for table in {table for table, _ in columns})


def error_of(connection: BlockingConnection, statement: str) -> int:
    """The number of the error that a statement ends with; 0 where it does not."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(statement)
        except pymysql.MySQLError as error:
            return int(error.args[0])
    return 0


def test_the_tables_of_this_page_are_those_of_the_server(
    columns: Sequence[tuple[str, str]],
) -> None:
    assert {table for table, _ in columns} == set(EVERY_TABLE)
    assert {*GRANTED, "migrate"} == set(PROGRAMS)


@pytest.mark.parametrize("program", GRANTED)
def test_an_account_may_do_what_stands_here_and_is_refused_everything_else(
    program: str, accounts: Accounts, columns: Sequence[tuple[str, str]]
) -> None:
    allowed = set()
    with accounts.connected(program) as connection:
        for verb, table, column in pairs(columns):
            error = error_of(connection, TRIED[verb].format(table=table, column=column))
            if error not in DENIED | (NOT_WRITABLE if table in CROSSWALKS else set()):
                allowed.add((verb, table, column))
    expected = granted(program, columns)
    assert sorted(allowed - expected) == [], "may, and should not"
    assert sorted(expected - allowed) == [], "may not, and should"


@pytest.mark.parametrize("program", GRANTED)
def test_no_program_but_the_migration_makes_changes_or_drops_anything(
    program: str, accounts: Accounts, columns: Sequence[tuple[str, str]]
) -> None:
    first_columns = dict(reversed(columns))
    statements = [
        text.format(table=table, column=first_columns[table])
        for text in REFUSED_TO_ALL.values()
        for table in EVERY_TABLE
    ]
    with accounts.connected(program) as connection:
        passed = [
            statement
            for statement in (*statements, *REFUSED_ANYWHERE)
            if error_of(connection, statement) not in DENIED
        ]
    assert passed == [], passed


@pytest.mark.parametrize("program", GRANTED)
def test_an_account_sees_no_database_but_its_own(program: str, accounts: Accounts) -> None:
    with accounts.connected(program) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW DATABASES")
        shown = {row[0] for row in cursor.fetchall()}
    own = accounts.admin.rpartition("/")[2]
    assert own in shown
    assert shown <= {own, "information_schema", "performance_schema"}


def test_the_migrations_account_makes_tables_and_touches_no_row(
    accounts: Accounts, columns: Sequence[tuple[str, str]]
) -> None:
    tables = [table for table, _ in columns if table not in CROSSWALKS]
    with accounts.connected("migrate") as connection:
        for table in tables:
            assert error_of(connection, f"DELETE FROM `{table}` WHERE FALSE") in DENIED, table
        for table, column in columns:
            statement = f"UPDATE `{table}` SET `{column}` = NULL WHERE FALSE"
            assert error_of(connection, statement) in DENIED | NOT_WRITABLE, statement
        for statement in (
            "CREATE USER another",
            "CREATE DATABASE another",
            "GRANT SELECT ON load_ledger TO CURRENT_USER()",
            "SET GLOBAL local_infile = OFF",
            "SELECT * FROM mysql.user",
            "CREATE TRIGGER another BEFORE INSERT ON outbox FOR EACH ROW SET @x = 1",
        ):
            assert error_of(connection, statement) in DENIED, statement
        for statement in (
            "CREATE TABLE another (x INT)",
            "ALTER TABLE another ADD COLUMN y INT, ADD INDEX by_y (y)",
            "RENAME TABLE another TO other",
            "DROP TABLE other",
        ):
            assert error_of(connection, statement) == 0, statement


async def test_the_grants_are_safe_to_repeat_and_give_nothing_new(accounts: Accounts) -> None:
    async def all_grants() -> list[list[str]]:
        return [
            sorted(
                next(iter(row.values())) for row in await admin.fetch_all(f"SHOW GRANTS FOR {it}")
            )
            for it in map(accounts.name, PROGRAMS)
        ]

    async with connect(accounts.admin) as admin:
        before = await all_grants()
        for statement in grant_statements(accounts.admin.rpartition("/")[2], accounts.prefix):
            await admin.execute(statement)
        assert await all_grants() == before
