"""What an account was not given of what it needs, told before a load finds it out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pymysql
from pymysql.constants import ER

from shared.mysql.connect import Database
from shared.mysql.queries import load_queries
from shared.mysql.rights import Right, accounts, rights_of

SQL = load_queries("shared.mysql", "own_rights.sql")
MOST_NAMED = 5
# The programs whose accounts see every table, and so can tell whether one is not there.
SEE_ALL = frozenset({"operator", "reader"})
REMEDY = (
    "Run `crossdock migrate`, then apply the accounts' grants again: docs/operations/accounts.md."
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What an account sees that it may do.

    Attributes:
        columns: by table and column, the verbs.
        deletes: the tables that it may delete from.
        routines: those that it may call.
    """

    columns: Mapping[str, Mapping[str, frozenset[str]]]
    deletes: frozenset[str]
    routines: frozenset[str]


async def missing_rights(database: Database, account: str) -> list[Right]:
    """The rights that a program's account is to have and this connection's does not have.

    Raises:
        KeyError: there is no such account.
    """
    wanted = rights_of(account)
    columns: dict[str, dict[str, frozenset[str]]] = {}
    for row in await database.fetch_all(SQL["on_columns"]):
        verbs = frozenset(row["verbs"].upper().split(","))
        columns.setdefault(row["name"], {})[row["column_name"]] = verbs
    asked = {right.on for right in wanted if right.verb == "DELETE"} & set(columns)
    deletes = frozenset([table for table in asked if await _may_delete(database, table)])
    routines = frozenset(row["name"] for row in await database.fetch_all(SQL["routines"]))
    return not_seen(wanted, Seen(columns, deletes, routines))


def not_seen(wanted: Iterable[Right], seen: Seen) -> list[Right]:
    """The rights that an account does not have, in their order."""
    return [right for right in wanted if not _is_seen(right, seen)]


def told(account: str, missing: Iterable[Right]) -> str:
    """What an account lacks, in a sentence."""
    names = [str(right) for right in missing]
    more = f" and {len(names) - MOST_NAMED} more rights" if len(names) > MOST_NAMED else ""
    return f"the account {account} lacks {', '.join(names[:MOST_NAMED])}{more}"


async def whoami(database: Database) -> str:
    """The account that the server took this connection for, as `user@host`."""
    return str(await database.fetch_value(SQL["whoami"]))


def program_of(account: str) -> str:
    """The program whose rights an account should have; one of another name is an operator's."""
    program = account.partition("@")[0].rpartition("_")[2]
    return program if program in accounts() else "operator"


def _is_seen(right: Right, seen: Seen) -> bool:
    if right.verb == "EXECUTE":
        return right.on in seen.routines
    if right.verb == "DELETE":
        return right.on in seen.deletes
    columns = seen.columns.get(right.on, {})
    wanted = right.columns or tuple(columns)
    return bool(wanted) and all(right.verb in columns.get(name, ()) for name in wanted)


async def _may_delete(database: Database, table: str) -> bool:
    try:
        await database.fetch_all(SQL["may_delete"].format(table=table))
    except pymysql.err.OperationalError as error:
        if error.args[0] != ER.TABLEACCESS_DENIED_ERROR:
            raise
        return False
    return True
