"""What an account was not given of what it needs, told before a load finds it out."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.mysql.connect import Database
from shared.mysql.queries import load_queries
from shared.mysql.quoting import quoted
from shared.mysql.rights import Right, accounts, rights_of

SQL = load_queries("shared.mysql", "own_rights.sql")
MOST_NAMED = 5
_GRANT = re.compile(r"GRANT (?P<verbs>.+) ON (?P<database>\*|`.+`)\.(?P<table>\*|`[^`]+`) TO ")
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
    rows = await database.fetch_all(SQL["on_columns"])
    for row in rows:
        verbs = frozenset(row["verbs"].upper().split(","))
        columns.setdefault(row["name"], {})[row["column_name"]] = verbs
    grants = [str(next(iter(row.values()))) for row in await database.fetch_all(SQL["grants"])]
    tables = {(row["own"], row["name"]) for row in rows}
    deletes = frozenset(name for own, name in tables if may_delete(grants, own, name))
    routines = frozenset(row["name"] for row in await database.fetch_all(SQL["routines"]))
    return not_seen(wanted, Seen(columns, deletes, routines))


def not_seen(wanted: Iterable[Right], seen: Seen) -> list[Right]:
    """The rights that an account does not have, in their order."""
    return [right for right in wanted if not _is_seen(right, seen)]


def may_delete(grants: Iterable[str], database: str, table: str) -> bool:
    """Whether one of the lines of SHOW GRANTS lets rows of the table be deleted."""
    matches = filter(None, map(_GRANT.match, grants))
    return any(
        {"DELETE", "ALL PRIVILEGES"} & set(grant["verbs"].split(", "))
        and grant["table"] in {"*", quoted(table)}
        and (grant["database"] == "*" or _is_like(database, grant["database"][1:-1]))
        for grant in matches
    )


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


def _is_like(database: str, pattern: str) -> bool:
    """Whether GRANT's pattern stands for the database: % and _ mean something, unless escaped."""
    parts = re.findall(r"\\.|.", pattern)
    meant = {"%": ".*", "_": "."}
    return bool(
        re.fullmatch("".join(meant.get(one, re.escape(one[-1])) for one in parts), database)
    )
